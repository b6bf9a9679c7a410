"""The rules of Flask and Quart, out of werkzeug's map."""

from __future__ import annotations

import re
import typing

from leakguard.check.request import NUMBER, Request
from leakguard.check.routes import Found, plain, values

_PARAMETER = re.compile(r"<(?:[^<>:]*(?:\([^)]*\))?:)?([A-Za-z_]\w*)>")
_KINDS = {"IntegerConverter": "int", "FloatConverter": "float", "UUIDConverter": "uuid"}


def read(app: typing.Any) -> Found:
    """Return the requests of an app's rules."""
    found = Found()
    for rule in app.url_map.iter_rules():
        if getattr(rule, "websocket", False):
            found.skipped.append((rule.rule, "a WebSocket"))
        elif rule.endpoint == "static" or rule.endpoint.endswith(".static"):
            found.skipped.append((rule.rule, "static files"))
        elif getattr(rule, "build_only", False) or rule.redirect_to is not None:
            found.skipped.append((rule.rule, "a redirect"))
        elif rule.host or rule.subdomain:
            found.skipped.append((rule.rule, "for another host"))
        else:
            found.requests.extend(_requests(rule))
    return found


def host(app: typing.Any) -> str | None:
    """Return the host that the app is configured for."""
    name = getattr(app, "config", {}).get("SERVER_NAME")
    return str(name) if name else None


def _requests(rule: typing.Any) -> list[Request]:
    methods = set(rule.methods or {"GET"}) - {"OPTIONS"}
    if "GET" in methods:
        methods.discard("HEAD")
    converters = getattr(rule, "_converters", {})
    path = _PARAMETER.sub(lambda found: _value(found[1], converters.get(found[1])), rule.rule)
    return [plain.request(method, path, rule.rule) for method in sorted(methods)]


def _value(name: str, converter: typing.Any) -> str:
    """Return a value that a converter takes: its kind's, a choice of ``any(...)``, else a number."""
    kind = type(converter).__name__
    if kind == "AnyConverter":
        return str(getattr(converter, "regex", "a")).strip("(?:)").split("|")[0].replace("\\", "")
    if kind == "IntegerConverter" and (converter.max is not None or converter.fixed_digits):
        least = str(converter.min if converter.min is not None else 1)
        return least.zfill(converter.fixed_digits or 0)
    if kind in {"UnicodeConverter", "PathConverter", "NoneType", *_KINDS}:
        value = values.of_kind(_KINDS.get(kind, "str"), name)
        regex = str(getattr(converter, "regex", ""))
        bounded = re.search(r"\{(\d+)(?:,(\d+))?\}$", regex)  # the string converter's length
        return "x" * int(bounded[1]) if kind == "UnicodeConverter" and bounded and bounded[1] != "1" else value
    return NUMBER
