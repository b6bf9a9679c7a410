"""A client that tells exactly what became of each request: HTTP/1.1 on plain asyncio streams, no retry, no pardon.

Libraries retry, hide resets or count them as one kind of error; here a connection that breaks before the first byte of an
answer, on a reused or a fresh connection, is something else than an answer that is cut in the middle. Like aiohttp and httpx
the client looks for an end of file before it uses a kept connection again.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import time
from dataclasses import dataclass

from leakguard.demo.schedule import Planned

TIMEOUT = 10.0
_HEAD_LIMIT = 64 * 1024


class Fate(enum.StrEnum):
    """What became of one request."""

    OK = "ok"
    STATUS = "status"  # a whole answer, but an error: 500 for a malformed body is an answer, not a loss
    UNAVAILABLE = "unavailable"  # a whole answer that says "not now": 502, 503, 504
    REFUSED = "refused"
    RESET_REUSED = "reset on reused"  # closed before the first byte of an answer; the connection had served before
    RESET_FRESH = "reset on fresh"
    CUT = "cut"  # the answer ended in the middle
    TIMEOUT = "timeout"

    @property
    def lost(self) -> bool:
        """Whether the user was left without an answer."""
        return self not in {Fate.OK, Fate.STATUS}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request's fate; ``latency`` in seconds from the time it was *meant* to be sent until its answer was whole.

    ``idle`` is for how many seconds its connection had served nobody before; ``None`` when it was a new one. A server closes
    what idles for its keep-alive time, and whoever sends at that moment is reset without anybody's fault.
    """

    fate: Fate
    latency: float
    planned: Planned
    status: int | None = None
    idle: float | None = None


class _BrokenError(Exception):
    """The connection ended; ``begun`` tells whether some of the answer had arrived."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__(begun)
        self.begun = begun


class _Connection:
    """One connection and how many answers it has brought."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.answers = 0
        self.answered = 0.0  # when the last one was whole

    def usable(self) -> bool:
        return not self.reader.at_eof() and not self.writer.is_closing()

    def close(self) -> None:
        self.writer.close()

    async def exchange(self, request: bytes) -> tuple[int, bool]:
        """Send a request and return the answer's status and whether the connection may be used again."""
        self.writer.write(request)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()  # a broken pipe shows in the reading: an answer may have come before it
        status, headers = await self._read_head()
        keep = headers.get("connection", "").lower() != "close"
        try:
            if headers.get("transfer-encoding", "").lower() == "chunked":
                await self._read_chunks()
            elif "content-length" in headers:
                await self.reader.readexactly(int(headers["content-length"]))
            elif status not in {204, 304}:
                await self.reader.read()
                keep = False
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            raise _BrokenError(begun=True) from None
        self.answers += 1
        self.answered = time.perf_counter()
        return status, keep

    async def _read_head(self) -> tuple[int, dict[str, str]]:
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise _BrokenError(begun=bool(error.partial)) from None
        except asyncio.LimitOverrunError:
            raise _BrokenError(begun=True) from None
        except ConnectionError:
            # asyncio drops what had arrived before a reset; a head is one packet, so nothing had.
            raise _BrokenError(begun=False) from None
        first, *lines = head.decode("latin-1").split("\r\n")
        parts = first.split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit():
            raise _BrokenError(begun=True)
        pairs = (line.partition(":") for line in lines if line)
        return int(parts[1]), {name.strip().lower(): value.strip() for name, _, value in pairs}

    async def _read_chunks(self) -> None:
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            await self.reader.readexactly(size + 2)
        await self.reader.readuntil(b"\r\n")


class Client:
    """Many users of one server: some keep their connections, the others open a new one for each request."""

    def __init__(self, port: int, timeout: float = TIMEOUT) -> None:
        self._port = port
        self._timeout = timeout
        self._idle: list[_Connection] = []

    async def send(self, planned: Planned, meant: float | None = None) -> Outcome:
        """Send one request and return its fate. ``meant`` is the ``time.perf_counter()`` at which it should go out."""
        meant = time.perf_counter() if meant is None else meant
        connection = self._take() if planned.keep_alive else None
        idle = None if connection is None else time.perf_counter() - connection.answered
        status = None
        try:
            async with asyncio.timeout(self._timeout):
                fate, status = await self._attempt(planned, connection)
        except TimeoutError:
            fate = Fate.TIMEOUT
        return Outcome(fate, time.perf_counter() - meant, planned, status, idle)

    def close(self) -> None:
        """Close the kept connections."""
        while self._idle:
            self._idle.pop().close()

    async def _attempt(self, planned: Planned, connection: _Connection | None) -> tuple[Fate, int | None]:
        try:
            connection = connection or await self._open()
        except OSError:
            return Fate.REFUSED, None
        keep = False
        try:
            status, keep = await connection.exchange(encode(planned))
        except _BrokenError as broken:
            if broken.begun:
                return Fate.CUT, None
            return (Fate.RESET_REUSED if connection.answers else Fate.RESET_FRESH), None
        finally:
            if keep and planned.keep_alive:
                self._idle.append(connection)
            else:
                connection.close()
        if status < 400:
            return Fate.OK, status
        return (Fate.UNAVAILABLE if status in {502, 503, 504} else Fate.STATUS), status

    async def _open(self) -> _Connection:
        return _Connection(*await asyncio.open_connection("127.0.0.1", self._port, limit=_HEAD_LIMIT))

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return None


def encode(planned: Planned) -> bytes:
    """Return the bytes of one request on the wire."""
    lines = [f"{planned.method} {planned.path} HTTP/1.1", "Host: 127.0.0.1"]
    if planned.body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(planned.body)}"]
    if not planned.keep_alive:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + planned.body
