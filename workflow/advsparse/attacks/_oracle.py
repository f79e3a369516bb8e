"""The model as an attack sees it: evaluated, differentiated in its input, and counted."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack

from advsparse.attacks._asking import ask, refused, slope, slopes
from advsparse.attacks._checks import looks_like_softmax, spread_of
from advsparse.attacks._first_look import FirstLook
from advsparse.attacks._progress import Progress
from advsparse.decisions import decided
from advsparse.lazy import torch
from advsparse.modes import autocasts

Objective = Callable[["torch.Tensor"], "torch.Tensor"]


class Oracle:
    """Access to ``model`` for the images of a chunk, counting passes per image.

    ``rows`` names the images of the chunk that a batch holds; none means all, in order. Of each
    image's first gradient it is noted whether it is exactly 0 (``zero``) or not finite
    (``broken``), once there is one (``differentiated``), and of its first logits without a gradient
    whether they name no class (``undecided``), whether they look like probabilities (``softmax``)
    and by how much they differ (``spread``); all are of shape N, and bool but for the last. Of more
    images than a chunk has, when an attack learns, ``at_once`` fit into memory; there it is noted,
    too, which images any later logits named no class for (``astray``).

    The model is given copies, so that whatever it does to its input harms nobody. Its logits come
    in the precision of the images, whatever the model's own, and with the autocast that was on
    where the oracle was made. Where a detector stands beside the model and the attack is told of
    it, an image that is refused has the logits of one that fools nobody (:func:`refused`), by
    ``goals``: the labels of the chunk, and the targets if there are any. ``first``: what a pass of
    the first clean image has shown already. ``room``: how many images fit into memory at once,
    where a chunk may have fewer.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        count: int,
        at_once: int | None = None,
        goals: tuple[torch.Tensor, torch.Tensor | None] | None = None,
        first: FirstLook | None = None,
        room: int | None = None,
    ) -> None:
        self.model = model
        self._room = room or max(count, 1)
        self._first = first
        self._goals = goals if getattr(model, "watched", False) else None
        self._learning = at_once is not None
        self.at_once = at_once or max(count, 1)
        self.queries = torch.zeros(count, dtype=torch.int64)
        self.differentiated = torch.zeros(count, dtype=torch.bool)
        self.zero = torch.zeros(count, dtype=torch.bool)
        self.broken = torch.zeros(count, dtype=torch.bool)
        self.undecided = torch.zeros(count, dtype=torch.bool)
        self.softmax = torch.zeros(count, dtype=torch.bool)
        self.spread = torch.zeros(count, dtype=torch.float64)
        self.astray = torch.zeros(count, dtype=torch.bool)
        self._seen = torch.zeros(count, dtype=torch.bool)
        self._autocast = autocasts()
        self._rows = torch.arange(count)
        self._progress = Progress()

    def restrict(self, rows: torch.Tensor) -> Oracle:
        """The same oracle for some of the images; the passes are counted in common."""
        part = copy.copy(self)  # which shares the counters
        part._rows = self._rows[rows.cpu()]
        return part

    def with_model(self, model: torch.nn.Module) -> Oracle:
        """The same oracle for another model; the passes are counted in common."""
        other = copy.copy(self)
        other.model = model
        return other

    @property
    def price(self) -> int:
        """How many passes one is, of those that are counted."""
        return 1

    def affords(self, passes: int) -> int | None:
        """How often so many passes can be asked for within the limit; none if there is none."""
        return None

    def clean_logits(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of all the clean images, N x K, which no pass is made for where one was."""
        if self._first is None:
            return self.logits(x, torch.arange(len(x), device=x.device))
        chosen = self._count(None, 1)
        with torch.no_grad():
            logits = self._judged(self._first.logits, x[:1], chosen[:1], self._first.excess)
            if len(x) > 1:
                logits = torch.cat([logits, self._ask(x[1:], chosen[1:])])
        return self._looked_at(chosen, logits)

    def logits(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Logits without gradients, N x K."""
        chosen = self._count(rows, 1)
        with torch.no_grad():
            logits = self._ask(x, chosen)
        return self._looked_at(chosen, logits)

    def several(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Logits of several candidates for each image, N x M x K; x: N x M x C x H x W."""
        count, candidates = x.shape[1], x.flatten(0, 1)
        chosen = self._count(rows, count).repeat_interleave(count)
        parts = zip(candidates.split(self._room), chosen.split(self._room), strict=True)
        with torch.no_grad():
            logits = torch.cat([self._ask(*part) for part in parts])
        return self._followed(chosen, logits).unflatten(0, (-1, count))

    def differentiable(self, x: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
        """Logits with the graph that leads back to ``x``; the backward pass is counted too."""
        chosen = self._count(rows, 2)
        self._watch(x, chosen)
        return self._followed(chosen, self._ask(x, chosen))

    def gradient(
        self, x: torch.Tensor, objective: Objective, rows: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Values of ``objective(logits)`` (N), logits (N x K), and the gradient in ``x``."""
        x = x.detach().requires_grad_()
        logits = self.differentiable(x, rows)
        value = objective(logits)
        return value.detach(), logits.detach(), slope(value, x)

    def gradients(
        self,
        x: torch.Tensor,
        objectives: Callable[[torch.Tensor], list[torch.Tensor]],
        rows: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits (N x K), and the gradient in ``x`` of each of several ``objectives(logits)``."""
        x = x.detach().requires_grad_()
        chosen = self._count(rows, 1)
        logits = self._ask(x, chosen)
        values = objectives(logits)
        self._count(rows, len(values))
        self._followed(chosen, logits)
        found = slopes(values, x)
        self._note(chosen, *found)
        return logits.detach(), found

    def jacobian(
        self, x: torch.Tensor, rows: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits N x K, and their gradients in ``x``, N x K x C x H x W."""
        logits, gradients = self.gradients(x, lambda z: list(z.unbind(1)), rows)
        return logits, torch.stack(gradients, dim=1)

    def zero_gradient(self) -> torch.Tensor:
        """Whether the first gradient of each image was exactly 0, bool of shape N."""
        return self.zero[self._rows]

    def _ask(self, x, chosen, *more) -> torch.Tensor:
        """What every pass through the model is: :func:`ask`, with the autocast of the caller."""
        with ExitStack() as stack:
            for device, dtype in self._autocast:
                stack.enter_context(torch.autocast(device, dtype))
            return self._judged(ask(self.model, x, *more), x, chosen)

    def _judged(self, logits, x, chosen, excess=None) -> torch.Tensor:
        """Logits as a detector leaves them, if there is one that the attack is told of."""
        if self._goals is None:
            return logits
        if excess is None:
            excess = self.model.excess(x.clone())
        y, target = self._goals
        rows = chosen.to(y.device)
        goal = None if target is None else target[rows]
        return refused(logits, excess.to(logits.dtype), y[rows], goal)

    def _looked_at(self, chosen, logits):
        """The logits; of images that had none so far it is noted what they say."""
        first = ~self._seen[chosen]
        if first.any():
            at = chosen[first]
            self.undecided[at] = ~decided(logits).cpu()[first]
            self.softmax[at] = looks_like_softmax(logits).cpu()[first]
            self.spread[at] = spread_of(logits).cpu()[first]
            self._seen[chosen] = True
        return self._followed(chosen, logits)

    def _followed(self, chosen, logits):
        """The logits; while learning, those that name no class any more are noted."""
        if self._learning:
            lost = ~decided(logits.detach())
            if lost.any():
                self.astray[chosen[lost.cpu()]] = True
        return logits

    def _count(self, rows, passes) -> torch.Tensor:
        chosen = self._rows if rows is None else self._rows[rows.cpu()]
        self.queries[chosen] += passes
        self._progress.note(self.queries, len(chosen))
        return chosen

    def _watch(self, x, chosen) -> None:
        """Note the gradient that a backward pass is going to bring to ``x``."""
        if x.requires_grad and not self.differentiated[chosen].all():
            # A layer may hand back none.
            x.register_hook(lambda found: None if found is None else self._note(chosen, found))

    def _note(self, chosen, *gradients) -> None:
        first = ~self.differentiated[chosen]
        if first.any():
            flat = [gradient.detach().flatten(1) for gradient in gradients]
            moving = torch.stack([one.any(1) for one in flat]).any(0)
            finite = torch.stack([one.isfinite().all(1) for one in flat]).all(0)
            self.zero[chosen[first]] = ~moving.cpu()[first]
            self.broken[chosen[first]] = ~finite.cpu()[first]
            self.differentiated[chosen] = True


def one_by_one(oracle: Oracle, x: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
    """:meth:`Oracle.several`, for an oracle that treats each look at an image by itself."""
    return torch.stack([oracle.logits(one, rows) for one in x.unbind(1)], dim=1)
