"""Django's URL configuration: what its patterns match, with a CSRF token where something is sent."""

from __future__ import annotations

import re
import typing

from leakguard.check.request import NUMBER, Request, fill
from leakguard.check.routes import Found, plain, values

_PARAMETER = re.compile(r"<(?:([^<>:]+):)?([A-Za-z_]\w*)>")
_GROUP = re.compile(r"\(\?P<(\w+)>((?:[^()]|\([^()]*\))*)\)|\((?!\?)((?:[^()]|\([^()]*\))*)\)")
_ESCAPED = re.compile(r"\\([/.\-_ ])")
_LEFT_OUT = {"admin": "the admin", "djdt": "a toolbar", "static": "static files", "media": "static files"}

# The cookie and the header must only agree (Django's double-submit check); 32 letters are what a token is.
_TOKEN = "leakguard".ljust(32, "x")
_CSRF = (("Cookie", f"csrftoken={_TOKEN}"), ("X-CSRFToken", _TOKEN))


def read(app: object) -> Found:  # noqa: ARG001 - Django has one configuration per process
    """Return the requests of the project's URL configuration."""
    from django.urls import get_resolver

    found = Found()
    _read(get_resolver().url_patterns, "", "", found)
    return found


def host(app: object) -> str | None:  # noqa: ARG001
    """Return a host that the project's settings allow, ``None`` when the usual one will do."""
    from django.conf import settings

    return values.host_of([str(each) for each in settings.ALLOWED_HOSTS])


def _read(patterns: typing.Iterable[typing.Any], path: str, template: str, found: Found) -> None:
    for entry in patterns:
        namespace = getattr(entry, "namespace", None) or getattr(entry, "app_name", None)
        part, written = _filled(entry.pattern)
        if part is None:
            found.skipped.append((f"/{template}{written}", "no value fits its expression"))
        elif hasattr(entry, "url_patterns"):
            if namespace in _LEFT_OUT:
                found.skipped.append((f"/{template}{written}", _LEFT_OUT[namespace]))
            else:
                _read(entry.url_patterns, path + part, template + written, found)
        elif _is_static(entry.callback):
            found.skipped.append((f"/{template}{written}", "static files"))
        else:
            name = f"/{(template + written).lstrip('/')}"
            found.requests.extend(
                _request(method, f"/{(path + part).lstrip('/')}", name) for method in _methods(entry.callback)
            )


def _filled(pattern: typing.Any) -> tuple[str | None, str]:
    """Return what a pattern matches, ``None`` when that was not found out, and how it is written."""
    written = str(getattr(pattern, "_route", None) or getattr(pattern, "_regex", None) or pattern)
    if hasattr(pattern, "_route"):
        return _PARAMETER.sub(lambda got: values.of_kind(got[1] or "str", got[2]), written), written
    if not hasattr(pattern, "_regex"):
        return written, written  # the prefix of a language
    return _of_expression(written), written


def _of_expression(regex: str) -> str | None:
    """Return a path that a regular expression matches, each group filled by itself; ``None`` when that does not succeed."""
    plain = regex.removeprefix("^").removeprefix(r"\A").removesuffix("$").removesuffix(r"\Z")
    path = _GROUP.sub(lambda got: _fitting(got[2] or got[3]), plain)
    path = _ESCAPED.sub(r"\1", path.replace("/?", "/"))
    return path if re.match(regex, fill(path, "7")) else None


def _fitting(group: str) -> str:
    """Return a value that one group takes: numbers are tried first, then words, then what stands there."""
    for value in (NUMBER, f"a-{NUMBER}", f"a{NUMBER}", "2024", "01", "a", "ab", "en", values.UUID):
        try:
            if re.fullmatch(group, fill(value, "7")) and re.fullmatch(group, fill(value, "1234567")):
                return value
        except re.error:
            break
    return group.split("|", maxsplit=1)[0]


def _is_static(view: typing.Any) -> bool:
    return getattr(view, "__module__", "") in {"django.views.static", "django.contrib.staticfiles.views"}


def _methods(view: typing.Any) -> list[str]:
    """Return the methods of a view class; of a function nobody knows more than ``GET``."""
    cls = getattr(view, "view_class", None) or getattr(view, "cls", None)
    actions = getattr(view, "actions", None)  # of a REST framework's view set
    if actions:
        return sorted(method.upper() for method in actions if method in {"get", "post", "put", "patch", "delete"})
    if cls is None:
        return ["GET"]
    known = [m for m in ("get", "post", "put", "patch", "delete") if callable(getattr(cls, m, None))]
    return [method.upper() for method in known] or ["GET"]


def _request(method: str, path: str, template: str) -> Request:
    return plain.request(method, path, template, _CSRF if method in plain.BODIED or method == "DELETE" else ())
