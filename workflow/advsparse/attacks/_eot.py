r"""Expectation over transformations: a stochastic defence as an attack sees it.

With t drawn anew for each of T samples, the value, the gradient and the logits that an attack is
given at x are means over the draws,

.. math:: \frac{1}{T} \sum_i g(f(t_i(x))), \qquad
          \frac{1}{T} \sum_i \nabla_x\, g(f(t_i(x))), \qquad \frac{1}{T} \sum_i f(t_i(x)),

unbiased estimates of E_t[g(f(t(x)))], of its gradient and of E_t[f(t(x))] (Athalye, Engstrom, Ilyas
and Kwok 2018; Athalye, Carlini and Wagner 2018, section 4.2). The mean is over logits, not over
probabilities, of which few draws where the network is sure would decide everything. Log
probabilities would do the same: their mean differs from that of the logits by one number for each
image, which no decision and no margin feels.
"""

from __future__ import annotations

from collections.abc import Callable

from advsparse.attacks._asking import slopes
from advsparse.attacks._oracle import Objective, Oracle, one_by_one
from advsparse.lazy import torch
from advsparse.seeding import Draws, Random, stable_seed


def as_attacked(oracle: Oracle, x: torch.Tensor, rng: Random) -> Oracle:
    """``oracle`` as an attack on the clean images ``x`` is given it: random where the model is."""
    # What a defended model declares; to ask for its class would make each attack import it.
    stochastic = getattr(oracle.model, "stochastic", False)
    return Expectation(oracle, x, rng) if stochastic else oracle


class Expectation(Oracle):
    """An oracle whose answers are means over ``model.samples`` draws, each draw being counted.

    Every pass draws anew, even at the same point. Draws are made one after the other, so that a
    chunk takes the memory that it would take without them.
    """

    def __init__(self, oracle: Oracle, x: torch.Tensor, rng: Random) -> None:
        self.__dict__.update(oracle.__dict__)  # the counters are shared
        self._draws = Draws(stable_seed("transformations", rng.seed), x)
        self._position = {row: i for i, row in enumerate(self._rows.tolist())}

    @property
    def price(self):
        return self.model.samples

    def logits(self, x, rows=None):
        chosen = self._count(rows, self.model.samples)
        with torch.no_grad():
            logits = self._mean(self._ask(x, chosen, rng) for rng in self._randoms(chosen))
        return self._looked_at(chosen, logits)

    several = one_by_one

    def differentiable(self, x, rows=None):
        """Mean logits; the graph of a draw is rebuilt on the way back, instead of all being kept.

        An attack that asks for values and gradients of an objective gets the mean of its values;
        one that makes an objective of these logits ascends its value at the mean.
        """
        from torch.utils.checkpoint import checkpoint

        chosen = self._count(rows, 2 * self.model.samples)
        self._watch(x, chosen)
        return self._mean(
            checkpoint(self._ask, x, chosen, rng, use_reentrant=False, preserve_rng_state=False)
            for rng in self._randoms(chosen)
        )

    def gradient(self, x, objective: Objective, rows=None):
        values, logits, gradients = self._means(x, lambda z: [objective(z)], rows)
        return values[0], logits, gradients[0]

    def gradients(self, x, objectives, rows=None):
        _, logits, gradients = self._means(x, objectives, rows)
        return logits, gradients

    def _means(self, x, objectives: Callable, rows):
        """Means over the draws of each objective's values (N), the logits, and each gradient."""
        x, chosen = x.detach().requires_grad_(), self._count(rows, 0)
        sums: list[torch.Tensor] = []
        for rng in self._randoms(chosen):
            logits = self._ask(x, chosen, rng)
            values = objectives(logits)
            count, found = len(values), slopes(values, x)
            terms = [logits.detach(), *(value.detach() for value in values), *found]
            sums = [a + b for a, b in zip(sums, terms, strict=True)] if sums else terms
        self._count(rows, self.model.samples * (1 + count))
        logits, *means = [total / self.model.samples for total in sums]
        self._note(chosen, *means[count:])
        return means[:count], logits, means[count:]

    def _mean(self, logits):
        return sum(logits) / self.model.samples

    def _randoms(self, chosen):
        places = [self._position[row] for row in chosen.tolist()]
        return (self._draws.next(places) for _ in range(self.model.samples))
