"""What every sparse coder must give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from advsparse.arguments import all_finite, check_real, check_tensor
from advsparse.lazy import torch
from advsparse.modes import exactly, outside_inference
from advsparse.seeding import layers_drawn_from
from advsparse.settings import settings

if TYPE_CHECKING:
    from advsparse.coding._maps import LinearMap


@dataclass(frozen=True)
class Coded:
    """What a solver found for each of N signals."""

    code: torch.Tensor
    """N x the code's shape."""
    objective: torch.Tensor
    """The value of what the solver minimises, float64 of shape N; infinite beyond that's range."""
    residual: torch.Tensor
    """||x - D a||_2, float64 of shape N."""
    iterations: torch.Tensor
    """Iterations spent on the signal, int64 of shape N."""


@settings
class Coder:
    """The settings of a sparse coder."""


@settings
class Solver(Coder, ABC):
    """A coder that solves a problem for a dictionary that it is given."""

    @abstractmethod
    def solve(self, synthesis: LinearMap, x: torch.Tensor) -> Coded:
        """Codes of the signals ``x``, N x the signal's shape, under the dictionary ``synthesis``.

        Signals do not depend on one another. Raises ValueError for shapes that don't fit, for
        signals or a dictionary with NaN or infinity, and for codes out of the range of the signals'
        precision.
        """


@settings
class LearnedCoder(Coder, ABC):
    """A coder that is a network, whose weights are learned."""

    @abstractmethod
    def network(self, shape: tuple[int, ...], dictionary: torch.Tensor | None) -> CodingNetwork:
        """The untrained network for signals of ``shape``; see :meth:`build`."""

    def build(
        self, shape: tuple[int, ...], seed: int = 0, dictionary: torch.Tensor | None = None
    ) -> CodingNetwork:
        """The untrained network for signals of ``shape``, with weights drawn from ``seed``.

        ``dictionary`` is that of the signals, m x n, for coders that are told it. Raises ValueError
        for a shape that does not fit, and for a dictionary that is missing, not asked for, or not
        finite, or leads to weights that aren't.
        """
        if dictionary is not None:
            check_tensor("dictionary", dictionary)
        # What is made in inference mode could never learn.
        with layers_drawn_from(seed), torch.inference_mode(False), exactly():
            network = self.network(tuple(shape), dictionary)
        network.require_finite()
        return network


class CodingNetwork(ABC):
    """Mixin of a torch module that codes: from signals N x ... to codes, differentiably.

    As a module it is its encoder: ``network(x)`` is ``network.encode(x)`` without its checks.
    """

    @property
    @abstractmethod
    def synthesis(self) -> LinearMap:
        """The dictionary: the linear map from codes back to signals, as weights are now."""

    @abstractmethod
    def loss(self, x: torch.Tensor, code: torch.Tensor | None) -> torch.Tensor:
        """What training lowers, summed over the signals ``x``, whose codes are known or not."""

    def distortion(self, x: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
        """How far the signals ``x`` are from what their codes stand for, summed over them.

        The squared l2 distance, unless the network measures it in another way.
        """
        return (x - self.synthesis.forward(code)).square().sum()

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """The codes of the signals ``x``.

        Raises ValueError unless these and the codes are finite, which the module does not look at.
        """
        check_real("x", x)
        code = self(x)
        _require_finite(code, x, "signals")
        return code

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """The signals that codes stand for: ``synthesis.forward``; errors as for :meth:`encode`."""
        check_real("code", code)
        signals = self.synthesis.forward(outside_inference(code))
        _require_finite(signals, code, "codes")
        return signals

    def require_finite(self) -> None:
        """Raises ValueError for weights that are NaN or infinite."""
        state = cast("torch.nn.Module", self).state_dict()
        wrong = [name for name, value in state.items() if not value.isfinite().all()]
        if wrong:
            raise ValueError(
                f"the weights of a coder must be finite, got NaN or infinity in {', '.join(wrong)}"
            )


def _require_finite(found: torch.Tensor, given: torch.Tensor, name: str) -> None:
    """Refuse what a network has ``found`` for what it was ``given``, unless it is finite."""
    if all_finite(found):  # so is what was given: NaN and infinity spread
        return
    if not given.isfinite().all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")
    wrong = int((~found.isfinite()).flatten(1).any(1).sum())
    raise ValueError(
        f"what becomes of {wrong} of {len(found)} {name} is not finite in {found.dtype}: weights "
        f"of the network are NaN, infinite or too large, or the {name} are too large"
    )
