"""Metrics of an attack: what counts as fooled, and what is left of it after 8 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models_for_tests import Function, affine

from advsparse.evaluate.attacked import attack_metrics, clean_metrics, transfer_metrics
from advsparse.evaluate.statistics import mean

LEVEL = np.float32(1 / 255)


def estimates(metrics):
    """Their estimates, by name; of each, what the images did has to make up the estimate."""
    found = {}
    for name, estimate, samples in metrics:
        there = samples[~np.isnan(samples.astype(float))]
        assert (
            np.mean(there) == pytest.approx(estimate.value, nan_ok=True)
            if len(np.atleast_1d(there))
            else np.isnan(estimate.value)
        )
        found[name] = estimate
    return found


def metrics(x_adv, label, clean, bright=100.4):
    """Of images with one pixel, which above the level ``bright`` are of the class 1."""
    model = affine(torch.tensor([[0.0], [255.0]]), torch.tensor([0.0, -bright]))
    count = len(x_adv)
    arrays = {
        "label": np.array(label),
        "clean_prediction": np.array(clean),
        "x_adv": np.array(x_adv, np.float32).reshape(-1, 1, 1, 1) * LEVEL,
        "success": np.ones(count, bool),
        "distance": np.ones(count),
        "queries": np.ones(count, np.int64),
    }
    x = np.full((count, 1, 1, 1), 100 * LEVEL, np.float32)
    found = estimates(attack_metrics(model, x, arrays, 0))
    return {name: estimate.value for name, estimate in found.items()}


def test_fooling_is_counted_against_the_clean_prediction_and_accuracy_against_the_label():
    # The second is misclassified from the start and stays so; the third is led back to its label.
    found = metrics([120, 80, 120, 80], label=[0, 1, 1, 0], clean=[0, 0, 0, 0])
    assert found["fooling_rate"] == 0.5
    assert found["accuracy"] == 0.5
    found = metrics([80, 80], label=[1, 1], clean=[0, 0])
    assert found["fooling_rate"] == 0 and found["accuracy"] == 0


def test_what_rounding_to_8_bits_undoes_is_told():
    # 100.45 levels are bright, and 100 once they are stored in a file; 100.6 become 101.
    found = metrics([100.45, 100.6], label=[0, 0], clean=[0, 0])
    assert found["fooling_rate"] == 1 and found["accuracy"] == 0
    assert found["fooling_rate_8bit"] == 0.5 and found["accuracy_8bit"] == 0.5


def test_what_is_led_astray_is_not_fooled():
    # Bright images have no logits; the second is misclassified from the start.
    arrays = {
        "label": np.array([0, 1, 0]),
        "clean_prediction": np.zeros(3, np.int64),
        "x_adv": np.array([150, 150, 80], np.float32).reshape(-1, 1, 1, 1) * LEVEL,
        "success": np.zeros(3, bool),
        "distance": np.full(3, np.inf),
        "queries": np.ones(3, np.int64),
    }
    bright = affine(torch.tensor([[0.0], [255.0]]), torch.tensor([0.0, -100.4]))
    lost = Function(bright, after=lambda z: torch.where(z[:, 1:] > 0, torch.nan, z))
    lost.weight = torch.nn.Parameter(torch.zeros(()))
    found = estimates(
        attack_metrics(lost, np.full((3, 1, 1, 1), 50 * LEVEL, np.float32), arrays, 0)
    )
    assert found["fooling_rate"].value == found["fooling_rate_8bit"].value == 0
    assert found["accuracy"].value == found["accuracy_8bit"].value == 2 / 3
    with pytest.raises(ValueError, match="logits of 2 of 3 images are NaN"):
        estimates(clean_metrics(lost, arrays["x_adv"], arrays["label"]))


def test_8_bits_hold_nothing_outside_of_0_and_255():
    found = metrics([300, -40], label=[0, 1], clean=[0, 0], bright=280)
    assert found["accuracy"] == 0 and found["accuracy_8bit"] == 0.5
    found = metrics([300, -40], label=[0, 1], clean=[1, 1], bright=-20)
    assert found["fooling_rate"] == 0.5 and found["fooling_rate_8bit"] == 0


def test_clean_accuracy_is_that_of_the_labels():
    model = affine(torch.tensor([[0.0], [255.0]]), torch.tensor([0.0, -100.4]))
    x = np.array([50, 150, 150], np.float32).reshape(-1, 1, 1, 1) * LEVEL
    ((name, estimate, _),) = clean_metrics(model, x, np.array([0, 1, 0]))
    assert (name, estimate.value) == ("accuracy", 2 / 3)


def sizes(x, x_adv, measure=attack_metrics, seed=0, **more):
    """The estimates of an attack on images N x 2 in levels of brightness from 0 to 1."""
    x, x_adv = (np.array(v, np.float32).reshape(len(v), 1, 1, -1) for v in (x, x_adv))
    model = affine(torch.zeros(2, x[0].size), torch.zeros(2))
    arrays = {
        "label": np.zeros(len(x), np.int64),
        "clean_prediction": np.zeros(len(x), np.int64),
        "x_adv": x_adv,
        "success": np.arange(len(x)) < 1,
        "distance": np.where(np.arange(len(x)) < 1, 3.5, np.inf),
        "queries": np.arange(len(x)) + 1,
    }
    return estimates(measure(model, x, arrays | more, seed))


def test_sizes_are_means_of_squared_ratios():
    # ||d||^2 / ||x||^2: 0.25 / 1 and 0.01 / 0.25.
    found = sizes([[1, 0], [0.3, 0.4]], [[1, 0.5], [0.3, 0.5]])
    assert found["rmse"].value == pytest.approx((0.25 + 0.04) / 2, rel=1e-6)
    assert found["rmse"] == found["rmse_returned"]


def test_sizes_are_of_what_was_added_and_of_what_came_back():
    found = sizes(
        [[1, 0], [0.3, 0.4]], [[1, 0.5], [0.3, 0.5]], **{"trace.unclipped_l2": np.array([2.0, 1.0])}
    )
    assert found["rmse"].value == pytest.approx((4 + 4) / 2, rel=1e-6)
    assert found["rmse_returned"].value == pytest.approx((0.25 + 0.04) / 2, rel=1e-6)


def test_black_images_are_left_out_of_sizes_and_nothing_else_is():
    tiny = float(np.finfo(np.float32).tiny)
    for unclipped in ({}, {"trace.unclipped_l2": np.array([0.5, 3.0, 0.0])}):
        found = sizes([[1, 0], [0, 0], [0, tiny]], [[1, 0.5], [0.5, 0.5], [0, tiny]], **unclipped)
        for name in ("rmse", "rmse_returned"):
            assert found[name].n == 2
            assert found[name][:1] == pytest.approx([0.125], rel=1e-6)
            assert found[name].high <= 0.25
        assert found["success_rate"].n == 3
    nothing = sizes([[0, 0]], [[0, 1]])["rmse"]
    assert nothing.n == 0 and np.isnan(nothing.value)


def test_successes_queries_codes_and_dead_starts_are_counted():
    found = sizes(
        [[1, 0], [0, 1], [1, 1], [1, 0]],
        [[1, 0]] * 4,
        **{
            "trace.code": np.array([[0.5, -1e-9, 0], [0, 0, 0], [-0.0, 3, 2], [1, 1, 1]]),
            "dead_start": np.array(True),
        },
    )
    assert found["success_rate"].value == 0.25
    assert found["distance"].value == 3.5 and found["distance"].n == 1
    assert found["queries"].value == 2.5
    assert found["active_atoms"].value == (2 + 0 + 2 + 3) / 4
    assert found["zero_codes"].value == 0.25
    assert found["dead_start"].value == 1
    assert not {"active_atoms", "zero_codes", "dead_start"} & sizes([[1, 0]], [[1, 0]]).keys()


@pytest.mark.parametrize("measure", [attack_metrics, transfer_metrics])
def test_intervals_of_means_are_drawn_from_the_seed(measure):
    # Of images whose squared norm is 1, and that gain as much as their place says.
    gained, added = np.linspace(0.25, 1.5, 11), np.linspace(2, 5, 11)
    code = np.arange(11)[:, None] > np.arange(10)
    more = {"trace.code": code, "trace.unclipped_l2": added}
    found = sizes([[1, 0]] * 11, [[1, gain] for gain in gained], measure=measure, seed=3, **more)
    expected = {"rmse": added**2, "rmse_returned": gained**2}
    if measure is attack_metrics:
        expected |= {"queries": np.arange(11) + 1, "active_atoms": np.arange(11)}
    for name, values in expected.items():
        assert found[name] == pytest.approx(mean(values, 3), rel=1e-6)


def test_rounding_to_8_bits_is_to_the_nearest_level():
    # Above 100.4 an image is bright: 100.49 becomes 100, and 100.51 becomes 101.
    found = metrics([100.49, 100.51, 99.6, 100.39], label=[1] * 4, clean=[0] * 4)
    assert found["accuracy"] == 0.5 and found["accuracy_8bit"] == 0.25
    # As an image file gives it back: the level over 255 in float32.
    levels = np.arange(256, dtype=np.float32)
    assert metrics(levels, label=[0] * 256, clean=[0] * 256)["fooling_rate_8bit"] == 155 / 256
    assert metrics([254.6], label=[0], clean=[0], bright=254.5)["fooling_rate_8bit"] == 1


def test_on_another_network_fooled_is_a_change_of_its_own_prediction():
    model = affine(torch.tensor([[0.0], [255.0]]), torch.tensor([0.0, -90.0]))
    arrays = {
        "label": np.array([0, 1, 0]),
        "clean_prediction": np.array([0, 0, 0]),  # of the network that was attacked
        "x_adv": np.array([120, 80, 120], np.float32).reshape(-1, 1, 1, 1) * LEVEL,
        "success": np.ones(3, bool),
        "distance": np.ones(3),
        "queries": np.ones(3, np.int64),
    }
    x = np.full((3, 1, 1, 1), 100 * LEVEL, np.float32)
    found = {
        name: one.value for name, one in estimates(transfer_metrics(model, x, arrays, 0)).items()
    }
    assert found["fooling_rate"] == 1 / 3 and found["accuracy"] == 0
    assert found["rmse"] == pytest.approx(0.04, rel=1e-5)
    assert not {"success_rate", "distance", "queries", "accuracy_8bit"} & found.keys()


def test_images_without_logits_are_no_prediction():
    class Broken(torch.nn.Linear):
        def forward(self, x):
            return x.flatten(1).expand(-1, 2) / x.flatten(1)[:, :1].ceil()

    model = Broken(1, 2)
    x = np.array([0, 0.5, 1], np.float32).reshape(-1, 1, 1, 1)
    with pytest.raises(ValueError, match="the logits of 1 of 3 images are NaN or infinite"):
        list(clean_metrics(model, x, np.zeros(3, np.int64)))


def test_images_are_judged_where_the_network_is():
    class Elsewhere(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1, device="meta"))

        def forward(self, x):
            # "meta" holds no values: the logits are given here.
            assert x.device == self.weight.device
            return torch.tensor([[0.0, 1.0]] * len(x))

    x = np.zeros((3, 1, 1, 1), np.float32)
    assert estimates(clean_metrics(Elsewhere(), x, np.array([1, 1, 1])))["accuracy"].value == 1


def test_images_that_are_judged_are_left_alone():
    class InPlace(torch.nn.Linear):
        def forward(self, x):
            return x.mul_(0).flatten(1).expand(-1, 2)

    x = np.full((3, 1, 1, 1), 0.5, np.float32)
    list(clean_metrics(InPlace(1, 2), x, np.zeros(3, np.int64)))
    assert (x == 0.5).all()
