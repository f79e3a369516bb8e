"""A call of an attack from end to end: what every one of them needs done right.

Its input is checked, the model is put into evaluation mode, the images are split into chunks that
fit into memory, those that need no attack are left alone, what comes back is brought into the
threat model, and success and distance are measured on the tensor that is returned. ``attack`` is
the :class:`~advsparse.attacks._base.Attack` throughout.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from advsparse import lots
from advsparse.attacks import _checks
from advsparse.attacks._asking import ask, undisturbed
from advsparse.attacks._confirm import at_rows, fooled
from advsparse.attacks._eot import as_attacked
from advsparse.attacks._first_look import FirstLook, bytes_per_image, first_look
from advsparse.attacks._oracle import Oracle
from advsparse.attacks._recorder import PassesSpent, Recorder
from advsparse.attacks._result import Candidate, Result, Whole
from advsparse.decisions import decided
from advsparse.lazy import torch
from advsparse.modes import exactly, recordable
from advsparse.seeding import Random, seeded
from advsparse.shapes import per_image

logger = logging.getLogger(__name__)

Perturb = Callable[..., Candidate]


class Prepared(NamedTuple):
    """What a call and a fit go by, once their arguments have been checked."""

    x: torch.Tensor
    """The images, without a graph."""
    labels: dict[str, Any]
    """Those of the images and their targets, by name; none where there are none."""
    rng: Random
    at_once: int
    """How many images fit into memory at once."""
    first: FirstLook | None
    """What a pass of the first image has shown, where each of them counts."""


def run(attack, perturb: Perturb, model, x, y, target, towards, rng, memory) -> Result:
    """The attack, whose part that is its own is ``perturb``; the arguments are those of a call."""
    labels = {"y": y, "target": target, "towards": towards}
    with prepared(attack, model, x, labels, rng, memory, attack.follows_gradients) as ready:
        x, rng, size = ready.x, ready.rng, ready.at_once
        y, target, aim = ready.labels.values()
        aim = target if aim is None else aim
        whole = Whole(x)
        first = ready.first
        for part in _chunks(len(x), size):
            goals = y[part], at_rows(target, part), at_rows(aim, part)
            found = _chunk(attack, perturb, model, x[part], *goals, rng, first, size)
            first = None
            whole.put(part, found)
            count = int(whole.result.success[: part.stop].sum())
            logger.info("%d of %d images attacked, %d fooled", part.stop, len(x), count)
    return warned(attack, whole)


def warned(attack, whole: Whole) -> Result:
    """The result, with what is to be said of it."""
    result = whole.result
    found = _checks.warnings_of(result.signs, attack.scales) + attack._suspicions(result)
    _checks.report(type(attack).__name__, found)
    return replace(result, warnings=found)


@contextmanager
def prepared(attack, model, x, labels, rng, memory, gradients) -> Iterator[Prepared]:
    """Checked arguments, of which ``labels`` come by name, and a model that is as it was
    afterwards. ``gradients``: whether any are going to be taken."""
    _checks.check_types(model, x, memory, **labels)
    rng = seeded(rng)
    with undisturbed(model, x.device):
        x = recordable(x)
        labels = {k: None if v is None else recordable(v) for k, v in labels.items()}
        _checks.check_images(x)
        first = None
        if attack._limit is None:
            with torch.no_grad():
                classes = ask(model, x[:1]).shape[1]
            _checks.check_labels(x, classes, **labels)
            kept = bytes_per_image(model, x[:1], gradients)
        else:
            first = first_look(model, x[:1], gradients)
            kept, classes = first.nbytes, first.logits.shape[1]
            _checks.check_labels(x, classes, **labels)
        at_once = max(1, memory // attack._need(kept, x[:1], classes))
        yield Prepared(x, labels, rng, at_once, first)


def _chunk(attack, perturb: Perturb, model, x, y, target, aim, rng, first, room):
    """The result for some images, of the first of which something may be known."""
    oracle = Oracle(model, len(x), goals=(y, target), first=first, room=room)
    with exactly():
        return _judged(attack, perturb, oracle, x, y, target, aim, rng)


def _judged(attack, perturb: Perturb, oracle, x, y, target, aim, rng):
    clean = oracle.clean_logits(x)
    adversarial = fooled(clean, y, target)
    undecided = oracle.undecided.to(x.device)
    astray = torch.zeros_like(undecided)
    stand = (~adversarial & ~undecided).nonzero().flatten()
    if attack._idle or attack._limit == 1:  # there must be one for what is found
        stand = stand[:0]
    x_adv = x.clone()
    steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    trace = {}
    if len(stand):
        seen = as_attacked(oracle.restrict(stand), x[stand], rng)
        goal = at_rows(aim, stand)
        given = x[stand].contiguous(), y[stand]
        if attack._limit is None and not attack.records:
            candidate = perturb(seen, *given, goal, rng)
        else:
            seen = _recorder(attack, seen, *given, at_rows(target, stand), clean.shape[1])
            candidate = _recorded(attack, perturb, seen, *given, goal, rng)
        proposed, astray[stand] = _finite(candidate.x.detach(), x[stand])
        x_adv[stand] = attack._settle(proposed, x[stand])
        steps[stand] = candidate.steps.to(steps.device)
        for name, values in candidate.trace.items():
            trace[name] = values.new_zeros(len(x), *values.shape[1:])
            trace[name][stand] = values
    final = _look_again(attack, oracle, x_adv, clean)
    success = fooled(final, y, target)
    astray |= ~decided(final) & ~undecided
    distance = attack.threat.distance(x_adv, x)
    x_adv, distance = attack._conclude(x, x_adv, success, distance)
    signs = signs_of(attack, oracle, astray)
    return Result(x_adv, success, distance, oracle.queries, steps, signs, trace)


def _recorder(attack, oracle, x, y, target, classes) -> Recorder:
    """The oracle, which keeps the best images, and leaves a pass to look at them again."""
    left = None if attack._limit is None else attack._limit - 2
    return Recorder(
        oracle, attack.threat, x, y, target, classes, passes=left, effort=attack._effort
    )


def _recorded(attack, perturb: Perturb, recorder: Recorder, x, y, aim, rng) -> Candidate:
    try:
        candidate = perturb(recorder, x, y, aim, rng)
    except PassesSpent:
        candidate = None
    return recorder.settled(candidate, weighed=attack._weighed)


def _look_again(attack, oracle, x_adv, clean):
    """The logits of what is returned; of a clean image that has no pass left, as they were."""
    rows = torch.arange(len(clean), device=clean.device)
    if attack._limit is not None:
        rows = rows[(oracle.queries < attack._limit).to(rows.device)]
    if len(rows) == len(clean):
        return oracle.logits(x_adv, rows)
    return clean.index_copy(0, rows, oracle.logits(x_adv[rows], rows)) if len(rows) else clean


def signs_of(attack, oracle: Oracle, astray: torch.Tensor) -> _checks.Signs:
    """What the images say, and what became of them, that a call or a fit is to warn of."""
    return _checks.Signs(
        oracle.softmax,
        oracle.differentiated,
        oracle.zero,
        oracle.broken,
        oracle.undecided,
        astray,
        _checks.misscaled(oracle.spread, attack.scales),
    )


def _chunks(count: int, at_once: int) -> Iterator[slice]:
    """All of ``count`` images, at most ``at_once`` of one lot at a time."""
    for lot in range(0, count, lots.ATTACKED):
        end = min(lot + lots.ATTACKED, count)
        for start in range(lot, end, at_once):
            yield slice(start, min(start + at_once, end))


def _finite(proposed, x):
    """The images proposed for ``x``, which stands in for those that are not finite, and which."""
    lost = ~proposed.flatten(1).isfinite().all(1)
    if lost.any():
        proposed = torch.where(per_image(lost, x), x, proposed)
    return proposed, lost
