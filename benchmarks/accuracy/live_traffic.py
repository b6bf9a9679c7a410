"""Mixed traffic over real connections: some requests to the routes in question, the rest to four healthy ones."""

from __future__ import annotations

import asyncio
import collections
import random
import time
import typing
from collections.abc import Sequence

Described = dict[str, typing.Any]

HEALTHY: tuple[tuple[Described, float], ...] = (
    ({"path": "/healthy/greeting"}, 0.30),
    ({"path": "/healthy/orders", "method": "POST", "body": '{"items": [{"number": 2, "price": {n}}]}'}, 0.25),
    ({"path": "/healthy/report"}, 0.20),
    ({"path": "/healthy/price"}, 0.25),
)
PATIENCE = 60.0  # seconds for one answer
ATTEMPTS = 3  # a connection that the server has just closed is opened again


def raw(described: Described, number: int) -> bytes:
    """Return one request as it goes over the wire, ``{n}`` replaced by its number."""

    def filled(text: object) -> str:
        return str(text).replace("{n}", str(number))

    body = filled(described.get("body", "")).encode() * int(described.get("body_times", 1))
    if "body_base64" in described:
        import base64

        body = base64.b64decode(described["body_base64"])
    elif "body_json" in described:
        import json

        body = filled(json.dumps(described["body_json"])).encode()
    headers = {"Host": "127.0.0.1", "Content-Length": len(body), **described.get("headers", {})}
    if "body_json" in described:
        headers.setdefault("Content-Type", "application/json")
    lines = [f"{described.get('method', 'GET')} {filled(described['path'])} HTTP/1.1"]
    lines += [f"{name}: {filled(value)}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read one answer; return its status and whether the connection ends with it."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status, closes = int(head.split(b" ", 2)[1]), b"connection: close" in head
    if b"transfer-encoding: chunked" in head:
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    elif (at := head.find(b"content-length:")) >= 0:
        await reader.readexactly(int(head[at + 15 : head.index(b"\r\n", at)]))
    else:
        await reader.read()
        closes = True
    return status, closes


class Traffic:
    """Sends a number of requests from several clients at once, each on a connection of its own.

    Args:
        port: of the server on this machine.
        script: the requests in question, sent in turn.
        total: how many requests in all.
        share: the part of them that goes to the routes in question.
        pace: requests a second over all clients; 0 for as fast as the server answers.
        clients: how many there are.
        seed: of the order in which the requests come.
    """

    def __init__(
        self,
        port: int,
        script: Sequence[Described],
        *,
        total: int,
        share: float,
        pace: float,
        clients: int = 8,
        seed: int = 1,
    ) -> None:
        self.statuses: collections.Counter[str] = collections.Counter()
        self.seconds = 0.0
        self._port, self._script, self._clients = port, script, clients
        self._total, self._share, self._pace = total, share, pace
        self._random = random.Random(seed)
        self._sent = self._asked = 0

    def run(self) -> None:
        """Send everything; ``statuses`` and ``seconds`` say how it went."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        began = time.monotonic()
        await asyncio.gather(*(self._client(began) for _ in range(self._clients)))
        self.seconds = time.monotonic() - began

    async def _client(self, began: float) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while self._sent < self._total:
            self._sent += 1
            if self._pace:
                await asyncio.sleep(max(0.0, began + self._sent / self._pace - time.monotonic()))
            request, status = self._next(), "cut"
            for _ in range(ATTEMPTS):
                try:
                    connection = connection or await asyncio.open_connection("127.0.0.1", self._port)
                    connection[1].write(request)
                    number, closes = await asyncio.wait_for(answer(connection[0]), PATIENCE)
                except (OSError, asyncio.IncompleteReadError):
                    connection = None
                    continue
                status = str(number)
                if closes:
                    connection[1].close()
                    connection = None
                break
            self.statuses[status] += 1
        if connection is not None:
            connection[1].close()

    def _next(self) -> bytes:
        if self._random.random() < self._share:
            self._asked += 1
            return raw(self._script[self._asked % len(self._script)], self._asked)
        (healthy,) = self._random.choices([each for each, _ in HEALTHY], [weight for _, weight in HEALTHY])
        return raw(healthy, self._sent)
