"""Typed settings: the one decorator behind every configurable class of the library."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter
from pydantic.dataclasses import dataclass

_CONFIG = ConfigDict(extra="forbid", strict=True)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def settings(cls):
    """Make ``cls`` a frozen, keyword-only dataclass whose fields are validated.

    Unknown names and wrong types are refused, both from Python and from a configuration file. The
    string below a field is its documentation, in the JSON schema too
    (:mod:`advsparse.config._descriptions`).
    """
    return dataclass(cls, frozen=True, kw_only=True, config=_CONFIG)


T = TypeVar("T")


def from_plain(cls: type[T], values: Mapping[str, Any]) -> T:
    """The settings that are described by plain values, as JSON has them: those within as well."""
    return TypeAdapter(cls).validate_json(json.dumps(values))


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


PositiveInt = Annotated[int, Field(gt=0, lt=2**63)]
OddInt = Annotated[PositiveInt, AfterValidator(_odd)]
NonNegativeInt = Annotated[int, Field(ge=0, lt=2**63)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
PositiveShare = Annotated[float, Field(gt=0, le=1)]
