"""The helper for test clients: each framework's own client, its app clean or leaking."""

from __future__ import annotations

import typing
import warnings
from collections.abc import Callable, Iterator

import httpx
import pytest
from hold import HOLD, Node
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from support.needs import module

from leakguard.errors import ConfigError, LeaksFoundError
from leakguard.testing.clients import UnexpectedAnswerError
from leakguard.testing.fixture import LeakChecker

leakguard = LeakChecker(usual={"n": 5})


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Each test plants its own leak and digs it up again."""
    HOLD.reset()
    yield
    HOLD.reset()


async def _ingest(request: Request) -> JSONResponse:
    body = await request.json()
    if body.get("keep"):
        HOLD.rows.append(Node())
    return JSONResponse({"ok": True}, status_code=201)


APP = Starlette(routes=[Route("/ingest", _ingest, methods=["POST"])])


def starlette_client() -> typing.Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of httpx, where httpx2 is not installed
        from starlette.testclient import TestClient
    return TestClient(APP)


def httpx_client() -> typing.Any:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=APP), base_url="http://app")


def flask_client() -> typing.Any:
    flask = module("flask")
    app = flask.Flask("app")

    @app.post("/ingest")
    def ingest() -> tuple[str, int]:
        if flask.request.get_json().get("keep"):
            HOLD.rows.append(Node())
        return "", 201

    return app.test_client()


@pytest.mark.parametrize("client", [starlette_client, httpx_client, flask_client], ids=lambda make: make.__name__)
def test_clean_app_passes_with_every_client(client: Callable[[], typing.Any]) -> None:
    """Requests are made with the client's own arguments, answers closed, and the clean path passes."""
    leakguard.assert_client_does_not_leak(client(), "POST", "/ingest", status=201, json={"keep": False})


def test_django_client_passes() -> None:
    """Django's client is called by its method's name; it needs settings, so that a fresh process makes them."""
    import subprocess
    import sys

    code = """
import django
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="x")
django.setup()
from django.http import HttpResponse
from django.test import Client
from django.urls import path
urlpatterns = [path("ingest", lambda request: HttpResponse(request.body))]
from leakguard.testing.fixture import LeakChecker
LeakChecker(usual={"n": 5}).assert_client_does_not_leak(
    Client(), "POST", "/ingest", status=200, data={"player": 1}, content_type="application/json")
print("clean")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "clean", done.stderr


def test_leak_of_the_app_is_named() -> None:
    """What the app keeps per request is found through the client."""
    with pytest.raises(LeaksFoundError, match=r"1\.00 hold\.Node per call, held by hold\.HOLD\.rows"):
        leakguard.assert_client_does_not_leak(starlette_client(), "POST", "/ingest", json={"keep": True})


def test_unexpected_answer_is_no_pass() -> None:
    """A leak test of another answer than the one meant says so at once."""
    with pytest.raises(UnexpectedAnswerError, match="status is 404, and the leak test expects 201"):
        leakguard.assert_client_does_not_leak(starlette_client(), "POST", "/other", status=201)


def test_what_is_no_client_is_refused() -> None:
    """One line: what it must be, what it is, and what to use."""
    with pytest.raises(ConfigError, match=r"'client' must be a test client of .*assert_no_leaks"):
        leakguard.assert_client_does_not_leak(object(), "GET", "/")
