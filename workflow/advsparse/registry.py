"""Plugins: one module per attack, model and dataset, found by being there.

The *kind* that a configuration names is the module's name: ``kind: deepfool`` is the class in
``advsparse/attacks/deepfool.py``. Modules whose name begins with an underscore are no plugins.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from typing import Any

GROUPS = {
    "attacks": ("advsparse.attacks", "advsparse.attacks._base", "Attack"),
    "data": ("advsparse.data", "advsparse.data._base", "Source"),
    "models": ("advsparse.models", "advsparse.models._base", "Architecture"),
}


@cache
def kinds(group: str) -> tuple[str, ...]:
    """The names of the plugins of ``group``, sorted."""
    package = importlib.import_module(GROUPS[group][0])
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in names if not name.startswith("_")))


@cache
def load(group: str, kind: str) -> type:
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


def kind_of(plugin: object) -> str:
    """The kind of a plugin class or instance."""
    cls = plugin if isinstance(plugin, type) else type(plugin)
    return cls.__module__.rpartition(".")[2]


def is_plugin(value: object) -> bool:
    """Whether ``value`` is an instance of a plugin class."""
    package = type(value).__module__.rpartition(".")[0]
    return any(package == group[0] for group in GROUPS.values()) and not kind_of(value).startswith(
        "_"
    )


def settings_of(plugin: object) -> dict[str, Any]:
    """The settings of a plugin instance, as JSON-able values."""
    return dataclasses.asdict(plugin)


def spec_of(plugin: object) -> dict[str, Any]:
    """What a configuration says of a plugin: its kind and all of its settings."""
    return {"kind": kind_of(plugin)} | settings_of(plugin)


def from_spec(group: str, spec: Mapping[str, Any]) -> Any:
    """The plugin that :func:`spec_of` described."""
    values = dict(spec)
    return load(group, values.pop("kind"))(**values)
