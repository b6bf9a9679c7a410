"""``--requests FILE``: a JSON list of requests, or a HAR archive as browsers export it."""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import typing
from collections.abc import Iterator
from pathlib import Path

from leakguard.check.har import from_archive, is_archive
from leakguard.check.request import Request, check_header, check_method, check_path
from leakguard.errors import ConfigError

KEYS = ("method", "path", "headers", "body", "body_base64", "body_json")
BODIES = KEYS[3:]
EXAMPLE = '[{"method": "GET", "path": "/items/{n}"}]'


class Listed(typing.NamedTuple):
    """The requests of a file, and what of it was left out."""

    requests: tuple[Request, ...]
    notes: tuple[str, ...] = ()


def read_requests(path: Path) -> Listed:
    """Return the requests of a file.

    Raises:
        ConfigError: the file is not there, is not JSON, or an entry is not a request: its number, the rule, what was found.
    """
    data = _load(path)
    if is_archive(data):
        return Listed(*from_archive(typing.cast("dict[str, typing.Any]", data), _fail(path)))
    if not isinstance(data, list):
        found = f"{_kind(data)}"
        raise ConfigError(
            "--requests", "must be a JSON list of requests or a HAR archive", found, f"for example {EXAMPLE}"
        )
    if not data:
        raise ConfigError("--requests", "must have at least one request", str(path), f"for example {EXAMPLE}")
    notes: list[str] = []
    requests = tuple(_request(entry, number, path, notes) for number, entry in enumerate(data, 1))
    return Listed(requests, tuple(notes))


def _load(path: Path) -> object:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError("--requests", "must be a file that can be read", str(path), error.strerror or "") from None
    except UnicodeDecodeError:
        raise ConfigError("--requests", "must be JSON in UTF-8", str(path), f"for example {EXAMPLE}") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = f"{path}, line {error.lineno}, column {error.colno}: {error.msg}"
        raise ConfigError("--requests", "must be JSON", at, f"for example {EXAMPLE}") from None
    except RecursionError:
        raise ConfigError("--requests", "must not be nested so deep", str(path), f"for example {EXAMPLE}") from None


def _fail(path: Path) -> typing.Callable[[int, str, object, str], ConfigError]:
    def fail(number: int, rule: str, found: object, way_out: str) -> ConfigError:
        return ConfigError(f"--requests {path}, entry {number}", rule, found, way_out)

    return fail


def _request(entry: object, number: int, path: Path, notes: list[str]) -> Request:
    fail = _fail(path)
    if not isinstance(entry, dict):
        raise fail(number, "must be an object with keys", _kind(entry), 'for example {"method": "GET", "path": "/"}')
    notes.extend(
        f"entry {number} of {path.name}: the key {key!r} means nothing here{_meant(key)}; it is left out"
        for key in entry
        if key not in KEYS
    )
    if "path" not in entry:
        raise fail(number, "must have a path", sorted(entry), 'for example "path": "/items/{n}"')
    try:
        method = check_method(entry.get("method", "GET"))
    except ValueError as error:
        raise fail(number, f"'method' {error}", entry["method"], '"method": "POST"') from None
    try:
        where = check_path(entry["path"])
    except ValueError as error:
        raise fail(number, f"'path' {error}", entry["path"], '"path": "/items/{n}"') from None
    try:
        headers = tuple(_headers(entry.get("headers", {})))
    except ValueError as error:
        raise fail(number, f"'headers' {error}", entry["headers"], '"headers": {"Accept": "text/html"}') from None
    body, kind = _body(entry, number, fail)
    if kind is not None and not any(name.lower() == "content-type" for name, _ in headers):
        headers += (("Content-Type", kind),)
    return Request(method, where, headers, body)


def _headers(given: object) -> Iterator[tuple[str, str]]:
    if not isinstance(given, dict):
        raise ValueError("must be an object of names and values")  # noqa: TRY004 - told as a rule
    for name, value in given.items():
        yield check_header(name, str(value) if isinstance(value, int | float) else value)


def _body(
    entry: dict[str, typing.Any], number: int, fail: typing.Callable[[int, str, object, str], ConfigError]
) -> tuple[bytes, str | None]:
    """Return the body and the content type that goes without saying."""
    given = [key for key in BODIES if entry.get(key) is not None or (key == "body_json" and key in entry)]
    if len(given) > 1:
        raise fail(number, "must have one body at most", given, f"leave one of {', '.join(BODIES)}")
    if not given:
        return b"", None
    value = entry[given[0]]
    if given[0] == "body_json":
        return json.dumps(value).encode(), "application/json"
    if not isinstance(value, str):
        raise fail(number, f"'{given[0]}' must be text", _kind(value), "use body_json for an object or a list")
    if given[0] == "body":
        return value.encode("utf-8", "surrogatepass"), None
    try:
        return base64.b64decode("".join(value.split()), validate=True), None
    except (binascii.Error, ValueError):
        raise fail(number, "'body_base64' must be base64", value, '"body_base64": "aGVsbG8="') from None


def _meant(key: object) -> str:
    near = difflib.get_close_matches(str(key), KEYS, 1, 0.7)
    return f" ({near[0]!r} was probably meant)" if near else ""


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number", bool: "a truth value"}
    return names.get(type(value), "null")
