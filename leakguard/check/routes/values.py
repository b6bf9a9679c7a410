"""Plausible values: for path parameters by their kind, for bodies by their JSON schema."""

from __future__ import annotations

import typing
from collections.abc import Mapping

from leakguard.check.request import NUMBER, PADDED

DATE, TIME = "2024-01-15", "2024-01-15T12:00:00Z"
UUID = f"00000000-0000-4000-8000-{PADDED}"

_DEEPEST = 8

_FORMATS = {
    "uuid": UUID,
    "date": DATE,
    "date-time": TIME,
    "time": "12:00:00",
    "duration": "P1D",
    "email": f"user-{NUMBER}@example.com",
    "uri": f"http://example.com/{NUMBER}",
    "url": f"http://example.com/{NUMBER}",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "ipvanyaddress": "127.0.0.1",
    "byte": "aGVsbG8=",
    "binary": "hello",
    "password": "correct horse",
    "json-string": "{}",
}
_BY_KIND = {
    "int": NUMBER,
    "integer": NUMBER,
    "float": f"{NUMBER}.5",
    "number": f"{NUMBER}.5",
    "decimal": f"{NUMBER}.5",
    "uuid": UUID,
    "date": DATE,
    "datetime": TIME,
    "date-time": TIME,
    "time": "12:00:00",
    "timedelta": "P1D",
}


def of_kind(kind: str, name: str) -> str:
    """Return a value for a path parameter of a kind such as ``int``, ``uuid`` or ``str``."""
    return _BY_KIND.get(kind.lower(), f"{name}-{NUMBER}")


def of_parameter(parameter: Mapping[str, typing.Any], schemas: Mapping[str, typing.Any]) -> str | None:
    """Return a value for an OpenAPI parameter as text; ``None`` for one that has no plain one."""
    for example in _examples(parameter):
        return text(example)
    schema = resolve(parameter.get("schema", parameter), schemas)
    value = of_schema(schema, schemas, str(parameter.get("name", "value")))
    return ",".join(map(text, value)) if isinstance(value, list) else None if isinstance(value, dict) else text(value)


def text(value: object) -> str:
    """Return a value as it stands in a path or a query."""
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def of_schema(schema: typing.Any, schemas: Mapping[str, typing.Any], name: str = "value", depth: int = 0) -> typing.Any:
    """Return a value that a JSON schema accepts: its example, its default, a choice, else one made by its type.

    Args:
        schema: a JSON schema, of OpenAPI 3.0 or 3.1.
        schemas: the OpenAPI document, to follow references into.
        name: of the property, for texts.
        depth: how deep it is nested; past a bound nothing optional is made.
    """
    schema = resolve(schema, schemas)
    if depth > 2 * _DEEPEST:
        return None
    for example in _examples(schema):
        return example
    if "default" in schema and schema["default"] is not None:
        return schema["default"]
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            options = [resolve(each, schemas) for each in schema[key]]
            chosen = next((each for each in options if each.get("type") != "null"), options[0])
            return of_schema(chosen, schemas, name, depth + 1) if depth < _DEEPEST else None
    if schema.get("allOf"):
        return of_schema(_together(schema, schemas), schemas, name, depth + 1) if depth < _DEEPEST else None
    return _of_type(schema, schemas, name, depth)


def _of_type(schema: Mapping[str, typing.Any], schemas: Mapping[str, typing.Any], name: str, depth: int) -> typing.Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    match kind:
        case "string":
            return _string(schema, name)
        case "integer":
            return int(_number(schema, 1))
        case "number":
            return _number(schema, 0.5)
        case "boolean":
            return True
        case "array":
            count = max(int(schema.get("minItems", 0)), 0 if depth >= _DEEPEST else 1)
            first = schema.get("prefixItems")
            if isinstance(first, list):
                return [of_schema(each, schemas, name, depth + 1) for each in first]
            return [of_schema(schema.get("items", {}), schemas, name, depth + 1) for _ in range(min(count, 100))]
        case "object":
            properties = schema.get("properties", {})
            wanted = schema.get("required", [])
            return {
                key: of_schema(properties.get(key, {}), schemas, key, depth + 1)
                for key in (wanted if wanted or depth >= _DEEPEST else properties)
                if not properties.get(key, {}).get("readOnly")
            }
    return None


def _string(schema: Mapping[str, typing.Any], name: str) -> str:
    value = _FORMATS.get(str(schema.get("format", "")).lower(), f"{name}-{NUMBER}")
    least, most = int(schema.get("minLength") or 0), schema.get("maxLength")
    if schema.get("format") is None:
        if isinstance(most, int) and len(name) + 9 > most:
            value = NUMBER if most >= 8 else "x" * max(least, min(most, 1))
        if least > len(value):
            value += "x" * (least - len(value) + 3)
            value = value[:most] if isinstance(most, int) else value
    return value


def _number(schema: Mapping[str, typing.Any], usual: float) -> float:
    """Return the usual number if the bounds allow it, else one between them."""
    low, high = _bound(schema, "inimum"), _bound(schema, "aximum")
    whole = schema.get("type") == "integer"
    value = usual
    if (low is not None and not _above(value, low)) or (high is not None and not _above(high[0], (value, high[1]))):
        if low is not None and high is not None:
            value = low[0] + 1 if whole and low[1] else low[0] if whole else (low[0] + high[0]) / 2
        elif low is not None:
            value = low[0] + (1 if low[1] else 0)
        elif high is not None:
            value = high[0] - (1 if high[1] else 0)
    multiple = schema.get("multipleOf")
    return -(-value // multiple) * multiple if multiple else value


def _bound(schema: Mapping[str, typing.Any], name: str) -> tuple[float, bool] | None:
    """Return a bound and whether it is excluded: a number in OpenAPI 3.1, a truth value beside the bound in 3.0."""
    plain, exclusive = schema.get(f"m{name}"), schema.get(f"exclusiveM{name}")
    if isinstance(exclusive, int | float) and not isinstance(exclusive, bool):
        return exclusive, True
    return (plain, exclusive is True) if isinstance(plain, int | float) else None


def _above(value: float, bound: tuple[float, bool]) -> bool:
    return value > bound[0] if bound[1] else value >= bound[0]


def _together(schema: Mapping[str, typing.Any], schemas: Mapping[str, typing.Any]) -> dict[str, typing.Any]:
    """Return a schema and all that it must satisfy as one."""
    merged: dict[str, typing.Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        resolved = resolve(part, schemas)
        resolved = _together(resolved, schemas) if resolved.get("allOf") else resolved
        for key, value in resolved.items():
            if key == "properties":
                merged[key] = {**value, **merged.get(key, {})}
            elif key == "required":
                merged[key] = [*merged.get(key, []), *value]
            else:
                merged.setdefault(key, value)
    return merged


def resolve(schema: typing.Any, schemas: Mapping[str, typing.Any]) -> Mapping[str, typing.Any]:
    """Return what a schema or its reference says; a reference that leads nowhere says nothing."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        found: typing.Any = schemas
        for part in reference.removeprefix("#/").split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
        schema = found
    return {}


def _examples(schema: Mapping[str, typing.Any]) -> typing.Iterator[typing.Any]:
    """Yield the examples that somebody wrote for a schema, a parameter or a body."""
    if schema.get("example") is not None:
        yield schema["example"]
    examples = schema.get("examples")
    if isinstance(examples, Mapping):
        yield from (each["value"] for each in examples.values() if isinstance(each, Mapping) and "value" in each)
    elif isinstance(examples, list):
        yield from examples


def example_of(media: Mapping[str, typing.Any], schemas: Mapping[str, typing.Any]) -> typing.Any:
    """Return a body for one media type of an OpenAPI request body."""
    for example in _examples(media):
        return example
    return of_schema(media.get("schema", {}), schemas, "body")


def host_of(allowed: typing.Sequence[str]) -> str | None:
    """Return a host that a list such as Django's allows, ``None`` when the usual one will do."""
    if not allowed or "*" in allowed or "127.0.0.1" in allowed:
        return None
    return f"www.{allowed[0].lstrip('*.')}" if allowed[0].startswith((".", "*.")) else allowed[0]
