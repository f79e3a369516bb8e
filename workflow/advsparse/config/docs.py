"""The configuration page of the documentation, generated from the JSON schema.

``python -m advsparse.config.docs`` rewrites it, the pages on attacks and data, and the schema.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from advsparse import registry
from advsparse.config.schema import json_schema, schema_text

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "configuration.md"
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.json"
COMMAND = "PYTHONPATH=workflow python -m advsparse.config.docs"

# Title of a group's section, and what one of its plugins is called.
_GROUPS = {
    "data": ("Datasets", "a dataset"),
    "models": ("Architectures", "a network"),
    "attacks": ("Attacks", "an attack"),
    "defenses": ("Defences", "a defence"),
    "coding": ("Coders", "a coder"),
    "analyses": ("Analyses", "an analysis"),
}
_NAME = "^[A-Za-z][A-Za-z0-9_-]*$"

_INTRODUCTION = f"""\
<!-- Generated from the typed configuration by: {COMMAND} -->

# Configuration

A run is decided by one configuration, merged from several files. Each later one is laid over the
earlier ones:

1. `workflow/papers/<paper>/paper.yaml`: a paper's method, as `settings.<paper>`
2. `workflow/presets/<preset>.yaml`: the data and the scale
3. `config.yaml`: yours
4. the files of `--configfile`, in their order
5. `--config` on the command line

A preset is chosen by the key `preset` of any of the last three.

- Mappings are merged: what you don't name stays as it is.
- Everything else replaces what was there; a list replaces the whole list.
- A `kind` other than before replaces the whole mapping it stands in, whose other keys belonged to
  the former kind.
- `null` removes a mapping, such as one attack of a paper.

```yaml
preset: demo
settings:
  frecon2021:
    models:
      lenet: {{training: {{epochs: 5}}}}       # the other keys of training stay
    attacks:
      scada: {{grid: {{lambda1: [0.01, 0.1]}}}} # instead of the paper's four values
```

```console
$ snakemake --cores all --configfile mine.yaml
$ snakemake --cores all --config preset=test seed=1
```

The merged configuration is validated before anything runs: a key that is unknown here, a value of
another type and a name that leads nowhere are errors, reported with file, line and the nearest
known key. Keys that are *required* must be there after merging; papers and presets give most of
them. Numbers may be written as `1e-3`, truth values only as `true` and `false`. A *name* begins
with a letter and has letters, digits, `_` and `-` only.

Editors that know JSON schemas complete and check these files with
`workflow/schemas/config.schema.json`, which holds what this page says.
"""


def configuration_page() -> str:
    """The page as docs/configuration.md holds it."""
    parts = [_INTRODUCTION]
    groups: dict[str, tuple[list[str], list[dict]]] = {}
    for path, schema in _sections():
        group = _group(schema)
        if group:
            groups.setdefault(group, ([], schema["oneOf"]))[0].append(path)
        else:
            heading = f"`{path}`" if path else "Top level"
            parts += [f"## {heading}\n", f"{_first(schema)}\n", _table(schema)]
    for group, (paths, variants) in groups.items():
        where = ", ".join(f"`{path}`" for path in paths)
        parts += [f"## {_title(group)}\n", f"The kinds that {where} may have.\n"]
        for variant in map(_resolved, variants):
            kind = variant["properties"]["kind"]["const"]
            parts += [f"### `kind: {kind}`\n", f"{_first(variant)}\n", _table(variant)]
    return "\n".join(parts)


def _sections() -> Iterator[tuple[str, dict]]:
    """All mappings with fixed keys and all plugins, with the path to them, outer ones first."""
    queue: deque[tuple[str, dict]] = deque([("", json_schema())])
    seen = []
    while queue:
        path, schema = queue.popleft()
        if any(schema is other for other in seen):
            continue
        seen.append(schema)
        yield path, schema
        if _group(schema):
            continue
        for name, value in schema["properties"].items():
            below = f"{path}.{name}".lstrip(".")
            while inner := _values(value):
                below, value = f"{below}.<{_placeholder(inner)}>", inner
            value = _resolved(value)
            if _group(value) or "properties" in value:
                queue.append((below, value))


def _values(schema: dict) -> dict | None:
    """The schema of the values of a mapping with free keys."""
    values = [*schema.get("patternProperties", {}).values(), schema.get("additionalProperties")]
    return next((value for value in values if isinstance(value, dict)), None)


def _resolved(schema: dict) -> dict:
    if "$ref" in schema:
        return json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def _placeholder(schema: dict) -> str:
    """What stands for a free key: the first word of what it leads to, as in AttackEntry."""
    words = re.findall("[A-Z][a-z]+", _resolved(schema).get("title", ""))
    return words[0].lower() if words else "name"


def _group(schema: dict) -> str | None:
    """The group of plugins that ``schema`` lets one choose from."""
    variants = [_resolved(variant).get("properties", {}) for variant in schema.get("oneOf", [])]
    kinds = {properties["kind"]["const"] for properties in variants}
    # A plugin that holds others of its group may hold all but its own kind.
    return next((g for g in registry.GROUPS if kinds and kinds <= set(registry.kinds(g))), None)


def _title(group: str) -> str:
    return _GROUPS[group][0] if group in _GROUPS else group.capitalize()


def _table(schema: dict) -> str:
    required = schema.get("required", [])
    rows = [
        (f"`{name}`", _type(value), _default(name, value, required), _meaning(value))
        for name, value in schema["properties"].items()
        if value.keys() != {"const"}  # the kind
    ]
    if not rows:
        return "It has no other keys.\n"
    head = [("Key", "Type", "Default", "Meaning"), ("---",) * 4]
    return "".join(f"| {' | '.join(row)} |\n" for row in [*head, *rows])


def _default(name: str, schema: dict, required: list[str]) -> str:
    if name in required:
        return "required"
    if "$ref" in schema:
        return "those of its keys"
    empty = {"array": [], "object": {}}.get(schema.get("type", ""))
    value = schema.get("default", empty)
    if value == "":
        return "empty"
    return _code(value if isinstance(value, str) else json.dumps(value))


def _type(schema: dict) -> str:
    """The type of a value in words."""
    inner = _values(schema)
    if "enum" in schema:
        return f"one of {', '.join(map(_code, schema['enum']))}"
    if "const" in schema:
        return f"only {_code(schema['const'])}"
    if "anyOf" in schema:
        types = {variant.get("type") for variant in schema["anyOf"]}
        if types == {"boolean", "integer", "number", "string"}:
            return "text, number, `true` or `false`"
        *most, last = [_type(variant) for variant in schema["anyOf"]]
        return f"{', '.join(most)} or {last}"
    if "$ref" in schema:
        return f"[keys](#{_anchor(_path_of(_resolved(schema)))})"
    if group := _group(schema):
        title = _title(group)
        return f"[{_GROUPS.get(group, ('', title))[1]}](#{_anchor(title)})"
    if inner:
        allowed = schema.get("propertyNames", {}).get("enum")
        keys = f"any of {', '.join(map(_code, allowed))}" if allowed else "names"
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
            return "name" if known else f"text that matches {_code(schema['pattern'])}"
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
    return next(path for path, other in _sections() if other is schema)


def _anchor(heading: str) -> str:
    """The anchor that GitHub and MkDocs give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _meaning(schema: dict) -> str:
    return _prose(schema.get("description") or _resolved(schema).get("description", ""))


def _first(schema: dict) -> str:
    """The first paragraph of a description."""
    return _prose(schema.get("description", "").partition("\n\n")[0])


def _prose(text: str) -> str:
    """A docstring's words as one line of Markdown that also stands in a table."""
    text = re.sub(r":[\w:]+:`", "``", " ".join(text.split())) if ":`" in text else text
    parts = re.split(r"``(.+?)``", " ".join(text.split()))
    return "".join(_code(part) if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(text: str) -> str:
    text = re.sub(r"([\\|*`\[\]])", r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", text)


def _code(value: Any) -> str:
    """``value`` as code; a pipe would end the cell even there."""
    return f"`{str(value).replace('|', chr(92) + '|')}`"


def main() -> None:
    """Write the pages and the schema."""
    from advsparse.config import attack_docs, data_docs

    texts = {
        PAGE: configuration_page(),
        attack_docs.PAGE: attack_docs.attacks_page(),
        data_docs.PAGE: data_docs.data_page(),
        SCHEMA: schema_text(),
    }
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
