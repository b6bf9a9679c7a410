"""The routes of Litestar, with its OpenAPI document for parameters and bodies."""

from __future__ import annotations

import re
import typing

from leakguard.check.request import Request
from leakguard.check.routes import Found, openapi, values

_PARAMETER = re.compile(r"\{([^{}:]+)(?::([^{}]+))?\}")


def read(app: typing.Any) -> Found:
    """Return the requests of an app's routes."""
    found = Found()
    document = _document(app)
    pages = _pages(app)
    for route in app.routes:
        kind = type(route).__name__
        path = str(route.path)
        if kind != "HTTPRoute":
            found.skipped.append((path, "a WebSocket" if "WebSocket" in kind else "a mounted app or static files"))
        elif any(path == page or path.startswith(f"{page}/") for page in pages):
            found.skipped.append((path, "documentation"))
        elif any("static" in type(handler).__name__.lower() for handler in getattr(route, "route_handlers", ())):
            found.skipped.append((path, "static files"))
        else:
            methods = set(map(str, route.methods)) - {"OPTIONS"}
            methods -= {"HEAD"} if "GET" in methods else set()
            found.requests.extend(_request(method, path, document) for method in sorted(methods))
    return found


def _request(method: str, template: str, document: dict[str, typing.Any]) -> Request:
    formatted = _PARAMETER.sub(lambda got: f"{{{got[1]}}}", template)
    known = openapi.request(document, method, formatted, template)
    if known is not None:
        return known
    return Request(
        method, _PARAMETER.sub(lambda got: values.of_kind(got[2] or "str", got[1]), template), template=template
    )


def _document(app: typing.Any) -> dict[str, typing.Any]:
    try:
        document = app.openapi_schema.to_schema()
    except Exception:
        return {}
    return document if isinstance(document, dict) else {}


def _pages(app: typing.Any) -> list[str]:
    config = getattr(app, "openapi_config", None)
    path = (
        getattr(config, "path", None) or getattr(getattr(config, "openapi_controller", None), "path", None) or "/schema"
    )
    return ["/" + str(path).strip("/")] if config is not None else []
