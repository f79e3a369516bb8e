"""Transformations one after the other."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from advsparse.defenses._composed import Composed
from advsparse.registry import Plugin
from advsparse.settings import settings


@settings
class Chain(Composed):
    r"""Several transformations, one after the other.

    .. math:: t = t_m \circ \dots \circ t_1

    Each of them learns from clean images, not from what those before it make of them. An adaptive
    attack goes by the chain rule, each derivative being taken at what the part itself is given,

    .. math:: J_{g_1}(x)^T\, J_{g_2}(t_1(x))^T \cdots J_{g_m}(t_{m-1} \circ \dots \circ t_1(x))^T

    with g_i what part i declares: itself, the identity or an approximation. Numbers that parts draw
    follow the image that the chain is given. Where parts average class probabilities over draws,
    the chain does so over as many draws of the whole, the most that a part asks for: crops, then
    total variation minimisation or quilting, are the ensembles of Guo et al.

    Source: Guo, Rana, Cisse and van der Maaten 2018 (crops with other transformations); sun2019,
    tables 2, 3, 5 to 7 (Crop-Ens).

    Cost: the sum over its parts, for each of the draws of an ensemble, and as many passes of the
    network; learning: what each part costs.

    Attacks: Athalye, Carlini and Wagner 2018: the transformations of Guo et al. leave an accuracy
    of 0 at an l2 norm of 0.05 (ImageNet), each by itself, by BPDA and EOT. He, Wei, Chen, Carlini
    and Song 2017: weak defences together make no strong one.
    """

    parts: Annotated[
        list[Annotated[Any, Plugin("defenses", without=("averaged", "chain"))]],
        Field(min_length=1),
    ]
    """The transformations, the first to be applied first: for each its kind and settings."""

    @property
    def ensemble(self) -> int:
        return max(part.ensemble for part in self.parts)

    def shape(self, shape):
        for part in self.parts:
            shape = part.shape(shape)
        return shape

    def _composed(self, steps):
        def t(x, *numbers):
            # By the images: what parts make of them rounds as the batch has it.
            rng = numbers[0].of(x) if numbers else None
            for step in steps:
                x = step(x, rng)
            return x

        return t
