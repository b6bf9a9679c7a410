"""Which of an app's routes a request meets, by their templates."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable

from leakguard.check.request import Request, fill

# {name}, {name:path}, <name>, <int:name>, <any(a, b):name>
_PARAMETER = re.compile(r"\{[^{}]*\}|<[^<>]*>")
_ANY_NUMBER = "7"


def named(request: Request, known: Iterable[Request]) -> Request:
    """Return the request with the template of the first route that its path fits; as it is when none does."""
    path = fill(request.path.partition("?")[0], _ANY_NUMBER)
    fitting = [route for route in known if route.template and _expression(route.template).fullmatch(path)]
    best = next((route for route in fitting if route.method == request.method), None) or next(iter(fitting), None)
    return request if best is None else dataclasses.replace(request, template=best.template)


@functools.lru_cache(maxsize=1024)
def _expression(template: str) -> re.Pattern[str]:
    """Return what a template matches; a regular expression of Django's is one already."""
    if "(?P<" in template or "^" in template:
        bare = template.replace("^", "")
        try:
            return re.compile(bare)
        except re.error:
            return re.compile(re.escape(bare))
    parts, end = [], 0
    for found in _PARAMETER.finditer(template):
        parts.append(re.escape(template[end : found.start()]))
        parts.append(".+" if "path" in found[0].partition(":")[0 if found[0][0] == "<" else 2] else "[^/]+")
        end = found.end()
    return re.compile("".join(parts) + re.escape(template[end:]))
