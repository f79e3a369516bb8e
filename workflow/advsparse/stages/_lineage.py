"""What classifiers, attacks and defences of a paper are made of, before any of it is built."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from advsparse.config.mistakes import Mistake

_MADE_OF = {
    "models": {
        "starts_from": "models",
        "weights_of": "models",
        "adversarial_set": "attacks",
        "defense": "defenses",
    },
    "attacks": {"model": "models", "surrogate": "models"},
    "defenses": {"classifier": "models", "perturbed_by": "attacks"},
}
"""The keys of an entry that name what it is made of, and in which section that is."""


def made_of(
    paper: Any, section: str, name: str, by: Collection[str] | None = None
) -> set[tuple[str, str]]:
    """All that an entry is made of, however far back, as sections and names; itself too, if it is.

    by: the keys that count; none means all. Names that lead nowhere are told elsewhere.
    """
    found: set[tuple[str, str]] = set()
    waiting = [(section, name)]
    while waiting:
        of, called = waiting.pop()
        entry = getattr(paper, of).get(called)
        for key, leads_to in _MADE_OF[of].items() if entry is not None else ():
            parent = (leads_to, getattr(entry, key))
            if parent[1] is not None and parent not in found and (by is None or key in by):
                found.add(parent)
                waiting.append(parent)
    return found


def unfit_to_learn_from(paper: Any, name: str | None, role: str, learner: str) -> Iterator[Mistake]:
    """What is wrong with the attack ``name`` as the source of images that a ``learner`` of images
    of ``role`` is to learn from."""
    attack = paper.attacks.get(name)
    if attack is None:
        return
    images, model = paper.images.get(attack.images), paper.models.get(attack.model)
    if attack.grid:
        yield Mistake((), f"is a grid: a {learner} learns from a single attack")
    elif images is not None and images.split != "train":
        yield Mistake((), f"{name!r} is of test images, which a {learner} is not to have seen")
    elif model is not None and model.dataset != role:
        yield Mistake((), f"{name!r} is of other images")
