"""A case's application as a server runs it: under leakguard's middleware, with four healthy routes of other shapes beside it.

``LIVE_FOLDER`` names the folder of the application, ``LIVE_TARGET`` the application in it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import json
import os
import sys
import typing
from collections.abc import Callable

from leakguard import LeakGuardMiddleware, LeakGuardWSGI

_asked = 0


def greeting(body: bytes) -> bytes:
    """A few bytes."""
    return b"hello " * 20


def order(body: bytes) -> bytes:
    """JSON in, JSON out."""
    told = json.loads(body or b"{}")
    told["total"] = sum(item["number"] * item["price"] for item in told.get("items", []))
    return json.dumps(told).encode()


def report(body: bytes) -> bytes:
    """Some hundred short-lived objects."""
    rows = [{"id": number, "name": f"row {number}", "tags": [f"a{number}", "b"]} for number in range(60)]
    return json.dumps(rows).encode()


@functools.lru_cache(maxsize=256)
def price_of(article: int) -> str:
    """Return what a bounded cache keeps: it is soon full, and turns over."""
    return hashlib.sha256(str(article).encode()).hexdigest()


def price(body: bytes) -> bytes:
    """A bounded cache."""
    global _asked
    _asked += 1
    return price_of(_asked * 7919 % 1000).encode()


HEALTHY: dict[str, Callable[[bytes], bytes]] = {
    "/healthy/greeting": greeting,
    "/healthy/orders": order,
    "/healthy/report": report,
    "/healthy/price": price,
}


def asgi(guest: typing.Any) -> LeakGuardMiddleware:
    """Return an ASGI application with the healthy routes beside it, guarded."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    def route(path: str, act: Callable[[bytes], bytes]) -> Route:
        async def endpoint(request: Request) -> Response:
            return Response(act(await request.body()))

        return Route(path, endpoint, methods=["GET", "POST"])

    host = Starlette(routes=[route(path, act) for path, act in HEALTHY.items()])

    async def both(scope: typing.Any, receive: typing.Any, send: typing.Any) -> None:
        await (host if scope.get("path", "").startswith("/healthy/") else guest)(scope, receive, send)

    return LeakGuardMiddleware(both)


def wsgi(guest: typing.Any) -> LeakGuardWSGI:
    """Return a WSGI application with the healthy routes beside it, guarded."""

    def both(environ: typing.Any, start_response: typing.Any) -> typing.Any:
        act = HEALTHY.get(environ["PATH_INFO"])
        if act is None:
            return guest(environ, start_response)
        answer = act(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(answer)))])
        return [answer]

    return LeakGuardWSGI(both)


def interface(guest: object) -> str:
    """Return ``asgi`` or ``wsgi`` by what the application's own call takes."""
    call = guest if inspect.isfunction(guest) else type(guest).__call__
    return "asgi" if inspect.iscoroutinefunction(call) else "wsgi"


def make() -> object:
    """Return the application that the environment names, guarded."""
    sys.path.insert(0, os.environ["LIVE_FOLDER"])
    module, _, name = os.environ["LIVE_TARGET"].partition(":")
    guest = getattr(importlib.import_module(module), name)
    return asgi(guest) if interface(guest) == "asgi" else wsgi(guest)


if "LIVE_FOLDER" in os.environ:
    app = make()
