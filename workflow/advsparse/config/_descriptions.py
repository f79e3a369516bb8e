"""The strings below the fields of settings, in the JSON schema.

pydantic can read them, too, but does so whenever a class is made: that was most of what a job took
before its own work, and no job asks for them.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, get_args

from advsparse import registry
from advsparse.config.model import Configuration


def describe(definitions: Sequence[dict[str, Any]]) -> None:
    """Describe the properties of the types that the definitions of a schema are of; what a type
    says nothing of, a base of it may."""
    seen: set[type] = set()
    plugins = {
        registry.load(group, kind): kind
        for group in registry.GROUPS
        for kind in registry.kinds(group)
    }
    types = [one for cls in (*plugins, Configuration) for one in _types(cls, seen)]
    for cls in types:
        for definition in definitions:
            if (definition.get("title"), kind_of(definition)) == (cls.__name__, plugins.get(cls)):
                said = _said_of(cls)
                for name, schema in definition.get("properties", {}).items():
                    if name in said and name != "kind":
                        schema.setdefault("description", said[name])


def kind_of(definition: dict[str, Any]) -> str | None:
    """The kind of the plugin that ``definition`` describes, None if it is no plugin."""
    return definition.get("properties", {}).get("kind", {}).get("const")


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


def _said_of(cls: type) -> dict[str, str]:
    """What stands below each field, in the class or else in the nearest base."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if hasattr(base, "__pydantic_fields__"):
            found |= _below_fields(base.__module__).get(base.__qualname__, {})
    return found


@cache
def _below_fields(module: str) -> Mapping[str, Mapping[str, str]]:
    """The string below each field, for each class of a module that is inside no other."""
    classes = ast.parse(inspect.getsource(sys.modules[module])).body
    return {one.name: dict(_strings(one.body)) for one in classes if isinstance(one, ast.ClassDef)}


def _strings(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                yield name, inspect.cleandoc(text)
