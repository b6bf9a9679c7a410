"""The aiohttp client: the app under aiohttp's own server on loopback, spoken to over plain sockets in the same loop."""

from __future__ import annotations

import asyncio
import inspect
import time
import typing

from leakguard.check.answers import Answer
from leakguard.check.board import Board
from leakguard.check.clients.base import AGENT, HOST, LONGEST_STREAM, STOP, STREAM, Flight, LoopClient
from leakguard.check.request import Made, Request
from leakguard.errors import NotMeasuredError
from leakguard.probes.code import origin
from leakguard.probes.failures import cause_of
from leakguard.probes.tasks import where_task

_NO_BODY = frozenset({204, 304})
_LIMIT = 2**20  # bytes of a response's head, or of one chunk's size line

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class AiohttpClient(LoopClient):
    """Speaks HTTP/1.1 to an ``aiohttp.web.Application``; every seat has one connection that is kept alive, as a proxy does."""

    def __init__(self, app: typing.Any, concurrency: int, patience: float, board: Board) -> None:
        super().__init__(concurrency, patience, board)
        self.app = app
        self._runner: typing.Any = None
        self._address: tuple[str, int] = (HOST, 0)
        self._connections: list[Connection | None] = [None] * concurrency

    async def start(self) -> None:
        """Run the app's start-up and let aiohttp listen on a free port of loopback."""
        await super().start()
        from aiohttp import web

        try:
            if inspect.isawaitable(self.app):
                self.app = await self.app
            self._runner = web.AppRunner(self.app, access_log=None, handle_signals=False)
            await asyncio.wait_for(self._runner.setup(), max(self._patience, 10.0))
            await web.TCPSite(self._runner, HOST, 0).start()
        except asyncio.TimeoutError:  # noqa: UP041 - its own class before 3.11
            raise NotMeasuredError(f"the app did not start up within {max(self._patience, 10.0):g} s") from None
        except (Exception, SystemExit) as error:
            cause = cause_of(error)
            place = f" at {cause.site} in {cause.site.function}" if cause.site else ""
            raise NotMeasuredError(f"the app failed to start up: {cause.type}: {error}{place}") from None
        self._address = self._runner.addresses[0][:2]

    async def stop(self) -> None:
        """Close the connections and run the app's cleanup."""
        await super().stop()
        for seat in range(len(self._connections)):
            self._drop(seat)
        if self._runner is not None:
            await asyncio.wait({asyncio.ensure_future(self._runner.cleanup())}, timeout=STOP)

    async def _exchange(self, flight: Flight, seat: int, request: Request, number: int) -> Answer:
        made = request.made(number)
        again = self._connections[seat] is not None
        while True:
            try:
                return await self._ask(flight, seat, made)
            except (asyncio.IncompleteReadError, ConnectionError):
                self._drop(seat)
                if not again:
                    return Answer(500, "the server closed the connection without an answer")
                again = False  # it may have been too old; a fresh one decides
            except BaseException:
                self._drop(seat)
                raise

    async def _ask(self, flight: Flight, seat: int, made: Made) -> Answer:
        connection = self._connections[seat]
        if connection is None:
            connection = await asyncio.open_connection(*self._address, limit=_LIMIT)
            self._connections[seat] = connection
        reader, writer = connection
        writer.write(_head(made, self._address) + made.body)
        await writer.drain()
        while True:
            status, headers = await _read_head(reader)
            if status >= 200:
                break
        flight.streams = True
        flight.on_leave = lambda: self._drop(seat)
        if "text/event-stream" in headers.get("content-type", ""):
            flight.leave = time.monotonic() + STREAM
        try:
            whole = await _read_body(reader, headers, bodiless=made.method == "HEAD" or status in _NO_BODY)
        except (asyncio.IncompleteReadError, ConnectionError):
            if not flight.answered:
                raise
            return Answer(status)  # we left
        finally:
            flight.on_leave, flight.leave = None, None
        if not whole or headers.get("connection", "").lower() == "close":
            self._drop(seat)
        return Answer(status)

    def _drop(self, seat: int) -> None:
        connection, self._connections[seat] = self._connections[seat], None
        if connection is not None:
            transport = connection[1].transport
            transport.abort()

    def _where(self, flight: Flight) -> object:
        """Return where a handler waits: the server runs it in a task of its own."""
        found = [where_task(task) for task in asyncio.all_tasks() if task is not flight.task]
        return next((site for site in found if site is not None and origin(site.file) == "own"), None)


def _head(made: Made, address: tuple[str, int]) -> bytes:
    lines = [f"{made.method} {made.uri} HTTP/1.1"]
    given = {name.lower() for name, _ in made.headers}
    for name, value in (("Host", f"{address[0]}:{address[1]}"), ("User-Agent", AGENT), ("Accept", "*/*")):
        if name.lower() not in given:
            lines.append(f"{name}: {value}")
    lines += [f"{name}: {value}" for name, value in made.headers]
    if made.body or made.method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(made.body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    return int(head[0].split(" ", 2)[1]), headers


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if not line:
        raise asyncio.IncompleteReadError(b"", None)
    return line


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str], *, bodiless: bool) -> bool:
    """Read a body to its end and drop it; return whether the connection can be used again."""
    if bodiless:
        return True
    if headers.get("transfer-encoding", "").lower() == "chunked":
        read = 0
        while size := int((await _read_line(reader)).split(b";")[0], 16):
            await reader.readexactly(size + 2)
            read += size
            if read > LONGEST_STREAM:
                return False
        await reader.readline()
        return True
    if "content-length" in headers:
        left = int(headers["content-length"])
        while left:
            piece = await reader.read(min(left, 65536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", left)
            left -= len(piece)
        return True
    while await reader.read(65536):
        pass
    return False
