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
from leakguard.probes.requests import KEY, Passage, Sentinel, current
from leakguard.probes.routes import read_asgi
from leakguard.recycling.close import close_asgi

if typing.TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from leakguard.web import Page

_TIMEOUT_BODY = b"Gateway Timeout"


class _Exchange(Passage):
    """A passage with what is known of the answer on its way."""

    headers: typing.Any = ()
    stream: StreamParting | None = None


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
        on_fork(self)

    def forget_guard(self) -> None:
        """Drop the guard of another process: after a fork the child gets its own."""
        self._guard = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send one scope through the app, counted."""
        if scope["type"] != "http" or KEY in scope or not self._armed:
            await self._pass(scope, receive, send)
            return
        guard = self._guard
        if guard is None or not guard.is_ready:  # no lifespan, or one that the app does not support
            guard = self._meet_guard()
            guard.ready()
        if self._readiness is not None and scope["path"] == self._readiness:
            await answer_asgi(guard, scope, send)
            return
        if self._page is not None and self._page.owns(scope):
            await self._page.at_path(scope, receive, _closing(guard, scope, send))
            return
        requests = guard.requests
        passage = _Exchange()
        passage.scope = scope
        passage.began = time.perf_counter()
        scope[KEY] = passage.sentinel = Sentinel()
        current.set(passage)
        if guard.abandons:
            passage.task = asyncio.current_task()
        requests.begin(passage)

        def observed_send(message: Message) -> typing.Awaitable[None]:
            kind = message["type"]
            if kind == "http.response.body":
                if not message.get("more_body"):
                    passage.answered = time.perf_counter()
                elif passage.headers and is_event_stream(passage.headers):
                    passage.stream = StreamParting(guard.drain, send, lambda: requests.in_flight.discard(passage))
                passage.headers = ()
                if passage.stream is not None:
                    return passage.stream.send(message)
            elif kind == "http.response.start":
                status = passage.status = message["status"]
                passage.headers = message.get("headers", ())
                # After an unhandled error servers close the connection in any case (uvicorn does, when a framework has
                # sent the 500 and raises again): a client that is not told sends its next request into a closed door.
                if status == 500 or guard.drain.closing:
                    message = {**message, "headers": close_asgi(scope, passage.headers)}
            return send(message)

        try:
            await self.app(scope, receive, observed_send)
        except asyncio.CancelledError:
            if not passage.abandoned or passage.status:
                raise
            await _answer_timeout(passage, send)
        except Exception as error:
            stream = passage.stream
            if stream is None or not stream.parted:  # else it only found its client gone, and the answer was complete
                passage.cause = cause_of(error)
                raise
        finally:
            if passage.stream is not None:
                await passage.stream.close()
            read_asgi(passage, scope)
            requests.finish(passage)

    def _meet_guard(self) -> Guard:
        guard = self._guard = obtain(self.config)
        guard.meet_loop(asyncio.get_running_loop(), threading.get_ident())
        return guard

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._armed or KEY in scope:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
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
