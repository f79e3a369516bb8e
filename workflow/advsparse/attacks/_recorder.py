"""The best image that a network was asked about, within a limit of passes for each image."""

from __future__ import annotations

import copy
from collections.abc import Callable

from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._losses import margin
from advsparse.attacks._oracle import Objective, Oracle, one_by_one
from advsparse.attacks._result import Candidate
from advsparse.attacks._walks import size
from advsparse.lazy import torch
from advsparse.shapes import per_image
from advsparse.threat import Threat

_ROUNDING = 1e-6
"""By how much the pixels of a point may be off the ball or the box, which settling mends."""

_ROUGH = 1e-4
"""More than the share by which distances in single precision are wrong."""

_TIE = 1e-12
"""Share by which an image has to be nearer: walks return to a radius, and of two images at the same
distance the first is kept, whatever is rounded."""


class PassesSpent(Exception):
    """No image has passes left: nothing that an attack goes on with would change its result."""


class Recorder(Oracle):
    """An oracle that keeps the nearest adversarial image that it was asked about, for each image.

    Where there is a limit of passes, an image that can't pay for what is asked is not looked at any
    more: it is told of logits that fool nobody and of a gradient of 0, and what an attack makes of
    them is not what counts. What it has left goes into a last look, without a gradient. Once all
    images are at their limit, :class:`PassesSpent` ends the attack.

    x, y, target: the images that ``oracle`` stands for, their labels, and what counts as success;
    classes: of the network; passes: how many more there are for an image, none meaning any number;
    effort: whether the image of least margin within the threat is kept, too, for want of a better.
    """

    def __init__(
        self,
        oracle: Oracle,
        threat: Threat,
        x: torch.Tensor,
        y: torch.Tensor,
        target: torch.Tensor | None,
        classes: int,
        *,
        passes: int | None = None,
        effort: bool = False,
    ) -> None:
        self.__dict__.update(oracle.__dict__)  # the counters are shared
        self._oracle, self._classes = oracle, classes
        self._at = torch.arange(len(x), device=x.device)
        self._most = None if passes is None else self.queries[self._rows] + passes
        self._ended = torch.zeros(len(x), dtype=torch.bool)
        self._asked = torch.zeros(len(x), dtype=torch.int64)
        self._kept = _Kept(threat, x, y, target, effort)

    @property
    def price(self) -> int:
        return self._oracle.price

    def restrict(self, rows):
        part = copy.copy(self)
        part._oracle = self._oracle.restrict(rows)
        part._rows, part._at = part._oracle._rows, self._at[rows]
        return part

    def with_model(self, model):
        part = copy.copy(self)
        part._oracle = self._oracle.with_model(model)
        part.model = model
        return part

    def within(self, passes: int) -> Recorder:
        """The same oracle for no more than so many further passes, for an attack that is a part of
        another; what it finds is kept in common."""
        part, here = copy.copy(self), self._at.cpu()
        most = self.queries[self._rows] + passes
        if self._most is not None:
            most = torch.minimum(most, self._most[here])
        part._most = torch.zeros_like(self._asked).index_copy(0, here, most)
        # Of the images of the part alone it is asked whether all of them are at their limit.
        part._ended = torch.ones_like(self._ended).index_copy(0, here, self._ended[here])
        return part

    def affords(self, passes):
        if self._most is None:
            return self._oracle.affords(passes)
        left = int((self._most[self._at.cpu()] - self.queries[self._rows]).min())
        return left // (passes * self.price)

    @property
    def nearest(self) -> torch.Tensor:
        """The distance of the nearest adversarial image so far, float64 of shape N."""
        return self._kept.distance(self._at)

    @property
    def effort(self) -> torch.Tensor:
        """The images that come nearest to a success, or the clean ones where that is of no use."""
        return self._kept.effort[self._at]

    @property
    def asked(self) -> torch.Tensor:
        """How often each image was asked about, N."""
        return self._asked[self._at.cpu()].to(self._at.device)

    def logits(self, x, rows=None):
        at, able = self._admit(x, rows, 1)
        if able is None:
            logits = self._oracle.logits(x, rows)
            self._kept.look(x, logits, at)
            return logits
        whole = self._filled(at, able)
        if not len(able):
            return whole(None)
        found = self._oracle.logits(x[able], _of(rows, able))
        self._kept.look(x[able], found, at[able])
        return whole(found)

    several = one_by_one

    def differentiable(self, x, rows=None):
        at, able = self._admit(x, rows, 2)
        if able is None:
            logits = self._oracle.differentiable(x, rows)
            self._kept.look(x.detach(), logits.detach(), at)
            return logits
        whole = self._filled(at, able)
        if not len(able):
            return whole(None) + 0 * x.flatten(1)[:, :1]
        found = self._oracle.differentiable(x[able], _of(rows, able))
        self._kept.look(x[able].detach(), found.detach(), at[able])
        return whole(found)

    def gradient(self, x, objective: Objective, rows=None):
        at, able = self._admit(x, rows, 2)
        if able is None:
            value, logits, gradient = self._oracle.gradient(x, objective, rows)
            self._kept.look(x.detach(), logits, at)
            return value, logits, gradient
        logits, values, gradients = self._some(x, lambda z: [objective(z)], rows, at, able)
        return values[0], logits, gradients[0]

    def gradients(self, x, objectives, rows=None):
        at = self._at if rows is None else self._at[rows]
        wanted = len(objectives(self._silent(at)))
        at, able = self._admit(x, rows, 1 + wanted)
        if able is None:
            logits, gradients = self._oracle.gradients(x, objectives, rows)
            self._kept.look(x.detach(), logits, at)
            return logits, gradients
        logits, _, gradients = self._some(x, objectives, rows, at, able)
        return logits, gradients

    def _some(self, x, objectives: Callable, rows, at, able):
        """Logits, values and gradients, of those images alone that are ``able`` to pay."""
        whole = self._filled(at, able)
        x = x.detach()
        if not len(able):
            logits = whole(None)
            values = objectives(logits)
            return logits, values, [torch.zeros_like(x) for _ in values]

        def of_some(z):
            # An objective is made for the batch that it was asked with.
            return [value[able] for value in objectives(whole(z))]

        found, gradients = self._oracle.gradients(x[able], of_some, _of(rows, able))
        self._kept.look(x[able], found, at[able])
        logits = whole(found)
        spread = [torch.zeros_like(x).index_copy(0, able, one) for one in gradients]
        return logits, [value.detach() for value in objectives(logits)], spread

    def _admit(self, x, rows, passes):
        """Places of the images asked about; and which of these can pay, none meaning all."""
        at = self._at if rows is None else self._at[rows]
        here = at.cpu()
        if self._most is None:
            self._asked[here] += 1
            return at, None
        left = (
            self._most[here] - self.queries[self._rows if rows is None else self._rows[rows.cpu()]]
        )
        going = ~self._ended[here]
        able = going & (left >= passes * self.price)
        self._asked[here] += able
        if able.all():
            return at, None
        ending = going & ~able
        self._ended[here[ending]] = True
        last = (ending & (left >= self.price)).nonzero().flatten().to(x.device)
        if len(last):
            point = x[last].detach()
            self._kept.look(point, self._oracle.logits(point, _of(rows, last)), at[last])
        if self._ended.all():
            raise PassesSpent
        return at, able.nonzero().flatten().to(x.device)

    def _silent(self, at):
        """Logits that fool nobody, for images that are not looked at."""
        return self._kept.harmless(at, self._classes)

    def _filled(self, at, able):
        """From logits of those that are ``able`` to those of all."""
        fill = self._silent(at)
        return lambda found: fill if found is None else fill.index_copy(0, able, found)

    def settled(self, candidate: Candidate | None, *, weighed: bool = False) -> Candidate:
        """What counts, given what the attack proposes; none if its passes ran out.

        ``weighed``: what it proposes need not be the nearest, so that it is asked first.
        """
        kept, device = self._kept, self._kept.x.device
        ended = self._ended.to(device)
        found = kept.found()
        x, steps, trace = kept.effort, self._asked.to(device), {}
        if candidate is not None:
            x = torch.where(per_image(ended, x), x, candidate.x.detach())
            steps = torch.where(ended, steps, candidate.steps.to(device))
            for name, values in candidate.trace.items():
                gone = per_image(ended.to(values.device), values)
                trace[name] = torch.where(gone, torch.zeros_like(values), values)
        better = found & ended if weighed else found
        return Candidate(torch.where(per_image(better, x), kept.best, x), steps, trace)


def _of(rows, some):
    """Those of the rows of a batch, where none means all."""
    return some if rows is None else rows[some]


class _Kept:
    """For each image the nearest adversarial one within the threat; and the best effort."""

    def __init__(self, threat, x, y, target, effort) -> None:
        self._threat, self.x, self._y, self._target = threat, x, y, target
        self.best = x.clone()
        self._distance = x.new_full((len(x),), torch.inf, dtype=torch.float64)
        self._exact = torch.full_like(self._distance, torch.nan)
        self._sure = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self._all = torch.arange(len(x), device=x.device)
        exact = x.dtype == torch.float64 or threat.norm == "l0"
        self._rough = -_TIE if exact else _ROUGH
        # What a distance of 1 is in pixels.
        relative = threat.norm == "relative_l2"
        self._unit = size(x, "l2").clamp(min=torch.finfo(x.dtype).tiny) if relative else None
        # Without it the clean image stands for an effort.
        self._effort = x.clone() if effort else x
        self._least = x.new_full((len(x),), torch.inf) if effort else None

    @property
    def effort(self):
        """For each image the point of least margin, brought within the threat."""
        if self._least is None:
            return self._effort
        return self._threat.settle(self._effort, self.x)

    def found(self):
        """Whether there is one, N."""
        return self._distance.isfinite()

    def distance(self, at):
        """Of the nearest adversarial ones for the images ``at``, infinite where there is none."""
        return self._exactly(at).where(self._distance[at].isfinite(), torch.inf)

    def harmless(self, at, classes):
        goal = self._y[at] if self._target is None else self._target[at]
        sign = 1.0 if self._target is None else -1.0
        return self.x.new_zeros(len(at), classes).scatter_(1, goal[:, None], sign)

    def look(self, point, logits, at) -> None:
        """Note what ``logits`` say of points for the images ``at``."""
        y, target = self._y[at], at_rows(self._target, at)
        won, better = fooled(logits, y, target), None
        if self._least is not None:
            value = margin(logits, y, target)
            better = value < self._least[at]
        tried = better is not None and bool(better.any())
        found = bool(won.any())
        if not (tried or found):
            return
        clean = self.x if torch.equal(at, self._all) else self.x[at]
        distance = self._roughly(point, clean, at)
        if tried:
            self._try_harder(point, clean, distance, value, better, at)
        if found:
            self._come_nearer(point, clean, distance, won, at)

    def _roughly(self, point, clean, at):
        """Distances in the precision of the images, which tell most of those that are nearer."""
        if self._unit is None:
            return size(point - clean, self._threat.norm).double()
        return (size(point - clean, "l2") / self._unit[at]).double()

    def _try_harder(self, point, clean, distance, value, better, at):
        """Keep the points that are ``better`` and within the threat, but for rounding.

        A point from far beyond the threat says nothing of where it ends up within, and one that is
        not finite is nowhere. Where exactly is seen at the end: in float64 it would take half the
        time of a step.
        """
        threat, (low, high) = self._threat, self._threat.bounds
        if threat.eps is not None:
            slack = _ROUNDING if self._unit is None else _ROUNDING / self._unit[at]
            inside = distance <= threat.eps + slack
        else:
            inside = torch.ones_like(better)
        least, largest = torch.aminmax(point)
        if not (least >= low - _ROUNDING and largest <= high + _ROUNDING):
            inside = torch.zeros_like(better)
        doubtful = better & ~inside
        if doubtful.any():
            # A norm's rounding may exceed that of each entry.
            some = doubtful.nonzero().flatten()
            moved = threat.project(point[some], clean[some]).sub_(point[some])
            inside[some] = moved.abs_().flatten(1).amax(1) <= _ROUNDING
        kept = better & inside
        if not kept.all():
            at, point, value = at[kept], point[kept], value[kept]
        self._effort[at], self._least[at] = point, value

    def _come_nearer(self, point, clean, distance, won, at):
        """Keep the points that have ``won`` and are nearer than what was kept before."""
        known = self._distance[at]
        won &= (distance <= known * (1 + self._rough)) | ~self._sure[at]
        equal = won & self._sure[at] & (distance >= known * (1 - self._rough))
        if equal.any():
            some, here = equal.nonzero().flatten(), at[equal]
            found = self._threat.distance(point[some], clean[some])
            won[some] = found < self._exactly(here) * (1 - _TIE)
        if not won.any():
            return
        if not won.all():
            point, at, clean, distance = point[won], at[won], clean[won], distance[won]
        point, sure, close = self._within(point, clean)
        # What was asked about as it is goes before what is adversarial but for rounding.
        kept = sure | (close & self._distance[at].isinf())
        if not kept.all():
            point, at, distance, sure = point[kept], at[kept], distance[kept], sure[kept]
        self.best[at], self._distance[at], self._sure[at] = point, distance, sure
        self._exact[at] = torch.nan

    def _exactly(self, at):
        """The distances of what is kept for the images ``at``, measured once for each."""
        new = at[self._exact[at].isnan()]
        if len(new):
            self._exact[new] = self._threat.distance(self.best[new], self.x[new])
        return self._exact[at]

    def _within(self, point, clean):
        """Points within the threat; which were there before, and which but for rounding."""
        if self._threat.eps is None:
            low, high = self._threat.bounds
            if point.min() >= low and point.max() <= high:  # faster than one by one
                inside = torch.ones_like(self._sure[: len(point)])
            else:
                inside = ((point >= low) & (point <= high)).flatten(1).all(1)
            return point, inside, inside
        settled = self._threat.settle(point, clean)
        moved = (settled - point).flatten(1).abs().amax(1)
        return settled, moved == 0, moved <= _ROUNDING
