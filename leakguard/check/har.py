"""HAR archives as browsers export them (HTTP Archive 1.2): the requests of ``log.entries``, by path and query only."""

from __future__ import annotations

import base64
import binascii
import typing
import urllib.parse

from leakguard.check.request import Request, check_header, check_method, check_path
from leakguard.errors import ConfigError

Fail = typing.Callable[[int, str, object, str], ConfigError]

# Of one connection between two machines (RFC 9110, section 7.6.1), or said anew by whoever sends the body.
_HOP = frozenset(
    {
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "content-length",
    }
)
_HAR = "export it from the network panel of a browser's developer tools"


def is_archive(data: object) -> bool:
    """Say whether a JSON document is meant as a HAR archive."""
    return isinstance(data, dict) and "log" in data


def from_archive(data: dict[str, typing.Any], fail: Fail) -> tuple[tuple[Request, ...], tuple[str, ...]]:
    """Return the archive's requests in their order, and what was left out.

    Web sockets and URLs that are no HTTP (``data:``, ``blob:``) are left out; responses and timings are not looked at.

    Raises:
        ConfigError: it is no archive, or has no request.
    """
    log = data["log"]
    entries = log.get("entries") if isinstance(log, dict) else None
    if not isinstance(entries, list):
        raise fail(0, "must have log.entries, a list", type(entries).__name__, _HAR)
    requests: list[Request] = []
    hosts: dict[str, int] = {}
    skipped = 0
    for number, entry in enumerate(entries, 1):
        asked = entry.get("request") if isinstance(entry, dict) else None
        if not isinstance(asked, dict):
            raise fail(number, "must have a request", type(asked).__name__, _HAR)
        url = asked.get("url")
        if not isinstance(url, str):
            raise fail(number, "must have a request.url", type(url).__name__, _HAR)
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in {"http", "https"} or entry.get("_resourceType") == "websocket":
            skipped += 1
            continue
        hosts[parts.netloc] = hosts.get(parts.netloc, 0) + 1
        requests.append(_request(asked, parts, number, fail))
    if not requests:
        raise fail(0, "must have at least one HTTP request", f"{len(entries)} entries", _HAR)
    notes = []
    if skipped:
        notes.append(f"{skipped} entries of the archive are no HTTP requests; they are left out")
    if len(hosts) > 1:
        named = ", ".join(sorted(hosts, key=lambda host: -hosts[host])[:4])
        notes.append(
            f"the archive has requests to several hosts ({named}); all are sent to this app, by path and query"
        )
    return tuple(requests), tuple(notes)


def _request(asked: dict[str, typing.Any], parts: urllib.parse.SplitResult, number: int, fail: Fail) -> Request:
    try:
        method = check_method(asked.get("method", "GET"))
        path = check_path(parts.path or "/")
        headers = [check_header(h.get("name"), h.get("value", "")) for h in _pairs(asked.get("headers")) if _travels(h)]
    except ValueError as error:
        raise fail(number, str(error), asked.get("method"), _HAR) from None
    query = parts.query or urllib.parse.urlencode(
        [(q.get("name", ""), q.get("value", "")) for q in _pairs(asked.get("queryString"))]
    )
    body, kind = _body(asked.get("postData"), number, fail)
    if kind and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", kind))
    return Request(method, f"{path}?{query}" if query else path, tuple(headers), body)


def _pairs(given: object) -> list[dict[str, typing.Any]]:
    return [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []


def _travels(header: dict[str, typing.Any]) -> bool:
    """Say whether a header is one of the request: HTTP/2 writes the request line as names with a colon."""
    name = header.get("name")
    return isinstance(name, str) and not name.startswith(":") and name.lower() not in _HOP


def _body(posted: object, number: int, fail: Fail) -> tuple[bytes, str | None]:
    if not isinstance(posted, dict):
        return b"", None
    kind = posted.get("mimeType") if isinstance(posted.get("mimeType"), str) else None
    text = posted.get("text")
    if isinstance(text, str) and text:
        if posted.get("encoding") != "base64":
            return text.encode("utf-8", "surrogatepass"), kind
        try:
            return base64.b64decode(text), kind
        except (binascii.Error, ValueError):
            raise fail(number, "request.postData.text must be base64", text, _HAR) from None
    fields = [(p.get("name", ""), p.get("value", "")) for p in _pairs(posted.get("params"))]
    return (
        (urllib.parse.urlencode(fields).encode(), kind or "application/x-www-form-urlencoded")
        if fields
        else (b"", kind)
    )
