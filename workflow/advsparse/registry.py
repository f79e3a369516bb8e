"""Plugins: one module per attack, certificate, coder, defence, model, dataset and analysis.

The *kind* that a configuration names is the module's name: ``kind: deepfool`` is the class in
``advsparse/attacks/deepfool.py``. Modules whose name begins with an underscore are no plugins.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

GROUPS = {
    "analyses": ("advsparse.analyses", "advsparse.analyses._base", "Analysis"),
    "attacks": ("advsparse.attacks", "advsparse.attacks._base", "Attack"),
    "certify": ("advsparse.certify", "advsparse.certify._base", "Certificate"),
    "coding": ("advsparse.coding", "advsparse.coding._base", "Coder"),
    "data": ("advsparse.data", "advsparse.data._base", "Source"),
    "defenses": ("advsparse.defenses", "advsparse.defenses._base", "Defense"),
    "models": ("advsparse.models", "advsparse.models._base", "Architecture"),
}


@cache
def kinds(group: str) -> tuple[str, ...]:
    """The names of the plugins of ``group``, sorted."""
    package = importlib.import_module(GROUPS[group][0])
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


@cache
def load(group: str, kind: str) -> type[Any]:
    """The one public class of plugin ``kind`` that derives from the base class of ``group``."""
    _, base_module, base_name = GROUPS[group]
    base = getattr(importlib.import_module(base_module), base_name)
    name = module_name(group, kind)
    module = importlib.import_module(name)
    found = [
        value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == name
        and not key.startswith("_")
    ]
    if len(found) != 1:
        raise ImportError(
            f"{module.__file__} must define exactly one public {base_name}, found {len(found)}"
        )
    return found[0]


def module_name(group: str, kind: str) -> str:
    """The dotted name of the module of a plugin."""
    return f"{GROUPS[group][0]}.{kind}"


def module_of(plugin: object) -> str:
    """The dotted name of the module of a plugin class or instance."""
    cls = plugin if isinstance(plugin, type) else type(plugin)
    return cls.__module__


def kind_of(plugin: object) -> str:
    """The kind of a plugin class or instance."""
    return module_of(plugin).rpartition(".")[2]


def is_plugin(value: object) -> bool:
    """Whether ``value`` is an instance of a plugin class."""
    package = type(value).__module__.rpartition(".")[0]
    return any(package == group[0] for group in GROUPS.values()) and not kind_of(value).startswith(
        "_"
    )


def settings_of(plugin: Any) -> dict[str, Any]:
    """The settings of a plugin instance, as JSON-able values; plugins in it with their kind."""
    return {field.name: plain(getattr(plugin, field.name)) for field in dataclasses.fields(plugin)}


def spec_of(plugin: object) -> dict[str, Any]:
    """What a configuration says of a plugin: its kind and all of its settings."""
    return {"kind": kind_of(plugin)} | settings_of(plugin)


def plain(value: Any) -> Any:
    """Settings as plain values, plugins as :func:`spec_of` has them."""
    if dataclasses.is_dataclass(value):
        return spec_of(value) if is_plugin(value) else settings_of(value)
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


def with_nested(plugin: Any) -> Iterator[Any]:
    """A plugin and the plugins among its settings, outer ones first."""
    yield plugin
    for field in dataclasses.fields(plugin):
        value = getattr(plugin, field.name)
        for entry in value if isinstance(value, list) else [value]:
            if is_plugin(entry):
                yield from with_nested(entry)


def from_spec(group: str, spec: Mapping[str, Any]) -> Any:
    """The plugin that :func:`spec_of` described; ValueError for a kind that is none."""
    values = dict(spec)
    kind = values.pop("kind")
    if kind not in kinds(group):
        raise ValueError(f"unknown kind {kind!r}")
    return load(group, kind)(**values)


class Plugin:
    """Annotation of a field that holds a plugin.

    A configuration gives it as a mapping of its ``kind`` and its settings, Python code also as the
    plugin itself. The kinds of ``without`` are refused: a plugin that holds others can't be there
    before it is defined.
    """

    def __init__(self, group: str, without: tuple[str, ...] = ()) -> None:
        self.group, self.without = group, without

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler):
        def without_kind(value):
            return {name: entry for name, entry in value.items() if name != "kind"}

        described = core_schema.tagged_union_schema(
            {
                kind: core_schema.no_info_before_validator_function(
                    without_kind, handler.generate_schema(load(self.group, kind))
                )
                for kind in kinds(self.group)
                if kind not in self.without
            },
            discriminator="kind",
        )
        given = core_schema.no_info_plain_validator_function(self._given)
        return core_schema.json_or_python_schema(json_schema=described, python_schema=given)

    def _given(self, value: Any) -> Any:
        """A plugin from Python code, where there is no text to point at."""
        if isinstance(value, Mapping) and "kind" in value:
            known = set(kinds(self.group)) - set(self.without)
            if value["kind"] not in known:
                raise ValueError(f"unknown kind {value['kind']!r}")
            return from_spec(self.group, value)
        if (
            not is_plugin(value)
            or GROUPS[self.group][0] != type(value).__module__.rpartition(".")[0]
        ):
            raise ValueError(f"expected a plugin of {self.group}, or a mapping with its kind")
        if kind_of(value) in self.without:
            raise ValueError(f"{kind_of(value)} can't be given here")
        return value

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler):
        while "choices" not in schema:  # below what else is annotated
            schema = schema["json_schema" if "json_schema" in schema else "schema"]
        variants = []
        for kind, choice in schema["choices"].items():
            reference = handler(choice)
            variant = handler.resolve_ref_schema(reference)
            # One definition serves all the fields that may hold the plugin.
            if "kind" not in variant.get("properties", {}):
                variant["properties"] = {"kind": {"const": kind}} | variant.get("properties", {})
                variant["required"] = ["kind", *variant.get("required", [])]
            variants.append(reference)
        return {"oneOf": variants, "discriminator": {"propertyName": "kind"}}
