"""Torch, imported when first used.

Plugin modules hold both the hyper-parameters, which the Snakefile validates in every process it
starts, and the mathematics, which needs torch. Importing torch takes seconds, so they write
``from advsparse.lazy import torch``; nothing is loaded until an attribute is read.

``importlib.util.LazyLoader`` would do, but for registering the unloaded module in ``sys.modules``,
where everything that walks the loaded modules (``inspect.getmodule``, hence pydantic) loads it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING


class _LazyModule:
    def __init__(self, name: str) -> None:
        self.__name = name

    def __getattr__(self, attribute: str):
        value = getattr(importlib.import_module(self.__name), attribute)
        setattr(self, attribute, value)
        return value


if TYPE_CHECKING:
    import torch
else:
    torch = _LazyModule("torch")
