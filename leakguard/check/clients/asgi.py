"""The ASGI client: lifespan, then every request with a scope, a ``receive`` and a ``send`` of its own, as uvicorn does it."""

from __future__ import annotations

import asyncio
import time
import typing
import urllib.parse

from leakguard.check.answers import Answer
from leakguard.check.board import Board
from leakguard.check.clients.base import (
    AGENT,
    EVENTS,
    HOST,
    LONGEST_STREAM,
    PEER,
    PORT,
    STOP,
    STREAM,
    Flight,
    LoopClient,
    failure_of,
)
from leakguard.check.interface import is_double
from leakguard.check.request import Made, Request
from leakguard.errors import NotMeasuredError

Message = dict[str, typing.Any]
CHUNK = 65536  # bytes of a body in one message, as servers read it from the socket

_VERSIONS = {"version": "3.0", "spec_version": "2.3"}
_DEFAULTS = ((b"host", f"{HOST}:{PORT}".encode()), (b"user-agent", AGENT.encode()), (b"accept", b"*/*"))


class AsgiClient(LoopClient):
    """Speaks ASGI 3, and ASGI 2 where the app is of that kind."""

    def __init__(self, app: typing.Any, concurrency: int, patience: float, board: Board) -> None:
        super().__init__(concurrency, patience, board)
        self.app = app
        self._app = _Double(app) if is_double(app) else app
        self._lifespan: _Lifespan | None = None
        self._state: dict[str, typing.Any] = {}

    async def start(self) -> None:
        """Start the app's lifespan, if it has one."""
        await super().start()
        self._lifespan = _Lifespan(self._app, self._state)
        await self._lifespan.start(self._patience)

    async def stop(self) -> None:
        """End the app's lifespan."""
        await super().stop()
        if self._lifespan is not None:
            await self._lifespan.stop()

    async def _exchange(self, flight: Flight, seat: int, request: Request, number: int) -> Answer:  # noqa: ARG002
        exchange = _Exchange(request.made(number), flight)
        scope = self._scope(exchange.made)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            if not flight.over.done():  # the app's own: nobody here cancels a request that is still waited for
                return Answer(500, "asyncio.CancelledError: the app cancelled its own request")
            raise
        except BaseException as error:
            return failure_of(error)
        finally:
            exchange.close()
        if not exchange.status:
            return Answer(500, "the app returned without an answer")
        return Answer(exchange.status)

    def _scope(self, made: Made) -> Message:
        given = [(name.lower().encode("latin-1"), value.encode("utf-8")) for name, value in made.headers]
        names = {name for name, _ in given}
        headers = [each for each in _DEFAULTS if each[0] not in names] + given
        if made.body or made.method in {"POST", "PUT", "PATCH"}:
            headers.append((b"content-length", str(len(made.body)).encode()))
        return {
            "type": "http",
            "asgi": dict(_VERSIONS),
            "http_version": "1.1",
            "method": made.method,
            "scheme": "http",
            "path": urllib.parse.unquote(made.path),
            "raw_path": made.path.encode("ascii"),
            "query_string": made.query.encode("ascii"),
            "root_path": "",
            "headers": headers,
            "server": (HOST, PORT),
            "client": PEER,
            "state": self._state.copy(),
        }


class _Exchange:
    """One request's ``receive`` and ``send``."""

    def __init__(self, made: Made, flight: Flight) -> None:
        self.made = made
        self.status = 0
        self._flight = flight
        self._sent = 0
        self._told = False  # the body was received to its end
        self._gone: asyncio.Event | None = None
        self._over = False
        flight.on_leave = self._end
        self._bytes = self._chunks = 0

    async def receive(self) -> Message:
        """Give the body in pieces; then, when the answer is complete or the client has left, ``http.disconnect``."""
        if not self._told:
            piece = self.made.body[self._sent : self._sent + CHUNK]
            self._sent += len(piece)
            self._told = self._sent >= len(self.made.body)
            return {"type": "http.request", "body": piece, "more_body": not self._told}
        if not self._over:
            if self._gone is None:
                self._gone = asyncio.Event()
            await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a message of the answer; once the client has left, drop it."""
        if message["type"] == "http.response.start":
            self.status = self._flight.status = message["status"]
            if self._is_stream(message.get("headers", ())):
                self._flight.leave = time.monotonic() + STREAM
            return
        if message["type"] != "http.response.body" or self._over:
            return
        if not message.get("more_body"):
            self._end()
            return
        self._flight.streams = True
        self._chunks += 1
        self._bytes += len(message.get("body", b""))
        if self._bytes > LONGEST_STREAM or (self._flight.leave is not None and self._chunks >= EVENTS):
            self._end()
        await asyncio.sleep(0)  # a socket that is full would make it wait as well

    def close(self) -> None:
        """The handler is done, whatever it has sent."""
        self._flight.on_leave = None
        self._end()

    def _end(self) -> None:
        self._over = True
        self._flight.leave = None
        if not self._flight.answered:
            self._flight.answered = time.monotonic()
        if self._gone is not None:
            self._gone.set()

    @staticmethod
    def _is_stream(headers: typing.Iterable[tuple[bytes, bytes]]) -> bool:
        return any(bytes(n).lower() == b"content-type" and b"text/event-stream" in bytes(v).lower() for n, v in headers)


class _Double:
    """An ASGI 2 app as an ASGI 3 one."""

    def __init__(self, app: typing.Any) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: typing.Any, send: typing.Any) -> None:
        await self._app(scope)(receive, send)


class _Lifespan:
    """The app's start-up and shutdown, in one task of their own."""

    def __init__(self, app: typing.Any, state: dict[str, typing.Any]) -> None:
        self._app = app
        self._state = state
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failed: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, patience: float) -> None:
        """Wait until the app has started up; an app without lifespan has at once.

        Raises:
            NotMeasuredError: it said that it failed, or does not answer.
        """
        self._task = asyncio.ensure_future(self._run())
        self._to_app.put_nowait({"type": "lifespan.startup"})
        # Not asyncio.timeout: what is cancelled here must not be the app's.
        done, _ = await asyncio.wait({asyncio.ensure_future(self._started.wait())}, timeout=max(patience, 10.0))
        if not done:
            from leakguard.probes.tasks import where_task

            where = where_task(self._task)
            raise NotMeasuredError(
                f"the app did not start up within {max(patience, 10.0):g} s"
                + (f"; it waits at {where}" if where else "")
            )
        if self._failed is not None:
            raise NotMeasuredError(f"the app failed to start up: {self._failed}")

    async def stop(self) -> None:
        """Shut down, in two seconds at most."""
        if self._task is None or self._task.done():
            return
        self._to_app.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait({self._task}, timeout=STOP)
        self._task.cancel()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(_VERSIONS), "state": self._state}
        try:
            await self._app(scope, self._to_app.get, self._send)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            # Before it answered: an app that knows no lifespan raises at the unknown scope, and is served all the same.
            if self._failed == "" or (isinstance(error, SystemExit) and not self._started.is_set()):
                self._failed = failure_of(error).cause
        finally:
            self._started.set()
            self._stopped.set()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.failed":
            # Starlette gives its traceback as the message, and raises afterwards: its last line is the error.
            lines = [line for line in str(message.get("message", "")).splitlines() if line.strip()]
            self._failed = lines[-1].strip() if lines else ""
            if not lines:
                return
        if kind.startswith("lifespan.startup"):
            self._started.set()
        elif kind.startswith("lifespan.shutdown"):
            self._stopped.set()
