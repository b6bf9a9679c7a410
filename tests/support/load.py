"""A load client that counts what a user would see: raw sockets, no retry, every kind of loss told apart.

Half of the users keep their connection, half make a new one per request. A user who keeps a connection looks for its end
before using it again, as aiohttp and httpx do. Every body ends in ``done`` and a newline, so a cut stream is seen.
"""

import asyncio
import collections
import dataclasses
import itertools
import random
import time

TIMEOUT = 10.0
END = b"done\n"


@dataclasses.dataclass
class Outcome:
    """What the load saw: counts by kind of outcome, latencies, and when answers came."""

    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    latencies: list = dataclasses.field(default_factory=list)
    answered: list = dataclasses.field(default_factory=list)
    details: list = dataclasses.field(default_factory=list)

    @property
    def requests(self):
        return sum(self.counts.values())

    @property
    def lost(self):
        return self.requests - self.counts["ok"]

    @property
    def longest_gap(self):
        times = sorted(self.answered)
        return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


async def drive(port, until, *, users=8, pace=0.1, kept_share=0.5, stream_share=0.2, seed=0):
    """Let ``users`` request from the loopback ``port`` at one request per ``pace`` seconds each until ``until()``."""
    outcome = Outcome()
    kept = round(users * kept_share)
    await asyncio.gather(
        *(
            _user(
                port,
                until,
                outcome,
                keeps=number < kept,
                pace=pace,
                stream_share=stream_share,
                chance=random.Random(seed + number),
            )
            for number in range(users)
        )
    )
    return outcome


async def _user(port, until, outcome, *, keeps, pace, stream_share, chance):
    connection = None
    await asyncio.sleep(chance.random() * pace)
    while not until():
        began = time.monotonic()
        path = f"/{'stream' if chance.random() < stream_share else 'plain'}/{chance.randrange(5)}"
        if connection is not None and connection[0].at_eof():
            connection[1].close()
            connection = None
        kind, connection = await _request(port, connection, path, keeps)
        took = time.monotonic() - began
        outcome.counts[kind] += 1
        if kind == "ok":
            outcome.latencies.append(took)
            outcome.answered.append(began + took)
        else:
            outcome.details.append((kind, path, time.time()))
        await asyncio.sleep(max(0.0, pace * (0.5 + chance.random()) - took))
    if connection is not None:
        connection[1].close()


async def _request(port, connection, path, keeps):
    fresh = connection is None
    try:
        async with asyncio.timeout(TIMEOUT):
            if fresh:
                try:
                    connection = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    return "refused", None
            kind, reusable = await _exchange(*connection, path, keeps, fresh)
    except TimeoutError:
        kind, reusable = "timeout", False
    if reusable and keeps:
        return kind, connection
    if connection is not None:
        connection[1].close()
    return kind, None


async def _exchange(reader, writer, path, keeps, fresh):
    got = b""
    try:
        keep = "keep-alive" if keeps else "close"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {keep}\r\n\r\n".encode())
        await writer.drain()
        got = await reader.readuntil(b"\r\n\r\n")
        status = int(got.split(b" ", 2)[1])
        headers = got.lower()
        if b"transfer-encoding: chunked" in headers:
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        elif b"content-length:" in headers:
            length = int(headers.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            body = await reader.readexactly(length)
        else:
            body = await reader.read()
    except (OSError, asyncio.IncompleteReadError) as error:
        begun = got or getattr(error, "partial", b"")
        return ("cut" if begun else "reset fresh" if fresh else "reset reused"), False
    if status != 200:
        return f"status {status}", False
    if not body.endswith(END):
        return "cut", False
    return "ok", b"connection: close" not in headers
