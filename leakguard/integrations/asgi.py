"""The ASGI middleware: counts, marks, re-raises; everything that takes time happens in the guard's thread.

Pure ASGI, so that streaming, background tasks and exceptions pass through unchanged. Lifespan and WebSocket scopes pass
through and are counted as what they are.
"""

from __future__ import annotations

import asyncio
import threading
import time
import typing

from leakguard.config import Config, Level, Options
from leakguard.guard import Guard, obtain, on_fork
from leakguard.integrations.parting import StreamParting, WebSocketParting, is_event_stream
from leakguard.integrations.readiness import answer_asgi
from leakguard.probes.failures import cause_of
from leakguard.probes.requests import KEY, Passage, current, enter
from leakguard.probes.routes import read_asgi
from leakguard.recycling.close import close_asgi

if typing.TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from leakguard.web import Page

_TIMEOUT_BODY = b"Gateway Timeout"


class LeakGuardMiddleware:
    """Watches an ASGI app for leaks and, given a ceiling, recycles its worker without losing a request.

    ``app.add_middleware(LeakGuardMiddleware)`` for Starlette and FastAPI, ``app = LeakGuardMiddleware(app)`` for any other.
    Outermost is best: what lies outside is not seen. Wrapping twice counts once.

    Args:
        app: the ASGI application.
        config: ready options, instead of keyword arguments.
        options: see ``leakguard config`` or ``docs/options.md``: ``level``, ``interval``, ``ceiling``, ``journal``, …

    Raises:
        ConfigError: when an option is wrong; at construction, never later.

    Cost at the default level: about two microseconds per request (``python -m benchmarks requests``).
    """

    def __init__(self, app: ASGIApp, *, config: Config | None = None, **options: typing.Unpack[Options]) -> None:
        self.app = app
        self.config = config if config is not None else Config.load(**options)
        self._armed = self.config.level is not Level.OFF
        self._guard: Guard | None = None
        self._page: Page | None = None
        if self._armed and self.config.page_token is not None:
            from leakguard.web import Page  # nobody else pays for it

            self._page = Page(self.config)
        self._readiness = self.config.readiness_path
        self._answers = self._readiness is not None or self._page is not None
        on_fork(self)

    def forget_guard(self) -> None:
        """Drop the guard of another process: after a fork the child gets its own."""
        self._guard = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one scope through the app, counted."""
        guard = self._guard
        if guard is None or not guard.is_ready or scope["type"] != "http" or KEY in scope:
            await self._pass(scope, receive, send)
            return
        if self._answers:
            our_own = self._own_answer(guard, scope, receive, send)
            if our_own is not None:
                await our_own
                return
        passage = enter(scope)
        current.set(passage)
        if guard.abandons:
            passage.task = asyncio.current_task()
        guard.requests.begin(passage)

        answer = _answer(guard, passage, send)
        try:
            await self.app(scope, receive, answer.send)
        except asyncio.CancelledError:
            if not passage.abandoned or passage.status:
                raise
            await _answer_timeout(passage, send)
        except Exception as error:
            stream = answer.stream
            if stream is None or not stream.parted:  # else it only found its client gone, and the answer was complete
                passage.cause = cause_of(error)
                raise
        finally:
            if answer.stream is not None:
                await answer.stream.close()
            read_asgi(passage, scope)
            guard.requests.finish(passage)

    def _own_answer(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> typing.Awaitable[None] | None:
        """Return leakguard's own answer, where the path is one of its own."""
        if scope["path"] == self._readiness:
            return answer_asgi(guard, scope, send)
        if self._page is not None and self._page.owns(scope):
            return self._page.at_path(scope, receive, _closing(guard, scope, send))
        return None

    def _meet_guard(self) -> Guard:
        guard = self._guard = obtain(self.config)
        guard.meet_loop(asyncio.get_running_loop(), threading.get_ident())
        return guard

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send through what is no request to count, and the first one: without a lifespan, it says that the worker serves."""
        kind = scope["type"]
        if not self._armed or KEY in scope:
            await self.app(scope, receive, send)
        elif kind == "http":
            (self._guard or self._meet_guard()).ready()
            await self(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        guard = self._guard or self._meet_guard()

        async def observed_send(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                # Servers that end themselves by the signal they got (uvicorn does) leave no time after this.
                await asyncio.to_thread(guard.write_evidence)
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                guard.ready()

        scope[KEY] = True
        await self.app(scope, receive, observed_send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        guard = self._guard or self._meet_guard()
        scope[KEY] = True
        guard.requests.websockets += 1
        async with WebSocketParting(guard.drain, receive, send) as parting:
            try:
                await self.app(scope, parting.receive, parting.send)
            except Exception as error:
                if not parting.parted:  # else it only found its client gone
                    guard.failures.record(cause_of(error), "WEBSOCKET")
                    raise
            finally:
                guard.requests.websockets -= 1


class _Answer:
    """One answer on its way from the app to the server.

    A bound method of such a record is half the price of a closure, which has a cell for every variable.
    """

    __slots__ = ("_guard", "_passage", "_send", "_start", "stream")

    _guard: Guard
    _passage: Passage
    _send: Send
    _start: Message | None  # what began the answer, until the first part of the body
    stream: StreamParting | None

    def send(self, message: Message) -> typing.Awaitable[None]:
        """Pass a message on, observed."""
        kind = message["type"]
        if kind == "http.response.body":
            if "more_body" not in message or not message["more_body"]:
                self._passage.answered = time.perf_counter()
            elif self._start is not None:
                self._part_from(self._start)
            if self.stream is not None:
                return self.stream.send(message)
        elif kind == "http.response.start":
            self._start = message
            status = self._passage.status = message["status"]
            # After an unhandled error servers close the connection in any case (uvicorn does, when a framework has
            # sent the 500 and raises again): a client that is not told sends its next request into a closed door.
            if status == 500 or self._guard.drain.closing:
                return self._send_closing(message)
        return self._send(message)

    def _send_closing(self, message: Message) -> typing.Awaitable[None]:
        scope = self._passage.scope
        if (
            scope is not None
        ):  # else the request has ended already: whatever the app still sends is between it and the server
            message = {**message, "headers": close_asgi(scope, message.get("headers", ()))}
        return self._send(message)

    def _part_from(self, start: Message) -> None:
        """See to it that a stream of events can be parted from; it is in flight no more then, whatever the app still does."""
        self._start = None
        if is_event_stream(start.get("headers", ())):
            in_flight, passage = self._guard.requests.in_flight, self._passage
            self.stream = StreamParting(self._guard.drain, self._send, lambda: in_flight.discard(passage))


def _answer(guard: Guard, passage: Passage, send: Send) -> _Answer:
    """Return the answer to a request that begins now; as ``probes.requests.enter`` does, for the same reason."""
    answer = _Answer()
    answer._guard = guard
    answer._passage = passage
    answer._send = send
    answer._start = answer.stream = None
    return answer


def _closing(guard: Guard, scope: Scope, send: Send) -> Send:
    """Return a ``send`` that ends the connection while the worker leaves: whoever watches goes on at its successor."""

    async def closing_send(message: Message) -> None:
        if message["type"] == "http.response.start" and guard.drain.closing:
            message = {**message, "headers": close_asgi(scope, message.get("headers", ()))}
        await send(message)

    return closing_send


async def _answer_timeout(passage: Passage, send: Send) -> None:
    """Answer a request that was cancelled for taking longer than ``abandon_after``: 504, in plain words."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()  # the cancellation was ours and ends here
    passage.status = 504
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(_TIMEOUT_BODY)).encode())]
    await send({"type": "http.response.start", "status": 504, "headers": headers})
    await send({"type": "http.response.body", "body": _TIMEOUT_BODY})
    passage.answered = time.perf_counter()
