"""Tables of settings, from the JSON schema of the configuration."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator

from advsparse import registry
from advsparse.config.schema import json_schema
from advsparse.documentation._markdown import anchor, code, prose, table

# Title of a group's section, and what one of its plugins is called.
_GROUPS = {
    "data": ("Datasets", "a dataset"),
    "models": ("Architectures", "a network"),
    "attacks": ("Attacks", "an attack"),
    "defenses": ("Defences", "a defence"),
    "coding": ("Coders", "a coder"),
    "certify": ("Certificates", "a certificate"),
    "analyses": ("Analyses", "an analysis"),
}
_NAME = "^[A-Za-z][A-Za-z0-9_-]*$"


def sections() -> Iterator[tuple[str, dict]]:
    """All mappings with fixed keys and all plugins, with the path to them, outer ones first."""
    queue: deque[tuple[str, dict]] = deque([("", json_schema())])
    seen = []
    while queue:
        path, schema = queue.popleft()
        if any(schema is other for other in seen):
            continue
        seen.append(schema)
        yield path, schema
        if group_of(schema):
            continue
        for name, value in schema["properties"].items():
            below = f"{path}.{name}".lstrip(".")
            while inner := _values(value):
                below, value = f"{below}.<{_placeholder(inner)}>", inner
            for variant in map(resolved, value.get("anyOf", [value])):
                if group_of(variant) or "properties" in variant:
                    queue.append((below, variant))


def _values(schema: dict) -> dict | None:
    """The schema of the values of a mapping with free keys."""
    values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    return next((value for value in values if isinstance(value, dict)), None)


def resolved(schema: dict) -> dict:
    """``schema``, or what it refers to."""
    if "$ref" in schema:
        return json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _placeholder(schema: dict) -> str:
    """What stands for a free key: the first word of what it leads to, as in AttackEntry."""
    words = re.findall("[A-Z][a-z]+", resolved(schema).get("title", ""))
    return words[0].lower() if words else "name"


def group_of(schema: dict) -> str | None:
    """The group of plugins that ``schema`` lets one choose from."""
    variants = [resolved(variant).get("properties", {}) for variant in schema.get("oneOf", [])]
    kinds = {properties["kind"]["const"] for properties in variants}
    # A plugin that holds others of its group may hold all but its own kind.
    return next((g for g in registry.GROUPS if kinds and kinds <= set(registry.kinds(g))), None)


def tables_of(group: str) -> dict[str, str]:
    """The settings of each kind of a group, as on the page on configuration, whose links lead
    there."""
    variants = next(schema["oneOf"] for _, schema in sections() if group_of(schema) == group)
    found = {}
    for variant in map(resolved, variants):
        kind = variant["properties"]["kind"]["const"]
        found[kind] = settings_table(variant).replace("](#", "](configuration.md#")
    return found


def title_of(group: str) -> str:
    """The heading of a group's section."""
    return _GROUPS[group][0] if group in _GROUPS else group.capitalize()


def settings_table(schema: dict) -> str:
    """What each key of a mapping is: its type, default and meaning."""
    required = schema.get("required", [])
    rows = [
        (f"`{name}`", _type(value), _default(name, value, required), _meaning(value))
        for name, value in schema["properties"].items()
        if value.keys() != {"const"}  # the kind
    ]
    if not rows:
        return "It has no other keys.\n"
    return table(("Key", "Type", "Default", "Meaning"), rows)


def _default(name: str, schema: dict, required: list[str]) -> str:
    if name in required:
        return "required"
    if "$ref" in schema:
        return "those of its keys"
    if "default" not in schema and schema.get("type") not in ("array", "object"):
        return "none"
    empty = {"array": [], "object": {}}.get(schema.get("type", ""))
    value = schema.get("default", empty)
    if value == "":
        return "empty"
    return code(value if isinstance(value, str) else json.dumps(value))


def _type(schema: dict) -> str:
    """The type of a value in words."""
    inner = _values(schema)
    if "enum" in schema:
        return f"one of {', '.join(map(code, schema['enum']))}"
    if "const" in schema:
        return f"only {code(schema['const'])}"
    if "anyOf" in schema:
        types = {variant.get("type") for variant in schema["anyOf"]}
        if types == {"boolean", "integer", "number", "string"}:
            return "text, number, `true` or `false`"
        *most, last = [_type(variant) for variant in schema["anyOf"]]
        return f"{', '.join(most)} or {last}"
    if "$ref" in schema:
        return f"[keys](#{anchor(_path_of(resolved(schema)))})"
    if group := group_of(schema):
        title = title_of(group)
        return f"[{_GROUPS.get(group, ('', title))[1]}](#{anchor(title)})"
    if inner:
        allowed = schema.get("propertyNames", {}).get("enum")
        keys = f"any of {', '.join(map(code, allowed))}" if allowed else "names"
        return f"mapping of {keys} to {_plural(_type(inner))}"
    if schema.get("type") == "array":
        items = [_type(item) for item in schema.get("prefixItems", [schema.get("items", {})])]
        if "prefixItems" in schema:
            return f"list of {', '.join(items)}"
        least = f" (at least {schema['minItems']})" if "minItems" in schema else ""
        return f"list{least} of {_plural(*items)}"
    return _simple(schema)


def _plural(kind: str) -> str:
    return "names" if kind == "name" else kind


def _simple(schema: dict) -> str:
    match schema.get("type"):
        case "boolean":
            return "`true` or `false`"
        case "null":
            return "`null`"
        case "string" if "pattern" in schema:
            known = schema["pattern"] == _NAME
            return "name" if known else f"text that matches {code(schema['pattern'])}"
        case "string":
            return "text, not empty" if schema.get("minLength") else "text"
        case "integer" | "number" as name:
            signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<"}
            signs["maximum"] = "≤"
            # That an integer fits into 64 bits goes without saying.
            limits = {key: schema[key] for key in signs if schema.get(key, 2**63) != 2**63}
            bounds = [f"{signs[key]} {limit}" for key, limit in limits.items()]
            return f"{name} {' and '.join(bounds)}".strip()
    return "anything"


def _path_of(schema: dict) -> str:
    return next(path for path, other in sections() if other is schema)


def _meaning(schema: dict) -> str:
    return prose(schema.get("description") or resolved(schema).get("description", ""))


def summary(schema: dict) -> str:
    """The first paragraph of a description."""
    return prose(schema.get("description", "").partition("\n\n")[0])
