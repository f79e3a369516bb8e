"""Types of the configuration that are put together from what stages declare."""

from __future__ import annotations

from collections.abc import Mapping
from types import GenericAlias
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from advsparse.config.names import Name
from advsparse.settings import settings

_REQUIRED = object()


class Key(NamedTuple):
    """A key of a type: what it holds, and what that means."""

    kind: Any
    says: str
    default: Any = _REQUIRED
    """What is there where nothing is given; a type makes it: ``dict``."""


def by_name(entry: Any) -> Any:
    """The type of a mapping of names to entries."""
    return GenericAlias(dict, (Name, entry))


def assembled(name: str, says: str, keys: Mapping[str, Key]) -> type:
    """A class as :func:`advsparse.settings.settings` makes it, whose keys are known at run time."""
    kinds = {
        key: Annotated[entry.kind, Field(description=" ".join(entry.says.split()))]
        for key, entry in keys.items()
    }
    given = {key: entry.default for key, entry in keys.items() if entry.default is not _REQUIRED}
    defaults = {
        key: Field(default_factory=default) if isinstance(default, type) else default
        for key, default in given.items()
    }
    body = {"__doc__": says, "__module__": __name__, "__annotations__": kinds}
    return settings(type(name, (), body | defaults))
