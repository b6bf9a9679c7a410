"""Requests out of the app's own routes: one file per framework, chosen by where the app's class comes from.

No framework is imported here that the app has not imported itself. A request's parameters are filled with plausible values;
what may differ from request to request has ``{n}``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from leakguard.check.interface import frameworks, wrapped
from leakguard.check.request import Request
from leakguard.check.routes import naming
from leakguard.errors import ConfigError

# By package: which file reads its routes, and the attribute that its app has and its middlewares have not.
_BY_PACKAGE = {
    "fastapi": ("starlette", "routes"),
    "starlette": ("starlette", "routes"),
    "flask": ("flask", "url_map"),
    "quart": ("flask", "url_map"),
    "django": ("django", "__call__"),
    "litestar": ("litestar", "routes"),
    "aiohttp": ("aiohttp", "router"),
    "bottle": ("bottle", "routes"),
}
_MOST_SAID = 6
_WAY_OUT = "name what to request: --path '/items/{n}' (again for more), or --requests FILE"


@dataclass(slots=True)
class Found:
    """What a framework told: requests, and routes that are left out, each with the reason; and what else is to be said."""

    requests: list[Request] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def discover(app: object) -> tuple[tuple[Request, ...], tuple[str, ...]]:
    """Return the requests that the app's routes give, and what the reader should know about those left out.

    Raises:
        ConfigError: it tells no routes, or none that can be requested.
    """
    module, inner = framework(app)
    if module is None:
        raise ConfigError("TARGET", "tells no routes that leakguard can read", type(app).__qualname__, _WAY_OUT)
    found: Found = importlib.import_module(f"{__name__}.{module}").read(inner)
    notes = [*said(found.skipped), *found.notes]
    if not found.requests:
        left = f"; {'; '.join(notes)}" if notes else ""
        raise ConfigError("TARGET", f"has no route that can be requested{left}", type(inner).__qualname__, _WAY_OUT)
    return tuple(dict.fromkeys(found.requests)), tuple(notes)


def name(requests: Iterable[Request], app: object) -> tuple[Request, ...]:
    """Return the requests with the app's own names of the routes that they meet, where it tells any."""
    module, inner = framework(app)
    if module is None:
        return tuple(requests)
    read = importlib.import_module(f"{__name__}.{module}")
    try:
        known = getattr(read, "read_plain", read.read)(inner).requests
    except Exception:
        return tuple(requests)
    return tuple(each if each.template else naming.named(each, known) for each in requests)


def usual_headers(app: object) -> tuple[tuple[str, str], ...]:
    """Return the headers that a client of this app must send whatever the route: a host that it allows."""
    module, inner = framework(app)
    read = importlib.import_module(f"{__name__}.{module}") if module else None
    told = getattr(read, "host", None)
    allowed = None if told is None else told(inner)
    return () if allowed is None else (("Host", allowed),)


def framework(app: object) -> tuple[str | None, object]:
    """Return which file here reads the routes of an app, and the framework's app, under the middlewares around it."""
    for each in wrapped(app):
        for package in frameworks(type(each)):
            module, attribute = _BY_PACKAGE.get(package, ("", ""))
            if module and hasattr(each, attribute):
                return module, each
    return None, app


def said(skipped: Sequence[tuple[str, str]]) -> list[str]:
    """Return what was left out in sentences, one per reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in skipped:
        by_reason.setdefault(reason, []).append(name)
    lines = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _MOST_SAID} more" if len(names) > _MOST_SAID else ""
        lines.append(f"not requested ({reason}): {', '.join(names[:_MOST_SAID])}{more}")
    return lines
