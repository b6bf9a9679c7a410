"""Sixteen users who count what they lose: raw sockets, no retry, every kind of loss told apart.

Half of them keep their connection, half make a new one per request. A user who keeps a connection looks for its end before
using it again, as aiohttp and httpx do.
"""

from __future__ import annotations

import asyncio
import random
import time
import typing
from collections.abc import Callable

TIMEOUT = 10.0
END = b" done\n"
WORK = (5, 20, 50, 100, 200)  # milliseconds that a request takes
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Request(typing.NamedTuple):
    """One request: when it began and ended (Unix time), what became of it, and which process answered."""

    began: float
    ended: float
    kind: str
    pid: int
    work: float


class Load:
    """The users together.

    Args:
        port: on loopback.
        users: how many; every other one keeps its connection.
        pace: seconds between a user's requests, on average.
        streams: the share of requests that are answered in parts.
        scale: of the time that requests take.
    """

    def __init__(
        self, port: int, *, users: int = 16, pace: float = 0.1, streams: float = 0.2, scale: float = 1.0
    ) -> None:
        self.port = port
        self.users = users
        self.pace = pace
        self.streams = streams
        self.scale = scale
        self.calm = True
        self.requests: list[Request] = []

    async def run(self, over: Callable[[], bool]) -> None:
        """Send requests until ``over()``."""
        await asyncio.gather(*(self._user(number, over) for number in range(self.users)))

    async def _user(self, number: int, over: Callable[[], bool]) -> None:
        keeps, chance = number % 2 == 0, random.Random(number)
        connection: Connection | None = None
        await asyncio.sleep(chance.random() * self.pace)
        while not over():
            work = int(chance.choice(WORK) * self.scale)
            kind = "stream" if chance.random() < self.streams else "calm" if self.calm else "plain"
            if self.calm:
                kind = "calm"
            if connection is not None and connection[0].at_eof():
                connection[1].close()
                connection = None
            began = time.time()
            outcome, pid, connection = await _request(self.port, connection, f"/{kind}/{work}", keeps)
            ended = time.time()
            self.requests.append(Request(began, ended, outcome, pid, work / 1000))
            await asyncio.sleep(max(0.0, self.pace * (0.5 + chance.random()) - (ended - began)))
        if connection is not None:
            connection[1].close()


async def _request(
    port: int, connection: Connection | None, path: str, keeps: bool
) -> tuple[str, int, Connection | None]:
    fresh = connection is None
    reusable, pid = False, 0
    try:
        async with asyncio.timeout(TIMEOUT):
            if connection is None:
                try:
                    connection = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    return "refused", 0, None
            kind, pid, reusable = await _exchange(connection, path, keeps, fresh)
    except TimeoutError:
        kind = "timeout"
    if reusable and keeps:
        return kind, pid, connection
    if connection is not None:
        connection[1].close()
    return kind, pid, None


async def _exchange(connection: Connection, path: str, keeps: bool, fresh: bool) -> tuple[str, int, bool]:
    reader, writer = connection
    got = b""
    try:
        wish = "keep-alive" if keeps else "close"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {wish}\r\n\r\n".encode())
        await writer.drain()
        got = await reader.readuntil(b"\r\n\r\n")
        headers = got.lower()
        body = await _body(reader, headers)
    except (OSError, asyncio.IncompleteReadError) as error:
        begun = got or getattr(error, "partial", b"")
        return ("cut" if begun else "reset fresh" if fresh else "reset reused"), 0, False
    status = int(got.split(b" ", 2)[1])
    if status != 200:
        return f"status {status}", 0, False
    if not body.endswith(END):
        return "cut", 0, False
    pid = int(body.removesuffix(END).rpartition(b" ")[2])
    return "ok", pid, b"connection: close" not in headers and b"http/1.0" not in headers[:8]


async def _body(reader: asyncio.StreamReader, headers: bytes) -> bytes:
    if b"transfer-encoding: chunked" in headers:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return body
    if b"content-length:" in headers:
        return await reader.readexactly(int(headers.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
    return await reader.read()
