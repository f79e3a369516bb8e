"""Metrics of an attack: what counts as fooled, and what is left of it after 8 bits."""

from __future__ import annotations

import numpy as np
import torch
from models_for_tests import affine

from advsparse.evaluate.attacked import attack_metrics, clean_metrics

LEVEL = np.float32(1 / 255)


def metrics(x_adv, label, clean, bright=100.4):
    """Of images with one pixel, which above the level ``bright`` are of the class 1."""
    model = affine(torch.tensor([[0.0], [255.0]]), torch.tensor([0.0, -bright]))
    count = len(x_adv)
    arrays = {
        "label": np.array(label),
        "clean_prediction": np.array(clean),
        "x_adv": np.array(x_adv, np.float32).reshape(-1, 1, 1, 1) * LEVEL,
        "success": np.ones(count, bool),
        "queries": np.ones(count, np.int64),
    }
    x = np.full((count, 1, 1, 1), 100 * LEVEL, np.float32)
    found = dict(attack_metrics(model, x, arrays, 0))
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


def test_8_bits_hold_nothing_outside_of_0_and_255():
    found = metrics([300, -40], label=[0, 1], clean=[0, 0], bright=280)
    assert found["accuracy"] == 0 and found["accuracy_8bit"] == 0.5
    found = metrics([300, -40], label=[0, 1], clean=[1, 1], bright=-20)
    assert found["fooling_rate"] == 0.5 and found["fooling_rate_8bit"] == 0


def test_clean_accuracy_is_that_of_the_labels():
    model = affine(torch.tensor([[0.0], [255.0]]), torch.tensor([0.0, -100.4]))
    x = np.array([50, 150, 150], np.float32).reshape(-1, 1, 1, 1) * LEVEL
    (_, estimate), *_ = clean_metrics(model, x, np.array([0, 1, 0]))
    assert estimate.value == 2 / 3
