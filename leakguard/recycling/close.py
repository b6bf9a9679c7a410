"""Ending a connection after the answer, in the form that each server takes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

_HOP_BY_HOP_FORBIDDEN = {"2", "3"}  # HTTP/2 and HTTP/3 have no Connection header (RFC 9113, section 8.2.2)


def close_asgi(scope: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the response ``headers`` with ``connection: close`` in place of any other ``connection`` header.

    HTTP/2 and later know no such header and get their headers back as they are.
    """
    if scope.get("http_version") in _HOP_BY_HOP_FORBIDDEN:
        return list(headers)
    kept = [(name, value) for name, value in headers if name.lower() != b"connection"]
    kept.append((b"connection", b"close"))
    return kept


def close_wsgi(
    environ: Mapping[str, Any], start_response: Callable[..., Any], headers: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Have the server close this connection after the answer, in the form that this server takes; return the headers.

    Not through a header where it does harm: gunicorn drops it without a word and waitress answers it with a 500 (both
    measured). Under gunicorn the response and under waitress the task is told directly; uWSGI, granian and hypercorn take
    the header; under a server that is not known nothing is done. Costs microseconds; call it only while ``Drain.closing``.
    """
    if "gunicorn.socket" in environ:
        response = getattr(start_response, "__self__", None)
        if not hasattr(response, "force_close"):  # a middleware outside of ours wrapped start_response
            response = _gunicorn_response()
        if response is not None:
            response.force_close()
    elif "waitress.client_disconnected" in environ:
        task = _waitress_task()
        if task is not None:
            task.set_close_on_finish()
    elif _takes_header(environ, start_response):
        return [*(each for each in headers if each[0].lower() != "connection"), ("Connection", "close")]
    return headers


def _takes_header(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> bool:
    if "uwsgi.version" in environ or environ.get("SERVER_SOFTWARE") == "Granian":
        return True
    # hypercorn puts no name into the environ; what it is given becomes an ASGI answer.
    return getattr(start_response, "__module__", None) == "hypercorn.app_wrappers"


def _waitress_task() -> Any:
    frame = sys._getframe(2)
    for _ in range(200):
        if frame.f_code.co_name == "execute" and frame.f_globals.get("__name__") == "waitress.task":
            task = frame.f_locals.get("self")
            return task if hasattr(task, "set_close_on_finish") else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


def _gunicorn_response() -> Any:
    frame = sys._getframe(2)
    for _ in range(200):
        if frame.f_code.co_name.startswith("handle") and frame.f_globals.get("__name__", "").startswith("gunicorn."):
            response = frame.f_locals.get("resp")
            if hasattr(response, "force_close"):
                return response
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None
