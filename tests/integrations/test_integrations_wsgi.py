"""The WSGI middleware with plain apps, Flask and Django, driven through the real interface."""

from __future__ import annotations

import io
import time
import typing
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest
from support.needs import module

from leakguard import LeakGuardWSGI
from leakguard.guard import Guard, obtain
from leakguard.probes.requests import KEY
from leakguard.records import RouteCount

pytestmark = pytest.mark.usefixtures("released")

Environ = dict[str, typing.Any]


def environ_for(path: str, **extra: typing.Any) -> Environ:
    environ: Environ = {"PATH_INFO": path, "wsgi.input": io.BytesIO(), **extra}
    setup_testing_defaults(environ)
    return environ


def call(app: typing.Any, path: str = "/", **extra: typing.Any) -> tuple[str, bytes]:
    """Send one request as a server does: iterate, then close."""
    status: list[str] = []

    def start_response(line: str, headers: list[tuple[str, str]], exc_info: object = None) -> typing.Any:
        status.append(line)
        return lambda data: None

    response = app(environ_for(path, **extra), start_response)
    try:
        body = b"".join(response)
    finally:
        if hasattr(response, "close"):
            response.close()
    return status[0], body


def guarded(app: typing.Any, **options: object) -> LeakGuardWSGI:
    return LeakGuardWSGI(app, **{"interval": "1h", "journal": "off", **options})


def guard_of(app: LeakGuardWSGI) -> Guard:
    return obtain(app.config)


def counts(guard: Guard) -> dict[str, RouteCount]:
    return {count.route: count for count in guard.requests.take(time.perf_counter())}


def hello(environ: Environ, start_response: typing.Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


def test_a_request_ends_when_its_answer_is_closed() -> None:
    """The request is in flight until the server closes the iterable."""
    app = guarded(hello)
    response = app(environ_for("/"), lambda status, headers, exc_info=None: lambda data: None)
    guard = guard_of(app)
    assert len(guard.requests.in_flight) == 1
    assert len(response) == 1  # type: ignore[arg-type]  # servers make Content-Length from it
    assert b"".join(response) == b"hello"
    assert len(guard.requests.in_flight) == 1
    response.close()  # type: ignore[attr-defined]
    response.close()  # type: ignore[attr-defined]
    assert guard.requests.in_flight == set()
    assert counts(guard)["GET /"].count == 1


def test_an_answer_that_is_never_closed_ends_with_its_object() -> None:
    """A server that forgets to close does not leave the request in flight for ever."""
    app = guarded(hello)
    response = app(environ_for("/"), lambda status, headers, exc_info=None: lambda data: None)
    del response
    assert guard_of(app).requests.in_flight == set()


@pytest.mark.parametrize("form", [list, tuple])
def test_a_sized_answer_is_a_list_to_the_server(form: type) -> None:
    """Servers send a list at once (granian) and take its length (PEP 3333): a list stays one."""

    def two_parts(environ: Environ, start_response: typing.Any) -> typing.Any:
        start_response("200 OK", [])
        return form([b"a", b"b"])

    response = guarded(two_parts)(environ_for("/"), lambda status, headers, exc_info=None: lambda data: None)
    assert isinstance(response, list)
    assert response == [b"a", b"b"]


@pytest.mark.parametrize("line", ["", "no status", 204])
def test_a_wrong_status_line_is_left_to_the_server(line: object) -> None:
    """What is no status line reaches the server as it is; nothing of ours raises before."""
    seen: list[object] = []

    def wrong(environ: Environ, start_response: typing.Any) -> list[bytes]:
        start_response(line, [])
        return [b""]

    guarded(wrong)(environ_for("/"), lambda status, headers, exc_info=None: seen.append(status))  # type: ignore[arg-type,func-returns-value]
    assert seen == [line]


def test_exceptions_are_recorded_when_calling_and_when_iterating() -> None:
    """Both ways in which a WSGI app can fail are seen, and the same object reaches the server."""
    raised = [KeyError("secret"), KeyError("secret")]

    def fails(environ: Environ, start_response: typing.Any) -> list[bytes]:
        raise raised[0]

    def fails_late(environ: Environ, start_response: typing.Any) -> typing.Iterator[bytes]:
        start_response("200 OK", [])
        yield b"a"
        raise raised[1]

    for app, error in zip((guarded(fails), guarded(fails_late)), raised, strict=True):
        with pytest.raises(KeyError) as caught:
            call(app)
        assert caught.value is error
    guard = guard_of(app)
    assert counts(guard)["GET /"].errors == 2
    assert sorted(f.site.function for f in guard.failures.known().values() if f.site) == ["fails", "fails_late"]


def test_the_servers_file_wrapper_passes_untouched() -> None:
    """A file answer keeps the server's own type, so that sendfile still works, and is counted."""

    def sends_file(environ: Environ, start_response: typing.Any) -> typing.Any:
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"file"))

    app = guarded(sends_file)
    environ = environ_for("/file", **{"wsgi.file_wrapper": FileWrapper})
    response = app(environ, lambda status, headers, exc_info=None: lambda data: None)
    assert type(response) is FileWrapper
    assert counts(guard_of(app))["GET /file"].count == 1


def test_wrapping_twice_counts_once_and_off_is_a_straight_pass() -> None:
    """The inner of two steps aside; switched off, the environ stays as it was."""
    seen: list[Environ] = []

    def bare(environ: Environ, start_response: typing.Any) -> list[bytes]:
        seen.append(environ)
        return hello(environ, start_response)

    assert call(guarded(bare, level="off")) == ("200 OK", b"hello")
    assert KEY not in seen[0]
    app = LeakGuardWSGI(guarded(bare), interval="1h", journal="off")
    call(app)
    assert counts(guard_of(app))["GET /"].count == 1


def test_a_kept_environ_is_retained() -> None:
    """An app that keeps its environ is named; letting go cures it."""
    kept: list[Environ] = []

    def keeps(environ: Environ, start_response: typing.Any) -> list[bytes]:
        kept.append(environ)
        return hello(environ, start_response)

    app = guarded(keeps)
    for _ in range(10):
        call(app, "/keep")
    assert counts(guard_of(app))["GET /keep"].retained == 10
    kept.clear()
    assert counts(guard_of(app)) == {}


def test_flask_rules_name_the_routes() -> None:
    """A real Flask app is counted by its rules."""
    flask = module("flask")
    site = flask.Flask("shop")

    @site.get("/users/<int:number>")
    def user(number: int) -> str:
        return "x"

    app = guarded(site.wsgi_app)
    for number in range(3):
        assert call(app, f"/users/{number}")[0] == "200 OK"
    assert call(app, "/nowhere")[0] == "404 NOT FOUND"
    assert {r: c.count for r, c in counts(guard_of(app)).items()} == {
        "GET /users/<int:number>": 3,
        "GET (unmatched)": 1,
    }


def test_django_routes_name_the_routes() -> None:
    """A real Django app is counted by its URL patterns."""
    django = module("django")
    from django.conf import settings

    if not settings.configured:
        settings.configure(SECRET_KEY="x", ROOT_URLCONF="django_urls", ALLOWED_HOSTS=["*"], DEBUG=False)
        django.setup()
    import sys
    import types

    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path

    urls = types.ModuleType("django_urls")
    urls.urlpatterns = [path("items/<int:pk>/", lambda request, pk: HttpResponse("x"))]  # type: ignore[attr-defined]
    sys.modules["django_urls"] = urls
    app = guarded(get_wsgi_application())
    for number in range(3):
        assert call(app, f"/items/{number}/")[0] == "200 OK"
    assert counts(guard_of(app))["GET /items/<int:pk>/"].count == 3
