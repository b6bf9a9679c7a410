"""The routes of Starlette and FastAPI: by their own tables, with FastAPI's OpenAPI document for parameters and bodies."""

from __future__ import annotations

import json
import typing
import warnings
from collections.abc import Iterable

from leakguard.check.interface import frameworks
from leakguard.check.request import Request
from leakguard.check.routes import Found, openapi, values

_DOCS = "documentation"
_PAGES = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")
_BODIED = frozenset({"POST", "PUT", "PATCH"})


def read(app: typing.Any) -> Found:
    """Return the requests of an app and of those mounted in it."""
    found = Found([], [])
    _read(app, "", found)
    return found


def _read(app: typing.Any, prefix: str, found: Found) -> None:
    document = _document(app)
    pages = {page for name in _PAGES if isinstance(page := getattr(app, name, None), str)}
    _read_routes(getattr(app, "routes", ()), prefix, found, document, pages)


def _read_routes(
    routes: Iterable[typing.Any], prefix: str, found: Found, document: dict[str, typing.Any], pages: set[str]
) -> None:
    for route in routes:
        path = getattr(route, "path", "")
        name = f"{prefix}{path}"
        match _kind(route):
            case "websocket":
                found.skipped.append((name, "a WebSocket"))
            case "host":
                found.skipped.append((f"{getattr(route, 'host', '')}{prefix}", "for another host"))
            case "mount":
                _read_mount(route, name, found)
            case "route" if path in pages:
                found.skipped.append((name, _DOCS))
            case "route":
                for method in _methods(route):
                    found.requests.append(_request(route, method, prefix, document))
            case _:
                found.skipped.append((name or type(route).__qualname__, "of an unknown kind"))


def _kind(route: typing.Any) -> str:
    """Return what a route is, by the names of its classes: an app may have its own."""
    names = [cls.__name__ for cls in type(route).__mro__]
    for name, kind in (("WebSocketRoute", "websocket"), ("Host", "host"), ("Mount", "mount"), ("Route", "route")):
        if name in names:
            return kind
    return "route" if hasattr(route, "endpoint") and hasattr(route, "methods") else ""


def _methods(route: typing.Any) -> list[str]:
    """Return the methods to send: ``HEAD`` only where there is no ``GET``, and never ``OPTIONS``."""
    methods = getattr(route, "methods", None)
    if not methods:
        endpoint = getattr(route, "endpoint", None)
        of_class = [m for m in ("GET", "POST", "PUT", "PATCH", "DELETE") if hasattr(endpoint, m.lower())]
        return of_class or ["GET"]
    return sorted(m for m in methods if m != "OPTIONS" and not (m == "HEAD" and "GET" in methods))


def _read_mount(mount: typing.Any, prefix: str, found: Found) -> None:
    app = getattr(mount, "app", None)
    if any("StaticFiles" in cls.__name__ for cls in type(app).__mro__):
        found.skipped.append((prefix, "static files"))
        return
    if "{" in prefix:
        found.skipped.append((prefix, "mounted under a parameter"))
        return
    if "fastapi" in frameworks(type(app)) or "starlette.applications" in {c.__module__ for c in type(app).__mro__}:
        _read(app, prefix, found)
        return
    inner = getattr(mount, "routes", None) or getattr(app, "routes", None)
    if inner:
        _read_routes(inner, prefix, found, {}, set())
    else:
        found.skipped.append((prefix, "an app that tells no routes"))


def _request(route: typing.Any, method: str, prefix: str, document: dict[str, typing.Any]) -> Request:
    template = f"{prefix}{route.path}"
    plain = getattr(route, "path_format", route.path)
    known = openapi.request(document, method, plain, template) if getattr(route, "include_in_schema", True) else None
    if known is not None:
        return Request(method, prefix + known.path, known.headers, known.body, template)
    path = plain
    for name, convertor in getattr(route, "param_convertors", {}).items():
        kind = type(convertor).__name__.removesuffix("Convertor").lower()
        path = path.replace(f"{{{name}}}", values.of_kind({"integer": "int"}.get(kind, kind), name))
    if method not in _BODIED:
        return Request(method, prefix + path, (), b"", template)
    body = json.dumps(values.BODY).encode()
    return Request(method, prefix + path, (("Content-Type", "application/json"),), body, template)


def _document(app: typing.Any) -> dict[str, typing.Any]:
    """Return FastAPI's OpenAPI document; an empty one where there is none, or the app's own code fails to make it."""
    make = getattr(app, "openapi", None)
    if make is None:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = make()
    except Exception:
        return {}
    return document if isinstance(document, dict) else {}
