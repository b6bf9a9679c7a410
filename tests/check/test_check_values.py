"""Values made by a JSON schema are values that the schema accepts."""

from __future__ import annotations

import pytest
from support.needs import module

from leakguard.check.routes.values import of_schema

SCHEMAS = {
    "components": {
        "schemas": {
            "Loop": {
                "type": "object",
                "required": ["again"],
                "properties": {"again": {"$ref": "#/components/schemas/Loop"}},
            },
            "Base": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
            "Name": {"type": "string", "example": "Ada"},
        }
    }
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"},
        {"type": "integer", "minimum": 10, "maximum": 11},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3},
        {"type": "integer", "maximum": -5},
        {"type": "integer", "multipleOf": 7},
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.25},
        {"type": "number", "exclusiveMinimum": 3},
        {"type": "string", "minLength": 40},
        {"type": "string", "maxLength": 1},
        {"type": "string", "enum": ["x", "y"]},
        {"type": ["string", "null"]},
        {"type": "boolean"},
        {"type": "array", "items": {"type": "integer"}, "minItems": 3},
        {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]},
        {"anyOf": [{"type": "null"}, {"type": "integer"}]},
        {"oneOf": [{"type": "object", "required": ["k"], "properties": {"k": {"const": "v"}}}]},
        {
            "allOf": [
                {"$ref": "#/components/schemas/Base"},
                {"required": ["b"], "properties": {"b": {"type": "boolean"}}},
            ]
        },
        {"type": "object", "properties": {"free": {"type": "string", "format": "date-time"}}},
        {"$ref": "#/components/schemas/Name"},
    ],
)
def test_what_is_made_is_valid(schema):
    """Bounds, lengths, choices, references and compositions are kept."""
    jsonschema = module("jsonschema")
    value = of_schema(schema, SCHEMAS)
    jsonschema.validate(value, {**schema, **SCHEMAS})


def test_examples_and_defaults_come_first():
    """What somebody wrote down is better than what is made."""
    assert of_schema({"type": "integer", "example": 42}, {}) == 42
    assert of_schema({"type": "integer", "examples": [43, 44]}, {}) == 43
    assert of_schema({"type": "integer", "default": 5}, {}) == 5
    assert of_schema({"$ref": "#/components/schemas/Name"}, SCHEMAS) == "Ada"


def test_what_refers_to_itself_ends():
    """A schema that contains itself, or leads nowhere, makes something all the same."""
    assert "again" in of_schema({"$ref": "#/components/schemas/Loop"}, SCHEMAS)
    assert of_schema({"$ref": "#/nowhere"}, {}) is not None
    assert of_schema(None, {}) is not None
