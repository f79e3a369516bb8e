"""The rule that an attack which knows of a defence does no worse than one that does not."""

from __future__ import annotations

import numpy as np
import pytest
from defenses_for_tests import Masking, Rounding, stands
from models_for_tests import predictions, small_images, small_network
from scipy import stats

from advsparse.attacks.adaptive import Adaptive
from advsparse.attacks.pgd import PGD
from advsparse.evaluate.adapted import fault


def outcomes(both, static, adaptive, neither):
    """Whether a defence stands against two attacks, on so many images of each kind."""
    counts = (both, static, adaptive, neither)
    return np.repeat([1, 1, 0, 0], counts), np.repeat([1, 0, 1, 0], counts)


@pytest.mark.parametrize("both", [0, 50])
@pytest.mark.parametrize("static", [0, 3, 20])
def test_what_chance_explains_is_no_fault(both, static):
    for adaptive in range(60):
        said = fault(*outcomes(both, static, adaptive, 10))
        # As fair coins fall at least as often: the exact test of McNemar, of those that differ.
        chance = stats.binom.sf(adaptive - 1, static + adaptive, 0.5)
        assert (said is None) == (chance > 0.05)


def test_it_says_what_it_found():
    said = fault(*outcomes(5, 0, 10, 5))
    assert said == (
        "the attack is faulty: accuracy is 75.0% under the one that adapts and 25.0% under one "
        "that does not, of 20 images (p = 0.00098)"
    )


def test_images_must_be_the_same():
    for static, adaptive in (((4,), (5,)), ((4, 2), (4, 2)), ((), ())):
        with pytest.raises(ValueError, match=r"^adaptive: expected a value for each image"):
            fault(np.ones(static), np.ones(adaptive))


def test_an_attack_that_sees_no_gradient_is_faulty_and_one_that_adapts_is_not():
    x = small_images(60)
    model = small_network(x).eval()
    y = predictions(model, x)
    attack = PGD(eps=0.2, steps=8, random_start=False)
    static = attack(model, x, y).x
    for defence in (Rounding(), Masking()):
        defended = defence.wrap(model)
        before = stands(defended, static, y)
        found = Adaptive(attack=attack, samples=5)(defended, x, y)
        assert fault(before, stands(defended, found.x, y)) is None
    defended = Rounding().wrap(model)
    with pytest.warns(UserWarning, match="first gradient was exactly 0"):
        found = Adaptive(attack=attack, backward="exact")(defended, x, y)
    assert fault(stands(defended, static, y), stands(defended, found.x, y)) is not None
