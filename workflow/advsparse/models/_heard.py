"""What a layer, or a whole network, is given while something else runs it. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


@contextmanager
def heard(
    module: torch.nn.Module, keep: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[list[torch.Tensor]]:
    """A list that grows by ``keep`` of what the module is given, call by call, while this is
    entered."""
    given: list[torch.Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, x: given.append(keep(x[0])))
    try:
        yield given
    finally:
        hook.remove()
