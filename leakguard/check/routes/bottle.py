"""The routes of Bottle."""

from __future__ import annotations

import re
import typing

from leakguard.check.routes import Found, plain, values

_PARAMETER = re.compile(r"<(\w+)(?::(\w+)(?::[^>]*)?)?>|:(\w+)")


def read(app: typing.Any) -> Found:
    """Return the requests of an app's routes, mounted apps included."""
    found = Found()
    for route in app.routes:
        if "mountpoint" in getattr(route, "config", {}):
            found.skipped.append((route.rule, "a mounted app"))
            continue
        method = "GET" if route.method in {"ANY", "PROXY"} else route.method
        path = _PARAMETER.sub(lambda got: values.of_kind(got[2] or "str", got[1] or got[3]), route.rule)
        found.requests.append(plain.request(method, path, route.rule))
    return found
