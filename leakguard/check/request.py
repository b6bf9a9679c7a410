"""One request to repeat: what a user wrote or a route gave, with ``{n}`` where requests differ."""

from __future__ import annotations

import dataclasses
import functools
import urllib.parse
from collections.abc import Iterable
from dataclasses import dataclass

NUMBER = "{n}"
"""Replaced by the request's number, which rises with every request."""

PADDED = "{n:012}"
"""The same in twelve digits: the end of a UUID that leakguard makes."""

# What a path may carry as it is; ``%`` because it was encoded already.
_SAFE = "/:@!$&'()*+,;=~-._%?[]"

# Said by the client itself, for the body differs from request to request.
_OURS = frozenset(
    {"content-length", "transfer-encoding", "connection", "keep-alive", "expect", "te", "trailer", "upgrade"}
)


@dataclass(frozen=True, slots=True)
class Made:
    """One request ready to be sent: nothing in it is a placeholder any more."""

    method: str
    path: str  # percent-encoded, without the query
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def uri(self) -> str:
        """Path and query as they stand in the request line."""
        return f"{self.path}?{self.query}" if self.query else self.path


@dataclass(frozen=True)
class Request:
    """A request as it is asked for; path, header values and body may have ``{n}``.

    Args:
        method: as it is sent.
        path: path and query.
        headers: names and values; those that the client must say itself (``Content-Length``, ``Connection``) are left out.
        body: as it is sent. Replaced in it where it is text in UTF-8: a binary body is sent as it is.
        template: the framework's own name of the route, where it is known.
    """

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    template: str | None = None

    def given(self, headers: tuple[tuple[str, str], ...]) -> Request:
        """Return the request with those of the headers that it does not say itself."""
        said = {name.lower() for name, _ in self.headers}
        missing = tuple(header for header in headers if header[0].lower() not in said)
        return dataclasses.replace(self, headers=self.headers + missing) if missing else self

    @property
    def name(self) -> str:
        """Return what the report calls it: ``GET /items/{n}``."""
        return f"{self.method} {self.template or self.path.partition('?')[0]}"

    def made(self, number: int) -> Made:
        """Return the request with its number. Those that never differ are made once."""
        if not self._differs:
            return self._constant
        return self._make(str(number))

    @functools.cached_property
    def _differs(self) -> bool:
        texts = [self.path, *(value for _, value in self.headers)]
        return any(_is_numbered(text) for text in texts) or self._numbered_body

    @functools.cached_property
    def _numbered_body(self) -> bool:
        return b"{n" in self.body and is_text(self.body) and _is_numbered(self.body.decode())

    @functools.cached_property
    def _constant(self) -> Made:
        return self._make(NUMBER)

    @functools.cached_property
    def _sent_headers(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, value) for name, value in self.headers if name.lower() not in _OURS)

    def _make(self, number: str) -> Made:
        path, _, query = encode_path(fill(self.path, number)).partition("?")
        headers = tuple((name, fill(value, number)) for name, value in self._sent_headers)
        body = fill(self.body.decode(), number).encode() if self._numbered_body else self.body
        return Made(self.method, path, query, headers, body)


def fill(text: str, number: str) -> str:
    """Return the text with its placeholders filled."""
    return text.replace(NUMBER, number).replace(PADDED, number.zfill(12)) if "{n" in text else text


def _is_numbered(text: str) -> bool:
    return NUMBER in text or PADDED in text


def encode_path(path: str) -> str:
    """Return path and query as a browser sends them: without a fragment, everything that may not stand there encoded."""
    return urllib.parse.quote(path.partition("#")[0], safe=_SAFE)


def is_text(body: bytes) -> bool:
    """Say whether a body is text: placeholders in a binary one would break its lengths."""
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def parse_line(line: str) -> Request:
    """Return the request that ``/path`` or ``METHOD /path`` names.

    Raises:
        ValueError: it names none; the message is the rule.
    """
    first, _, rest = line.strip().partition(" ")
    method, path = (first, rest.strip()) if rest and not first.startswith("/") else ("GET", line.strip())
    return Request(check_method(method), check_path(path))


def check_method(method: object) -> str:
    """Return the method in capitals.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(method, str) or not method.isascii() or not method.replace("-", "").isalpha():
        raise ValueError("must be an HTTP method such as GET or POST")
    return method.upper()


def check_path(path: object) -> str:
    """Return path and query; of an absolute URL only these count.

    Raises:
        ValueError: it is neither a path nor an http URL.
    """
    if isinstance(path, str) and path.lower().startswith(("http://", "https://")):
        parts = urllib.parse.urlsplit(path)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not isinstance(path, str) or not path.startswith("/"):
        raise ValueError("must be a path that begins with /, for example /items/{n}")
    if any(ord(character) < 32 for character in path):
        raise ValueError("must be one line of text")
    return path


def check_header(name: object, value: object) -> tuple[str, str]:
    """Return a header that a server would take.

    Raises:
        ValueError: name or value is none.
    """
    if (
        not isinstance(name, str)
        or not name
        or not name.isascii()
        or any(c in ' :\r\n\t()<>@,;\\"/[]?={}' for c in name)
    ):
        raise ValueError("must have header names of letters, digits and -")
    if not isinstance(value, str):
        raise ValueError("must have header values that are text")  # noqa: TRY004 - told as a rule
    if any(c in "\r\n\0" for c in value):
        raise ValueError("must have header values of one line")
    return name, value


def names(requests: Iterable[Request]) -> list[str]:
    """Return the names of requests, each once."""
    return list(dict.fromkeys(request.name for request in requests))
