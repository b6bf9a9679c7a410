"""The readiness endpoint: 200 while this worker wants requests, 503 while it leaves; what it answers is in no figure."""

from __future__ import annotations

import typing

from leakguard.recycling.close import close_asgi

if typing.TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from starlette.types import Scope, Send

    from leakguard.guard import Guard

_WORDS = {True: ("200 OK", b"ready\n"), False: ("503 Service Unavailable", b"not ready\n")}


async def answer_asgi(guard: Guard, scope: Scope, send: Send) -> None:
    """Answer an ASGI request for readiness."""
    status, body = _WORDS[guard.drain.ready]
    headers = [(name.lower().encode(), value.encode()) for name, value in _headers(body)]
    if guard.drain.closing:
        headers = close_asgi(scope, headers)
    await send({"type": "http.response.start", "status": int(status[:3]), "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def answer_wsgi(guard: Guard, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a WSGI request for readiness."""
    status, body = _WORDS[guard.drain.ready]
    headers = _headers(body)
    if guard.drain.closing:
        headers = guard.close_wsgi(environ, start_response, headers)
    start_response(status, headers)
    return [b"" if environ.get("REQUEST_METHOD") == "HEAD" else body]


def _headers(body: bytes) -> list[tuple[str, str]]:
    return [("Content-Type", "text/plain"), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
