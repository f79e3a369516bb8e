"""Predictions averaged over draws of transformations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from advsparse.defenses._composed import Composed
from advsparse.defenses._resizing import drawn
from advsparse.lazy import torch
from advsparse.registry import Plugin
from advsparse.settings import PositiveInt, settings


@settings
class Averaged(Composed):
    r"""Class probabilities averaged over draws of a transformation, or of one of several.

    .. math:: x \mapsto \log \frac{1}{N} \sum_{i=1}^{N} \mathrm{softmax}(f(t_{k_i}(x))), \qquad
              k_i \sim \text{uniform over the parts}

    each draw with random numbers of its own. Its mean over draws is the mean over the parts of what
    each would say by itself. Training images are transformed by a single draw. Of parts that
    average by themselves, single draws are taken.

    What an adaptive attack goes by is what the part that is drawn declares.

    Source: Guo, Rana, Cisse and van der Maaten 2018 (crops and transformations); Prakash et al.
    2018 (runs of pixel deflection); sun2019, tables 2, 3, 5 to 7 (Crop-Ens, PD-Ens).

    Cost: N draws of parts, and N passes of the network; learning: what each part costs.

    Attacks: Athalye, Carlini and Wagner 2018: the transformations of Guo et al. leave an accuracy
    of 0 at an l2 norm of 0.05 (ImageNet), crops and others, by BPDA and EOT; Athalye and Carlini
    2018: pixel deflection, accuracy 0.
    """

    stochastic = True

    parts: Annotated[
        list[Annotated[Any, Plugin("defenses", without=("averaged",))]], Field(min_length=1)
    ]
    """The transformations, of which each draw is one: for each its kind and settings."""
    draws: PositiveInt = 10
    """Number N of draws."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.parts) == 1 and not self.parts[0].stochastic:
            raise ValueError("parts: draws of one that draws nothing are all the same")

    @property
    def ensemble(self) -> int:
        return self.draws

    def shape(self, shape):
        found = {part.shape(shape) for part in self.parts}
        if len(found) > 1:
            said = ", ".join(" x ".join(map(str, one)) for one in sorted(found))
            raise ValueError(f"parts: they give images of several shapes, {said}")
        return found.pop()

    def _composed(self, steps):
        def t(x, rng):
            if len(steps) == 1:
                return steps[0](x, rng)
            uniform = rng.part("which").uniform_block(x, ())
            which = drawn(uniform, len(steps))
            rows = [(which == step.index).nonzero()[:, 0] for step in steps]
            found = [
                step(x[some], rng.only(x, some))
                for step, some in zip(steps, rows, strict=True)
                if len(some)
            ]
            return torch.cat(found)[torch.cat(rows).argsort()]

        return t
