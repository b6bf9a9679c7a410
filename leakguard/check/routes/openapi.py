"""Requests out of an OpenAPI document (3.0 and 3.1), as FastAPI and Litestar make one of an app."""

from __future__ import annotations

import json
import re
import typing
import urllib.parse
from collections.abc import Mapping

from leakguard.check.request import NUMBER, PADDED, Request
from leakguard.check.routes import values

_BOUNDARY = "leakguard-part"
_PLACES = re.compile(f"({re.escape(NUMBER)}|{re.escape(PADDED)})")


def request(document: Mapping[str, typing.Any], method: str, path: str, template: str | None = None) -> Request | None:
    """Return the request of one operation; ``None`` when the document does not know it.

    Args:
        document: the whole OpenAPI document.
        method: in capitals.
        path: as it is in the document, with parameters in braces.
        template: what the framework calls the route; by default the path.
    """
    item = document.get("paths", {}).get(path)
    operation = item.get(method.lower()) if isinstance(item, Mapping) else None
    if not isinstance(operation, Mapping):
        return None
    given = [values.resolve(p, document) for p in [*item.get("parameters", []), *operation.get("parameters", [])]]
    filled, query, headers, cookies = path, [], [], []
    for parameter in given:
        name, place = str(parameter.get("name", "")), parameter.get("in")
        if place != "path" and not parameter.get("required") and not _shown(parameter):
            continue
        value = _of(parameter, document)
        if value is None:
            continue
        if place == "path":
            filled = filled.replace(f"{{{name}}}", quoted(value))
        elif place == "query":
            query.append(f"{urllib.parse.quote(name)}={quoted(value)}")
        elif place == "header":
            headers.append((name, value))
        elif place == "cookie":
            cookies.append(f"{name}={value}")
    if cookies:
        headers.append(("Cookie", "; ".join(cookies)))
    kind, body = _body(operation.get("requestBody"), document)
    if kind is not None:
        headers.append(("Content-Type", kind))
    return Request(method, filled + (f"?{'&'.join(query)}" if query else ""), tuple(headers), body, template or path)


def quoted(value: str) -> str:
    """Return a value as it stands in a path or query, its placeholder left alone."""
    return "".join(
        part if part in {NUMBER, PADDED} else urllib.parse.quote(part, safe="") for part in _PLACES.split(value)
    )


def _shown(parameter: Mapping[str, typing.Any]) -> bool:
    return "example" in parameter or bool(parameter.get("examples"))


def _of(parameter: Mapping[str, typing.Any], document: Mapping[str, typing.Any]) -> str | None:
    """Return a parameter's value; a number in a path rises with the requests unless somebody bounds or shows it."""
    schema = values.resolve(parameter.get("schema", {}), document)
    free = not (
        {"example", "examples", "default", "enum", "const", "maximum", "exclusiveMaximum", "minimum"} & set(schema)
    )
    if parameter.get("in") == "path" and schema.get("type") == "integer" and free and not _shown(parameter):
        return NUMBER
    return values.of_parameter(parameter, document)


def _body(given: typing.Any, document: Mapping[str, typing.Any]) -> tuple[str | None, bytes]:
    """Return content type and body of an operation."""
    described = values.resolve(given, document)
    content = described.get("content")
    if not isinstance(content, Mapping) or not content:
        return None, b""
    kind = next((each for each in content if "json" in each), next(iter(content)))
    value = values.example_of(values.resolve(content[kind], document), document)
    if "json" in kind:
        return kind, json.dumps(value).encode()
    fields = value if isinstance(value, Mapping) else {}
    if kind == "application/x-www-form-urlencoded":
        return kind, "&".join(f"{quoted(str(k))}={quoted(values.text(v))}" for k, v in fields.items()).encode()
    if kind == "multipart/form-data":
        schema = values.resolve(content[kind].get("schema", {}), document)
        return f"{kind}; boundary={_BOUNDARY}", _multipart(fields, schema, document)
    return (kind if "*" not in kind else "text/plain"), values.text(value or "").encode()


def _multipart(
    fields: Mapping[str, typing.Any], schema: Mapping[str, typing.Any], document: Mapping[str, typing.Any]
) -> bytes:
    parts = []
    for name, value in fields.items():
        described = values.resolve(schema.get("properties", {}).get(name, {}), document)
        described = values.resolve(described.get("items", described), document)
        is_file = described.get("format") == "binary" or "contentMediaType" in described
        for each in value if isinstance(value, list) else [value]:
            head = f'Content-Disposition: form-data; name="{name}"'
            head += '; filename="file.txt"\r\nContent-Type: text/plain' if is_file else ""
            parts.append(f"--{_BOUNDARY}\r\n{head}\r\n\r\n{values.text(each)}\r\n")
    return ("".join(parts) + f"--{_BOUNDARY}--\r\n").encode()
