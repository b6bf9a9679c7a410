"""The WSGI middleware: the same watch as the ASGI one; a request ends when the response iterable is closed (PEP 3333)."""

from __future__ import annotations

import functools
import sys
import threading
import time
import typing
from collections.abc import Iterable, Iterator

from leakguard.config import Config, Level, Options
from leakguard.guard import Guard, after_fork, in_worker, introduce, obtain, on_fork
from leakguard.integrations.parting import ends_event, is_event_stream
from leakguard.integrations.readiness import answer_wsgi
from leakguard.probes.failures import cause_of
from leakguard.probes.requests import KEY, Passage, enter
from leakguard.probes.routes import ENDPOINT, MAX_ROUTES, ROUTE, read_wsgi

if typing.TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class LeakGuardWSGI:
    """Watches a WSGI app for leaks and, given a ceiling, recycles its worker without losing a request.

    ``app.wsgi_app = LeakGuardWSGI(app.wsgi_app)`` for Flask, ``application = LeakGuardWSGI(get_wsgi_application())`` for
    Django. Wrapping twice counts once.

    Args:
        app: the WSGI application.
        config: ready options, instead of keyword arguments.
        options: as for ``LeakGuardMiddleware``.

    Raises:
        ConfigError: when an option is wrong; at construction, never later.
    """

    def __init__(
        self, app: WSGIApplication, *, config: Config | None = None, **options: typing.Unpack[Options]
    ) -> None:
        self.app = app
        self.config = config if config is not None else Config.load(**options)
        self._armed = self.config.level is not Level.OFF
        self._readiness = self.config.readiness_path
        self._guard: Guard | None = None
        on_fork(self)
        if self._armed and in_worker():
            # WSGI has no start-up event. In a worker that is booting, this is the moment to introduce ourselves, so that
            # a predecessor waiting for its successor need not wait for a first request.
            self._guard = obtain(self.config)
            self._guard.ready()
        elif self._armed:
            after_fork(introduce)

    def forget_guard(self) -> None:
        """Drop the guard of another process: after a fork the child gets its own."""
        self._guard = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send one request through the app, counted."""
        if KEY in environ or not self._armed:
            return self.app(environ, start_response)
        guard = self._guard
        if guard is None:
            guard = self._guard = obtain(self.config)
        if not guard.is_ready:
            guard.ready()
        if self._readiness is not None and environ.get("PATH_INFO") == self._readiness:
            return answer_wsgi(guard, environ, start_response)
        passage = enter(environ)
        passage.thread = threading.get_ident()
        guard.requests.begin(passage)
        said: list[tuple[str, str]] = []

        def observed_start(
            status: str, headers: list[tuple[str, str]], exc_info: typing.Any = None, /
        ) -> typing.Callable[[bytes], object]:
            nonlocal said
            said = headers
            passage.status = _code_of(status)
            if "werkzeug.request" in environ:
                _read_werkzeug(environ)
            if guard.drain.closing:
                headers = guard.close_wsgi(environ, start_response, headers)
            return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

        try:
            response = self.app(environ, observed_start)
        except Exception as error:
            passage.cause = cause_of(error)
            _end(guard, passage)
            raise
        except BaseException:
            _end(guard, passage)
            raise
        form = type(response)
        if form is list or form is tuple:
            answer = _SizedAnswer(response)
            answer.guard, answer.passage = guard, passage
            return answer
        _read_django(environ, response)
        if form is environ.get("wsgi.file_wrapper"):
            # The server sends files by itself (sendfile, uWSGI's offload) only when it gets back its own wrapper.
            passage.answered = time.perf_counter()
            _end(guard, passage)
            return response
        return _Answer(response, guard, passage, lambda: said)


@functools.lru_cache(maxsize=64)  # a third of what cutting and reading it costs
def _code_of(status: str) -> int:
    try:
        return int(status[:3])
    except (TypeError, ValueError):  # no status line at all: the server says so, in its own words
        return 0


def _end(guard: Guard, passage: Passage) -> None:
    read_wsgi(passage, passage.scope)
    guard.requests.finish(passage)


def _read_werkzeug(environ: WSGIEnvironment) -> None:
    """Put Flask's rule into the environ; Flask takes its request out of the environ before the app returns."""
    rule = getattr(getattr(environ["werkzeug.request"], "url_rule", None), "rule", None)
    if isinstance(rule, str):
        environ[ROUTE] = rule
        if rule not in _viewed:
            _note_view(environ, rule)


_viewed: set[str] = set()  # rules whose view was noted; as many as there are names of routes


def _note_view(environ: WSGIEnvironment, rule: str) -> None:
    """Put the view of Flask's rule into the environ, once per rule: tracebacks of allocations are matched with it."""
    if len(_viewed) >= MAX_ROUTES:
        return
    _viewed.add(rule)
    try:
        endpoint = environ["werkzeug.request"].url_rule.endpoint
        environ[ENDPOINT] = sys.modules["flask"].current_app.view_functions.get(endpoint)
    except (LookupError, AttributeError, RuntimeError):
        pass  # another framework on werkzeug, or outside of its context


def _read_django(environ: WSGIEnvironment, response: object) -> None:
    """Put Django's route into the environ: its response closes its request, and the request knows what it matched."""
    closers = getattr(response, "_resource_closers", None)
    for closer in closers or ():
        match = getattr(getattr(closer, "__self__", None), "resolver_match", None)
        route = getattr(match, "route", None)
        if isinstance(route, str):
            environ[ROUTE] = "/" + route.lstrip("/")
            environ[ENDPOINT] = getattr(match, "func", None)
            return


class _Answer:
    """The response iterable with its end observed: counts the request when closed, records what iterating raises."""

    __slots__ = ("_guard", "_headers", "_passage", "_response")

    def __init__(
        self,
        response: Iterable[bytes],
        guard: Guard,
        passage: Passage,
        headers: typing.Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        self._headers = headers  # a generator calls start_response only when it is iterated
        self._response = response
        self._guard = guard
        self._passage: Passage | None = passage

    def __iter__(self) -> Iterator[bytes]:
        try:
            for part in self._response:
                yield part
                # A leaving worker parts from an event stream between two events: browsers connect anew.
                if self._guard.drain.closing and ends_event(part, False) and is_event_stream(self._headers()):
                    return
        except Exception as error:
            if self._passage is not None:
                self._passage.cause = cause_of(error)
            raise

    def close(self) -> None:
        """Close the app's iterable, then count the request as ended; once."""
        passage, self._passage = self._passage, None
        try:
            closer = getattr(self._response, "close", None)
            if closer is not None:
                closer()
        finally:
            if passage is not None:
                _end(self._guard, passage)

    def __del__(self) -> None:
        # A server that forgets to close would leave the request in flight for ever.
        if self._passage is not None:
            _end(self._guard, self._passage)


class _SizedAnswer(list[bytes]):
    """A list or a tuple: servers derive Content-Length from ``len() == 1``. Neither raises, neither is closed.

    A list itself, so that the server iterates it without a step of ours.
    """

    __slots__ = ("guard", "passage")

    guard: Guard
    passage: Passage | None

    def close(self) -> None:
        """Count the request as ended; once."""
        passage, self.passage = self.passage, None
        if passage is not None:
            _end(self.guard, passage)

    def __del__(self) -> None:
        # As in ``_Answer``.
        if self.passage is not None:
            self.close()
