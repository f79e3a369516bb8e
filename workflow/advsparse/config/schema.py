"""The JSON schema of the configuration, generated from the typed model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter

from advsparse import registry
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
    _inherit_descriptions(schema["$defs"])
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


def _inherit_descriptions(definitions: dict[str, Any]) -> None:
    """Describe the settings that types inherit, which pydantic documents in the base alone."""
    plugins = (
        (registry.load(group, kind), kind)
        for group in registry.GROUPS
        for kind in registry.kinds(group)
    )
    for cls, kind in [*plugins, *((cls, None) for cls in _types(Configuration, set()))]:
        for definition in definitions.values():
            if (definition.get("title"), _kind(definition)) != (cls.__name__, kind):
                continue
            properties = definition.get("properties", {})
            for name in properties.keys() - {"kind"}:
                fields = [vars(base).get("__pydantic_fields__", {}) for base in cls.__mro__]
                said = [f[name].description for f in fields if name in f]
                text = next(filter(None, said), None)
                if text:
                    properties[name].setdefault("description", text)


def _types(annotation: Any, seen: set[type]) -> Iterator[type]:
    """The types of settings in an annotation, and in those."""
    if isinstance(annotation, type) and hasattr(annotation, "__pydantic_fields__"):
        if annotation in seen:
            return
        seen.add(annotation)
        yield annotation
        for field in annotation.__pydantic_fields__.values():
            yield from _types(field.annotation, seen)
    for part in get_args(annotation):
        yield from _types(part, seen)


def _kind(definition: dict[str, Any]) -> str | None:
    """The kind of the plugin that ``definition`` describes, None if it is no plugin."""
    return definition.get("properties", {}).get("kind", {}).get("const")


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
            matching = [v for v in variants if _kind(v) == kind]
            return matching[0] if matching else {}
        elif "anyOf" in schema and isinstance(values, dict | list):
            # What may be written as a mapping or as a list, or left out.
            keyword = "properties" if isinstance(values, dict) else "items"
            variants = [_resolved(variant, values) for variant in schema["anyOf"]]
            return next((variant for variant in variants if keyword in variant), schema)
        else:
            return schema
