"""The WSGI client: one call of the app per request, its answer iterated and closed (PEP 3333), as a sync worker does it."""

from __future__ import annotations

import io
import sys
import threading
import time
import typing
import urllib.parse
from collections.abc import Iterator
from wsgiref.util import FileWrapper

from leakguard.check.answers import Answer, Answers
from leakguard.check.board import Board
from leakguard.check.clients.base import (
    AGENT,
    EVENTS,
    HOST,
    LONGEST_STREAM,
    PEER,
    PORT,
    STREAM,
    UNENDING,
    Work,
    failure_of,
)
from leakguard.check.request import Made, Request

Environ = dict[str, typing.Any]
Ask = typing.Callable[[int, int, Request, int], Answer]


class WsgiClient:
    """Speaks WSGI: in this thread, or with a concurrency in as many threads that stay.

    Args:
        app: the application.
        concurrency: requests at a time.
        board: is written what is on its way.
    """

    def __init__(self, app: typing.Any, concurrency: int, board: Board) -> None:
        self._board = board
        self.app = app
        self._concurrency = concurrency
        self._crew: _Crew | None = None

    async def start(self) -> None:
        """WSGI has no start-up."""
        if self._concurrency > 1:
            self._crew = _Crew(self._concurrency)

    async def stop(self) -> None:
        """Nor a shutdown."""
        if self._crew is not None:
            self._crew.stop()

    async def pause(self, seconds: float) -> None:
        """Sleep, so that threads can go on."""
        time.sleep(seconds)

    async def settle(self) -> None:
        """Nothing is kept."""

    async def send(self, work: Work, answers: Answers) -> None:
        """Send every request."""
        if self._crew is not None:
            self._crew.run(iter(work), self._ask, answers)
            return
        for index, request, number in work:
            answers.add(index, self._ask(0, index, request, number))

    def _ask(self, seat: int, index: int, request: Request, number: int) -> Answer:
        self._board.send(seat, index)
        try:
            return self._exchange(request, number)
        finally:
            self._board.answered(seat)

    def _exchange(self, request: Request, number: int) -> Answer:
        environ = self._environ(request.made(number))
        start = _Start()
        try:
            answer = self.app(environ, start)
            try:
                _exhaust(answer, start)
            finally:
                closer = getattr(answer, "close", None)
                if closer is not None:
                    closer()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return failure_of(error)
        return Answer(start.status) if start.status else Answer(500, "the app never called start_response")

    def _environ(self, made: Made) -> Environ:
        environ: Environ = {
            "REQUEST_METHOD": made.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": urllib.parse.unquote_to_bytes(made.path).decode("latin-1"),
            "QUERY_STRING": made.query,
            "RAW_URI": made.uri,
            "REQUEST_URI": made.uri,
            "SERVER_NAME": HOST,
            "SERVER_PORT": str(PORT),
            "SERVER_PROTOCOL": "HTTP/1.1",
            "SERVER_SOFTWARE": AGENT,
            "REMOTE_ADDR": PEER[0],
            "REMOTE_PORT": str(PEER[1]),
            "HTTP_HOST": f"{HOST}:{PORT}",
            "HTTP_USER_AGENT": AGENT,
            "HTTP_ACCEPT": "*/*",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(made.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": self._concurrency > 1,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.file_wrapper": FileWrapper,
        }
        if made.body or made.method in {"POST", "PUT", "PATCH"}:
            environ["CONTENT_LENGTH"] = str(len(made.body))
        for name, value in made.headers:
            key = name.upper().replace("-", "_")
            key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
            text = value.encode().decode("latin-1")
            joined = key in environ and key not in {"HTTP_HOST", "HTTP_USER_AGENT", "HTTP_ACCEPT", "CONTENT_TYPE"}
            environ[key] = f"{environ[key]},{text}" if joined else text
        return environ


class _Start:
    """``start_response`` of one request."""

    __slots__ = ("begun", "status", "streams")

    def __init__(self) -> None:
        self.status = 0
        self.streams = False
        self.begun = False

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: typing.Any = None, /
    ) -> typing.Callable[[bytes], object]:
        try:
            if exc_info and self.begun:
                raise exc_info[1].with_traceback(exc_info[2])
        finally:
            exc_info = None  # a cycle of traceback and frame would be garbage of ours
        code = status.split(" ", 1)[0]
        self.status = int(code) if code.isdigit() else 500
        self.streams = any(n.lower() == "content-type" and "text/event-stream" in v.lower() for n, v in headers)
        return self._write

    def _write(self, data: bytes) -> None:
        self.begun = self.begun or bool(data)


def _exhaust(answer: typing.Iterable[bytes], start: _Start) -> None:
    """Read the answer to its end; leave an event stream, which has none, after a few events, as clients do."""
    size = 0
    began = time.monotonic()
    for count, piece in enumerate(answer, 1):
        start.begun = start.begun or bool(piece)
        size += len(piece)
        lasts = time.monotonic() - began
        if size > LONGEST_STREAM or lasts > UNENDING or (start.streams and (count >= EVENTS or lasts > STREAM)):
            return


class _Crew:
    """Threads that stay for the whole check, as a server's pool does, so that what is kept per thread is kept once."""

    def __init__(self, size: int) -> None:
        self._jobs: Iterator[tuple[int, Request, int]] = iter(())
        self._lock = threading.Lock()
        self._begin = threading.Barrier(size + 1)
        self._end = threading.Barrier(size + 1)
        self._ask: Ask | None = None
        self._answers: Answers | None = None
        for number in range(size):
            threading.Thread(target=self._work, args=(number,), name=f"leakguard-client-{number}", daemon=True).start()

    def run(
        self,
        jobs: Iterator[tuple[int, Request, int]],
        ask: Ask,
        answers: Answers,
    ) -> None:
        """Let the threads do all jobs."""
        self._jobs, self._ask, self._answers = jobs, ask, answers
        self._begin.wait()
        self._end.wait()
        self._jobs, self._ask = iter(()), None

    def stop(self) -> None:
        """Let the threads end."""
        self._begin.abort()

    def _work(self, seat: int) -> None:
        while True:
            try:
                self._begin.wait()
            except threading.BrokenBarrierError:
                return
            while (job := self._next()) is not None:
                index, request, number = job
                if self._ask is None or self._answers is None:
                    break
                answer = self._ask(seat, index, request, number)
                with self._lock:
                    self._answers.add(index, answer)
                del job, request
            self._end.wait()

    def _next(self) -> tuple[int, Request, int] | None:
        with self._lock:
            return next(self._jobs, None)
