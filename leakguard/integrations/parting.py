"""Parting from connections that would not end by themselves, when the worker leaves: WebSockets and event streams.

A WebSocket is closed with code 1012, service restart (registered with IANA for RFC 6455), upon which clients connect anew. A
server-sent event stream is ended at the boundary of an event, upon which a browser's ``EventSource`` connects anew with
the id of the last event (HTML standard, section 9.2). For the app both look as if the client had gone.
"""

from __future__ import annotations

import typing

if typing.TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from starlette.types import Message, Receive, Send

    from leakguard.recycling.drain import Drain

SERVICE_RESTART = 1012
_REASON = "service restart"


class WebSocketParting:
    """One WebSocket between the app and the server. Use it as an asynchronous context manager around the app."""

    def __init__(self, drain: Drain, receive: Receive, send: Send) -> None:
        self.parted = False
        self._drain = drain
        self._receive = receive
        self._send = send
        self._loop = _running_loop()
        self._open = False
        self._saying: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WebSocketParting:
        self._drain.partings.add(self.part)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._drain.partings.discard(self.part)
        self._open = False
        if self._saying is not None:
            await self._saying  # the server hangs up when the app returns

    def part(self) -> None:
        """Close with 1012, from any thread."""
        self._loop.call_soon_threadsafe(self._begin)

    async def receive(self) -> Message:
        """Pass on what the client says."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self._open = False
        return message

    async def send(self, message: Message) -> None:
        """Pass on what the app says, while there is anybody to hear it.

        Raises:
            ConnectionResetError: for a message after the parting, as servers do when the client has gone (ASGI 2.4).
        """
        kind = message["type"]
        if self.parted:
            if kind == "websocket.send":
                raise ConnectionResetError("the worker is being replaced")
            return
        if kind == "websocket.close":
            self._open = False
        await self._send(message)
        if kind == "websocket.accept":
            self._open = True
            if self._drain.closing:
                self._begin()

    def _begin(self) -> None:
        if self._open and not self.parted:
            self.parted = True
            self._saying = self._loop.create_task(self._say())

    async def _say(self) -> None:
        try:
            await self._send({"type": "websocket.close", "code": SERVICE_RESTART, "reason": _REASON})
        except Exception:  # the client has gone meanwhile
            pass


class StreamParting:
    """One event stream between the app and the server.

    Args:
        drain: of this worker.
        send: the server's.
        on_parted: called once when the stream was ended by us.
    """

    def __init__(self, drain: Drain, send: Send, on_parted: Callable[[], None]) -> None:
        self.parted = False
        self._drain = drain
        self._send = send
        self._on_parted = on_parted
        self._loop = _running_loop()
        self._between = True  # no event is half said
        self._ending: asyncio.Task[None] | None = None
        drain.partings.add(self.part)

    async def close(self) -> None:
        """Take note that the app has ended; what is being said is said to its end, for the server hangs up then."""
        self._drain.partings.discard(self.part)
        if self._ending is not None:
            await self._ending

    def part(self) -> None:
        """End the stream at the next boundary of an event, from any thread."""
        self._loop.call_soon_threadsafe(self._end_between)

    async def send(self, message: Message) -> None:
        """Pass a part of the body on.

        Raises:
            ConnectionResetError: after the parting, as servers do when the client has gone (ASGI 2.4).
        """
        if self.parted:
            raise ConnectionResetError("the worker is being replaced")
        self._between = ends_event(message.get("body", b""), self._between)
        await self._send(message)
        if self._drain.closing:
            self._end_between()

    def _end_between(self) -> None:
        if self._between and not self.parted:
            self.parted = True
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        try:
            await self._send({"type": "http.response.body", "body": b""})
        except Exception:  # the client has gone meanwhile
            pass
        self._on_parted()


def _running_loop() -> asyncio.AbstractEventLoop:
    import asyncio  # a WSGI app needs none of it

    return asyncio.get_running_loop()


def ends_event(part: bytes, before: bool) -> bool:
    """Return whether an event stream stands between two events after ``part``, given whether it did ``before``."""
    if not part:
        return before
    return part.endswith((b"\n\n", b"\r\n\r\n", b"\r\r"))


def is_event_stream(headers: Iterable[tuple[typing.Any, typing.Any]]) -> bool:
    """Return whether response ``headers``, of ASGI or WSGI, are those of server-sent events."""
    for name, value in headers:
        text, what = (name, value) if isinstance(name, str) else (name.decode("latin-1"), value.decode("latin-1"))
        if text.lower() == "content-type":
            return bool(what.strip().lower().startswith("text/event-stream"))
    return False
