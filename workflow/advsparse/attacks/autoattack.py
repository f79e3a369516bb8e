"""AutoAttack: four complementary attacks, one after the other, without settings to tune."""

from __future__ import annotations

import logging
from typing import Any, Literal

from advsparse.attacks import _checks
from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._losses import cross_entropy, largest
from advsparse.attacks.apgd import APGD
from advsparse.attacks.fab import FAB
from advsparse.attacks.square import Square
from advsparse.lazy import torch
from advsparse.seeding import Random, stable_seed
from advsparse.settings import PositiveInt, settings

logger = logging.getLogger(__name__)

STAGES = ("apgd_ce", "apgd_t", "fab_t", "square")
"""The stages, in order; the trace counts them from 1."""

_L1_STARTS, _L1_TARGETS = 5, 5
"""Starts of APGD-CE and most targets of APGD-T in l1, as in the authors' code."""

_SAME = 1e-4
"""Share of the largest logit by which two passes may differ: rounding, not randomness."""

_SUSPICIONS = {
    "randomised": "the output changes from pass to pass for {} of {} images: a randomised defence "
    "looks stronger here than it is; use expectation over transformations (EOT)",
    "black_box_won": "Square, which needs no gradient, fooled {} of {} images where no gradient "
    "attack did: gradients may be masked; use an adaptive attack (BPDA)",
}
"""What the self-checks of this attack alone say; the keys are names in the trace."""


@settings
class AutoAttack(BudgetAttack):
    r"""The standard ensemble: APGD-CE, targeted APGD-DLR, FAB-T and Square, in that order.

    .. math:: \exists\, x': \|x' - x\|_p \le \epsilon,\; x' \in [0, 1]^P,\; C_f(x') \ne y

    Each stage attacks the images that still stand after those before it; an image is robust only if
    it withstands all four. The DLR loss of the second stage needs at least 4 classes. For l1, APGD
    begins in larger balls, APGD-CE from five starts, and APGD-T has five targets at most.

    Four self-checks say, image by image, when the evaluation is not to be trusted; they are among
    the warnings.

    Source: Croce and Hein 2020a; weitzner2023, supplement; for l1 Croce and Hein 2021, "Mind the
    box".

    Cost: at most (1 + targets) x steps gradients of APGD, 10 x steps for l1, targets x steps of FAB
    with as many forward passes, and ``queries`` forward passes.

    Trace: the self-checks (each N, bool): ``randomised``, two passes differ;
    ``softmax_output``, the outputs are non-negative and sum to 1; ``zero_gradient``, the
    cross-entropy has no gradient at the clean image; ``black_box_won``, only Square fooled.
    ``broken_by`` (N) is the number of the stage that fooled, from 1, and 0 where none did.
    """

    family = "ensemble"
    randomness = "the starting points of APGD, and Square"

    norm: Literal["linf", "l2", "l1"] = "linf"
    steps: PositiveInt = 100
    """Gradient steps of each run of APGD and of FAB."""
    targets: PositiveInt = 9
    """Number of target classes of APGD-T and FAB-T."""
    queries: PositiveInt = 5000
    """Queries of Square."""

    def stages(self) -> dict[str, APGD | FAB | Square]:
        """The four attacks, by name."""
        ball: dict[str, Any] = {"norm": self.norm, "eps": self.eps}
        climb, l1 = {"steps": self.steps, **ball}, self.norm == "l1"
        targets = min(self.targets, _L1_TARGETS) if l1 else self.targets
        attacks = (
            APGD(loss="ce", restarts=_L1_STARTS if l1 else 1, shrinking=l1, **climb),
            APGD(loss="targeted_dlr", targets=targets, shrinking=l1, **climb),
            FAB(norm=self.norm, steps=self.steps, targets=self.targets, choice="logits"),
            Square(queries=self.queries, **ball),
        )
        return dict(zip(STAGES, attacks, strict=True))

    def _copies(self, classes, size):
        return max(attack._copies(classes, size) for attack in self.stages().values())

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        trace = self._check(oracle, x, y, target)
        best = x.clone()
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        broken_by = torch.zeros_like(steps)
        stand = torch.arange(len(x), device=x.device)
        for number, (name, attack) in enumerate(self.stages().items(), 1):
            goal = at_rows(target, stand)
            ours = (oracle.restrict(stand), x[stand], y[stand], goal)
            numbers = Random(stable_seed(rng.seed, name))
            if isinstance(attack, FAB):  # which need not find the nearest image, but one within eps
                candidate = attack.search(*ours, numbers, enough=self.eps)
            else:
                candidate = attack.perturb(*ours, numbers)
            steps[stand] += candidate.steps
            settled = self.threat.settle(candidate.x, x[stand])
            won = fooled(oracle.logits(settled, stand), y[stand], goal)
            # Where nothing fools, the images of the first stage are the best effort.
            keep = won if number > 1 else torch.ones_like(won)
            best[stand[keep]] = settled[keep]
            broken_by[stand[won]] = number
            logger.info("%s: %d of %d images fooled", name, int(won.sum()), len(stand))
            stand = stand[~won]
            if not len(stand):
                break
        trace |= {"broken_by": broken_by, "black_box_won": broken_by == len(STAGES)}
        return Candidate(best, steps, trace)

    def _check(self, oracle, x, y, target) -> dict[str, torch.Tensor]:
        """The self-checks that need no attack."""
        _, logits, _ = oracle.gradient(x, lambda z: cross_entropy(z, y, target))
        if logits.shape[1] < 4:
            raise ValueError(
                "AutoAttack's targeted DLR loss needs at least 4 classes, and the model has "
                f"{logits.shape[1]}: run apgd with the cross-entropy, and square, by themselves"
            )
        again = oracle.logits(x)
        change = torch.where(again == logits, 0.0, (again - logits).abs()).amax(1)
        return {
            "randomised": change > _SAME * largest(logits),
            "softmax_output": _checks.looks_like_softmax(logits),
            "zero_gradient": oracle.zero_gradient().to(x.device),
        }

    def _suspicions(self, result):
        # The base class warns of softmax and of zero gradients, whatever the attack.
        counts = {name: int(result.trace.get(name, torch.zeros(1)).sum()) for name in _SUSPICIONS}
        return tuple(
            sentence.format(counts[name], len(result.x))
            for name, sentence in _SUSPICIONS.items()
            if counts[name]
        )
