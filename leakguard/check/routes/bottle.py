"""The routes of Bottle."""

from __future__ import annotations

import json
import re
import typing

from leakguard.check.request import Request
from leakguard.check.routes import Found, values

_PARAMETER = re.compile(r"<(\w+)(?::(\w+)(?::[^>]*)?)?>|:(\w+)")
_BODIED = frozenset({"POST", "PUT", "PATCH"})


def read(app: typing.Any) -> Found:
    """Return the requests of an app's routes, mounted apps included."""
    found = Found()
    for route in app.routes:
        if "mountpoint" in getattr(route, "config", {}):
            found.skipped.append((route.rule, "a mounted app"))
            continue
        method = "GET" if route.method in {"ANY", "PROXY"} else route.method
        path = _PARAMETER.sub(lambda got: values.of_kind(got[2] or "str", got[1] or got[3]), route.rule)
        body = json.dumps(values.BODY).encode() if method in _BODIED else b""
        headers = (("Content-Type", "application/json"),) if body else ()
        found.requests.append(Request(method, path, headers, body, route.rule))
    return found
