"""The routes of Starlette and FastAPI: by their own tables, with FastAPI's OpenAPI document for parameters and bodies."""

from __future__ import annotations

import typing
import warnings
from collections.abc import Callable, Iterable

from leakguard.check.request import Request
from leakguard.check.routes import Found, openapi, plain, values

Document = dict[str, typing.Any]

_DOCS = "documentation"
_PAGES = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")


def read(app: typing.Any) -> Found:
    """Return the requests of an app and of those mounted in it."""
    return _Reader(_document).read(app)


def read_plain(app: typing.Any) -> Found:
    """Return them without asking for the OpenAPI document."""
    return _Reader(lambda _app: {}).read(app)


def host(app: typing.Any) -> str | None:
    """Return a host that the app's ``TrustedHostMiddleware`` lets in."""
    for middleware in getattr(app, "user_middleware", ()):
        options = getattr(middleware, "kwargs", None) or getattr(middleware, "options", None) or {}
        if "allowed_hosts" in options:
            return values.host_of([str(each) for each in options["allowed_hosts"] or ()])
    return None


class _Reader:
    """Walks through an app's routes and what is mounted."""

    def __init__(self, describe: Callable[[typing.Any], Document]) -> None:
        self._describe = describe
        self._found = Found()

    def read(self, app: typing.Any, prefix: str = "") -> Found:
        document = self._describe(app)
        if "x-error" in document:
            error = document["x-error"]
            self._found.notes.append(
                f"the app fails to make its OpenAPI document ({error}): values and bodies are guesses"
            )
        pages = {page for name in _PAGES if isinstance(page := getattr(app, name, None), str)}
        self._read_routes(getattr(app, "routes", ()), prefix, document, pages)
        return self._found

    def _read_routes(self, routes: Iterable[typing.Any], prefix: str, document: Document, pages: set[str]) -> None:
        skipped = self._found.skipped
        for route in routes:
            path = getattr(route, "path", "")
            name = f"{prefix}{path}"
            match _kind(route):
                case "websocket":
                    skipped.append((name, "a WebSocket"))
                case "host":
                    skipped.append((f"{getattr(route, 'host', '')}{prefix}", "for another host"))
                case "mount":
                    self._read_mount(route, name)
                case "route" if path in pages:
                    skipped.append((name, _DOCS))
                case "route":
                    self._found.requests.extend(_request(route, m, prefix, document) for m in _methods(route))
                case _:
                    skipped.append((name or type(route).__qualname__, "of an unknown kind"))

    def _read_mount(self, mount: typing.Any, prefix: str) -> None:
        app = getattr(mount, "app", None)
        skipped = self._found.skipped
        if any("StaticFiles" in cls.__name__ for cls in type(app).__mro__):
            skipped.append((prefix, "static files"))
        elif "{" in prefix:
            skipped.append((prefix, "mounted under a parameter"))
        elif {"fastapi.applications", "starlette.applications"} & {cls.__module__ for cls in type(app).__mro__}:
            self.read(app, prefix)
        elif inner := getattr(mount, "routes", None) or getattr(app, "routes", None):
            self._read_routes(inner, prefix, {}, set())
        else:
            skipped.append((prefix, "an app that tells no routes"))


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


def _request(route: typing.Any, method: str, prefix: str, document: Document) -> Request:
    template = f"{prefix}{route.path}"
    formatted = getattr(route, "path_format", route.path)
    known = (
        openapi.request(document, method, formatted, template) if getattr(route, "include_in_schema", True) else None
    )
    if known is not None:
        return Request(method, prefix + known.path, known.headers, known.body, template)
    path = formatted
    for name, convertor in getattr(route, "param_convertors", {}).items():
        kind = type(convertor).__name__.removesuffix("Convertor").lower()
        path = path.replace(f"{{{name}}}", values.of_kind({"integer": "int"}.get(kind, kind), name))
    return plain.request(method, prefix + path, template)


def _document(app: typing.Any) -> Document:
    """Return FastAPI's OpenAPI document; an empty one where there is none, or the app's own code fails to make it."""
    make = getattr(app, "openapi", None)
    if make is None:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            document = make()
    except Exception as error:
        return {"x-error": type(error).__name__}
    return document if isinstance(document, dict) else {}
