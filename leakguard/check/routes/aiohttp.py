"""The routes of aiohttp, sub-applications included."""

from __future__ import annotations

import re
import typing

from leakguard.check.request import NUMBER, PADDED, Request
from leakguard.check.routes import Found, plain, values

_PARAMETER = re.compile(r"\{([A-Za-z_]\w*)\}")


def read(app: typing.Any) -> Found:
    """Return the requests of an app's router."""
    found = Found()
    for route in app.router.routes():
        resource = route.resource
        canonical = getattr(resource, "canonical", None) if resource is not None else None
        if canonical is None:
            continue  # the answers 404 and 405
        info = resource.get_info()
        if "directory" in info:
            found.skipped.append((canonical, "static files"))
            continue
        if "domain" in info:
            found.skipped.append((canonical, "for another host"))
            continue
        methods = ("GET", "POST") if route.method == "*" else (route.method,)
        for method in methods:
            if method != "OPTIONS" and not (method == "HEAD" and _has_get(resource)):
                found.requests.append(_request(method, canonical, info))
    return found


def _has_get(resource: typing.Any) -> bool:
    return any(route.method in {"GET", "*"} for route in resource)


def _request(method: str, template: str, info: typing.Mapping[str, typing.Any]) -> Request:
    path = str(info.get("path") or _fitting(str(info.get("formatter", template)), info.get("pattern")))
    return plain.request(method, path, template)


def _fitting(formatter: str, pattern: typing.Any) -> str:
    """Return the path with values that its expression takes: a text with a number, else a number, else a letter."""
    for value in (
        lambda got: values.of_kind("str", got[1]),
        lambda _got: NUMBER,
        lambda _got: "a",
        lambda _got: values.UUID,
    ):
        path = _PARAMETER.sub(value, formatter)
        tried = path.replace(NUMBER, "7").replace(PADDED, "7".zfill(12))
        if pattern is None or pattern.fullmatch(tried):
            return path
    return _PARAMETER.sub(NUMBER, formatter)
