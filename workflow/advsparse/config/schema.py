"""The JSON schema of the configuration, generated from the typed model."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from advsparse.config._descriptions import describe, kind_of
from advsparse.config.model import Configuration
from advsparse.config.sources import Key


@cache
def adapter() -> TypeAdapter[Configuration]:
    """The validator of whole configurations, made once: it takes a while."""
    return TypeAdapter(Configuration)


@cache
def json_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of the merged configuration."""
    schema = adapter().json_schema()
    _close(schema)
    describe([schema, *schema["$defs"].values()])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema


def _close(schema: Any) -> None:
    """Refuse the names that match no pattern, which pydantic refuses without saying so here."""
    if isinstance(schema, dict):
        if "patternProperties" in schema:
            schema["additionalProperties"] = False
        for value in schema.values():
            _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)


def schema_text() -> str:
    """The schema as the file workflow/schemas/config.schema.json holds it."""
    return json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"


def subschema(key: Key, values: Any) -> dict[str, Any]:
    """The schema of what stands at ``key`` in ``values``; empty where nothing is known of it."""
    schema = _resolved(json_schema(), values)
    for part in key:
        if isinstance(values, dict):
            values = values.get(part)
        elif isinstance(values, list) and isinstance(part, int):
            values = values[part]
        if isinstance(part, int):
            schema = schema.get("items", {})
        elif part in schema.get("properties", {}):
            schema = schema["properties"][part]
        else:
            # A mapping of free names: its values share one schema, whatever pattern names obey.
            patterns = schema.get("patternProperties", {})
            values_of = next(iter(patterns.values()), schema.get("additionalProperties"))
            schema = values_of if isinstance(values_of, dict) else {}
        schema = _resolved(schema, values)
    return schema


def _resolved(schema: dict[str, Any], values: Any) -> dict[str, Any]:
    """``schema`` with references followed and, of the variants, that of the ``kind`` in values."""
    while True:
        if "$ref" in schema:
            schema = json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
        elif "oneOf" in schema and isinstance(values, dict):
            variants = [_resolved(variant, None) for variant in schema["oneOf"]]
            kind = values.get("kind")
            matching = [v for v in variants if kind_of(v) == kind]
            return matching[0] if matching else {}
        elif "anyOf" in schema and isinstance(values, dict | list):
            # What may be written as a mapping or as a list, or left out.
            keyword = "properties" if isinstance(values, dict) else "items"
            variants = [_resolved(variant, values) for variant in schema["anyOf"]]
            return next((variant for variant in variants if keyword in variant), schema)
        else:
            return schema
