"""Importing torch without what only tracing and compiling ask for.

Torch registers kernels for tensors that have no data when it is imported, and prepares to export
networks; its optimizers import its tracer to be left out of traces. A job does none of it, and
starts in three quarters of the time without them, one that trains in less than half.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any

_KERNELS, _TRACER, _EXPORT = "torch._meta_registrations", "torch._dynamo", "torch.export"
_LEFT_OUT = (_KERNELS, _TRACER, _EXPORT)  # each needs those before it


def leave_out_tracing() -> None:
    """Have torch, if it is not imported yet, import without its tracer and what is of the same use,
    until that is needed."""
    if "torch" in sys.modules:
        return
    modules = {name: _Deferred(name) for name in _LEFT_OUT}
    # What optimizers call, which outside of traces does nothing.
    vars(modules[_TRACER])["disable"] = lambda function, *_, **__: function
    vars(modules[_TRACER])["graph_break"] = lambda *_: None
    sys.modules |= modules
    sys.meta_path.insert(0, _FINDER)


def _come_in() -> None:
    """Import what was left out."""
    sys.meta_path.remove(_FINDER)
    for name in _LEFT_OUT:
        del sys.modules[name]
    for name in _LEFT_OUT:
        importlib.import_module(name)


class _Deferred(types.ModuleType):
    """In the place of a module, until something else of it is asked for than what it has."""

    __path__: list[str] = []  # noqa: RUF012 - without it nothing could be imported from it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            _come_in()
        return getattr(sys.modules[self.__name__], name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what lies in what was left out, of which it has all come in before."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if not name.startswith(tuple(f"{left_out}." for left_out in _LEFT_OUT)):
            return None
        _come_in()
        importlib.import_module(name)
        return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec: Any) -> types.ModuleType:
        return sys.modules[spec.name]

    def exec_module(self, module: types.ModuleType) -> None:
        """It was executed when it was imported."""


_FINDER = _Finder()
