"""An attack warns, in three places, when what it reports says little of the model."""

from __future__ import annotations

import warnings

import pytest
import torch
from models_for_tests import (
    CASES,
    CLASSES,
    affine,
    build,
    is_a,
    learned,
    predictions,
    run,
    setting,
    small_images,
)

from advsparse.attacks._checks import AttackWarning, looks_like_softmax
from advsparse.attacks._fitting import UniversalAttack

BLIND = ("noise", "random_pixels", "square")
"""Attacks that take no gradient."""

each_attack = pytest.mark.parametrize(("kind", "norm"), CASES)


@each_attack
def test_good_models_cause_no_warning(kind, norm):
    model, x, y = setting(torch.float32)
    fit = learned(kind, norm)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AttackWarning)
        assert run(build(kind, norm), model, x, y, fit=fit).warnings == ()


@each_attack
def test_softmax_at_the_end_is_warned_of(kind, norm, caplog):
    model, x, y = setting(torch.float32)
    fit = learned(kind, norm)
    ending = torch.nn.Sequential(model, torch.nn.Softmax(1))
    with pytest.warns(AttackWarning, match="appears to end in softmax") as seen:
        result = run(build(kind, norm), ending, x, y, fit=fit, memory=1)
    assert len([w for w in seen if "softmax (" in str(w.message)]) == 1, "once, not once a chunk"
    assert "softmax" in result.warnings[0]
    assert any("softmax" in record.message for record in caplog.records)


@each_attack
def test_a_warning_names_the_line_that_called(kind, norm):
    model, x, y = setting(torch.float32)
    ending = torch.nn.Sequential(model, torch.nn.Softmax(1))
    fit = learned(kind, norm)
    with pytest.warns(AttackWarning, match="appears to end in softmax") as seen:
        run(build(kind, norm), ending, x, y, fit=fit)
    assert seen[0].filename.endswith("models_for_tests.py")


def test_softmax_is_told_from_logits():
    logits = torch.tensor([[0.2, 0.5], [1.0, 0.0], [0.25, 0.75], [-0.5, 1.5], [3.0, 4.0]])
    assert looks_like_softmax(logits).tolist() == [False, True, True, False, False]
    assert not looks_like_softmax(torch.ones(2, 1)).any()
    assert looks_like_softmax(torch.randn(9, 1000).half().softmax(1)).all()


@each_attack
def test_zero_gradients_are_warned_of(kind, norm):
    x = small_images(4)
    weights = torch.zeros(CLASSES, x[0].numel())
    y = torch.full((4,), 3)
    bias = torch.arange(4.0)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = run(build(kind, norm), affine(weights, bias), x, y, fit=learned(kind, norm))
    sentences = [str(w.message) for w in seen if issubclass(w.category, AttackWarning)]
    if kind in BLIND or (is_a(kind, UniversalAttack) and not sentences):
        assert result.warnings == ()
    else:
        assert "was exactly 0 for 4 of 4 images (100 %)" in "".join(result.warnings)
        assert sentences


def test_warnings_are_those_of_the_attack_that_was_called(caplog):
    x = small_images(4)
    model = affine(torch.zeros(CLASSES, x[0].numel()), torch.arange(4.0))
    with pytest.warns(AttackWarning) as seen:
        result = build("fgsm", "linf")(model, x, torch.full((4,), 3))
    (said,) = result.warnings
    assert [str(one.message) for one in seen] == caplog.messages == [f"FGSM: {said}"]


def test_share_of_zero_gradients_is_that_of_the_images_attacked():
    class HalfDead(torch.nn.Module):
        """Dark images are cut off from the logits, bright ones are not."""

        def forward(self, x):
            score = (x.flatten(1).mean(1) - 0.5).clamp(min=0) + 0 * x.flatten(1).sum(1)
            return torch.stack([torch.ones_like(score), 20 * score], dim=1)

    level = torch.tensor([0.1, 0.2, 0.3, 0.52, 0.9])
    x = level.reshape(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()
    y = torch.zeros(5, dtype=torch.int64)  # the last one is misclassified: it isn't attacked
    assert predictions(HalfDead(), x).tolist() == [0, 0, 0, 0, 1]
    for kind, norm in (("fgsm", "linf"), ("deepfool", "l2"), ("cw", "l2")):
        with pytest.warns(AttackWarning, match=r"exactly 0 for 3 of 4 images \(75 %\)"):
            run(build(kind, norm), HalfDead(), x, y, memory=1)


def test_learning_warns_too():
    _, x, _ = setting(torch.float32)
    dead = affine(torch.zeros(CLASSES, x[0].numel()), torch.arange(4.0))
    y = torch.full((len(x),), 3)
    with pytest.warns(AttackWarning, match=r"^UAP: the first gradient was exactly 0"):
        fit = build("uap", "l2").fit(dead, x, y)
    assert "was exactly 0 for 7 of 7 images" in "".join(fit.warnings)
