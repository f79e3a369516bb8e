"""What certificates decide: whether an image has an adversarial one of a class within a radius."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from advsparse.certify._ball import Ball
from advsparse.certify._network import Array, ReluNetwork

SLACK = 1e-9
"""What bounds of proofs stay below the confidence, and margins of witnesses above it: more than
rounding, for whoever checks them."""


@dataclass(frozen=True)
class Question:
    r"""Is there an a in the ball with

    .. math:: f_t(a) - f_c(a) \ge \alpha

    for the class c of the image, another one t and the confidence alpha?
    """

    network: ReluNetwork
    ball: Ball
    label: int
    target: int
    confidence: float

    def at(self, radius: float) -> Question:
        """The same question within another radius."""
        return replace(self, ball=self.ball.of(radius))

    @cached_property
    def objective(self) -> tuple[Array, float]:
        """v and g of the margin v . z + g, with z the last hidden layer's."""
        return self.network.margin(self.label, self.target)

    @property
    def wanted(self) -> float:
        """The margin of a witness."""
        return self.confidence + SLACK

    def margin(self, a: Array) -> Array:
        """The margins of vectors, N x P."""
        logits = self.network.logits(np.atleast_2d(a))
        return logits[:, self.target] - logits[:, self.label]

    def witness(self, a: Array) -> bool:
        """Whether the vector ``a`` answers with yes, for what rounding leaves of it."""
        ball = self.ball
        inside = ((a >= ball.low) & (a <= ball.high)).all()
        near = ball.distance(a) <= ball.radius * (1 + 1e-12)
        return bool(inside and near and self.margin(a)[0] >= self.wanted)
