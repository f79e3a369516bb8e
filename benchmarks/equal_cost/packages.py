"""The published libraries, and what they import for what is not used here."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

PACKAGES = ("adv-lib", "attackbenchlib", "foolbox", "torchattacks")


def load() -> None:
    """Import the published attacks, which takes seconds that are none of theirs."""
    stand_in("visdom")
    for name in ("adv_lib.attacks", "foolbox", "torchattacks"):
        importlib.import_module(name)


def stand_in(name: str) -> None:
    """Let ``import name`` succeed: adv-lib draws by visdom, attackbenchlib uploads by wandb."""
    if name in sys.modules or importlib.util.find_spec(name) is not None:
        return
    sys.modules[name] = _StandIn(name)


class _StandIn(ModuleType):
    """Any name of it is some class, which serves to annotate."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})
