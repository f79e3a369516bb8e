"""The Square attack: random search with square patches, without gradients."""

from __future__ import annotations

from typing import Literal

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.attacks._climb import project_l1
from advsparse.attacks._confirm import at_rows, confirm
from advsparse.attacks._losses import margin
from advsparse.attacks._square_moves import Moves
from advsparse.lazy import torch
from advsparse.settings import Fraction, PositiveInt, settings
from advsparse.shapes import per_image


@settings
class Square(BudgetAttack):
    r"""Random search for the smallest margin, changing one square window at a time.

    .. math:: \min_{x'} m(x') \quad \text{subject to} \quad \|x' - x\|_p \le \epsilon,\;
              x' \in [0, 1]^P

    where m is the margin of the logits. A proposal that lowers it is kept, and all the others are
    forgotten. The share p of the pixels in a window
    starts at ``first_share`` and is halved on their schedule. linf: the window takes one of the
    colours x -+ eps, a sign for each channel; the start is vertical stripes. l2 and l1: the window
    gets the norm of a second window, which goes back to 0, and what the budget has left over, in
    the form of a positive and a negative bump; the start is a grid of bumps. For l1 both are
    projected onto what [0, 1] leaves of the ball, which makes them sparse. An image leaves once it
    is adversarial.

    Source: Andriushchenko et al. 2020; weitzner2023, supplement; for l1 Croce and Hein 2021, "Mind
    the box".

    Cost: no gradient, at most ``queries`` forward passes.

    Trace: ``margin`` (N), the smallest margin.
    """

    family = "black box"
    randomness = "the windows and their colours"

    norm: Literal["linf", "l2", "l1"] = "linf"
    queries: PositiveInt = 5000
    """Largest number of images that the model is asked about, for each image."""
    first_share: Fraction = 0.8
    """Share of the pixels that the first windows cover."""

    @property
    def follows_gradients(self) -> bool:
        return False

    def perturb(self, oracle, x, y, target, rng) -> Candidate:
        moves = Moves(self.norm, rng, self.queries, self.first_share, self._into)
        rows = torch.arange(len(x), device=x.device)
        best = x.clone()
        steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        lowest = x.new_full((len(x),), torch.inf)
        now = moves.start(x, self.threat.radius(x))
        clean, margins = x, lowest
        for query in range(self.queries):
            trial = now
            if query:
                trial = moves.propose(query, now, clean, self.threat.radius(clean))
            logits = oracle.logits(trial, rows)
            value = margin(logits, y[rows], at_rows(target, rows))
            better = value < margins
            now = torch.where(per_image(better, trial), trial, now)
            margins = torch.where(better, value, margins)
            steps[rows] += 1
            won, settled = confirm(self.threat, oracle, trial, logits, x, y, target, rows)
            if won.any():
                best[rows[won]], lowest[rows[won]] = settled, value[won]
                keep = ~won
                rows, now, margins, clean = rows[keep], now[keep], margins[keep], clean[keep]
                moves.keep(keep)
            if not len(rows):
                break
        best[rows], lowest[rows] = now, margins
        return Candidate(best, steps, {"margin": lowest})

    def _into(self, point, x, radius):
        """Exactly where that is another point than what comes first into the ball."""
        if self.norm == "l1":
            return project_l1(point, x, self.threat)
        return self.threat.project(point, x)
