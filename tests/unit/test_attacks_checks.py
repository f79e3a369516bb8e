"""An attack warns, in three places, when what it reports says little of the model."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from models_for_tests import (
    BLIND,
    CASES,
    CLASSES,
    affine,
    build,
    in_a_norm,
    is_a,
    learned,
    predictions,
    run,
    setting,
    small_images,
)

from advsparse.attacks import _checks
from advsparse.attacks._asking import ask
from advsparse.attacks._checks import AttackWarning, looks_like_softmax
from advsparse.attacks._fitting import UniversalAttack

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


@in_a_norm("a_warning_names_the_line_that_called")
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
    # Of a row whose sum may be rounded no entry may exceed 1.
    assert looks_like_softmax(torch.tensor([[0.9995, 0.0], [1.0005, 0.0]])).tolist() == [
        True,
        False,
    ]
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


# Word for word.

X = torch.rand(2, 3, 4, 4)
Y = torch.tensor([0, 1])


def made_in_inference_mode():
    with torch.inference_mode():
        return torch.nn.Linear(2, 2)


REFUSALS = {
    "a change of nothing": (
        lambda: _checks.not_zero(0.0),
        "must not be 0: no feature would change",
    ),
    "a function": (
        lambda: _checks.check_types(torch.relu, X, 1, y=Y),
        "model: expected a torch.nn.Module, got builtin_function_or_method; let the "
        "forward of a module call it",
    ),
    "no module": (
        lambda: _checks.check_model(3, "module"),
        "module: expected a torch.nn.Module, got int; let the forward of a module call it",
    ),
    "inference mode": (
        lambda: _checks.check_model(made_in_inference_mode()),
        "model: its weights were made in torch.inference_mode(), where no gradient can be taken; "
        "make or load it outside of that",
    ),
    "images": (
        lambda: _checks.check_types(torch.nn.Flatten(), [1.0], 1, y=Y),
        "x: expected a torch.Tensor, got list; torch.as_tensor makes one of arrays and lists",
    ),
    "memory": (
        lambda: _checks.check_types(torch.nn.Flatten(), X, 1.5, y=Y),
        "memory: expected bytes, an int, got float",
    ),
    "no labels": (
        lambda: _checks.check_types(torch.nn.Flatten(), X, 1, y=None, target=None),
        "y: expected a torch.Tensor, got None; torch.as_tensor makes one of arrays and lists",
    ),
    "targets": (
        lambda: _checks.check_types(torch.nn.Flatten(), X, 1, y=Y, target=[0, 1]),
        "target: expected a torch.Tensor, got list; torch.as_tensor makes one of arrays and lists",
    ),
    "logits of another kind": (
        lambda: _checks.check_logits((X,), 2),
        "model: expected logits N x K, a torch.Tensor, got tuple; let the forward of a module "
        "pick them out",
    ),
    "logits of another shape": (
        lambda: _checks.check_logits(torch.zeros(2, 3, 1), 2),
        "model: expected floating-point logits N x K, for 2 images 2 x K, got torch.float32 of "
        "shape (2, 3, 1)",
    ),
    "logits of other images": (
        lambda: _checks.check_logits(torch.zeros(3, 3), 2),
        "model: expected floating-point logits N x K, for 2 images 2 x K, got torch.float32 of "
        "shape (3, 3)",
    ),
    "whole logits": (
        lambda: _checks.check_logits(torch.zeros(2, 3).long(), 2),
        "model: expected floating-point logits N x K, for 2 images 2 x K, got torch.int64 of "
        "shape (2, 3)",
    ),
    "one class": (
        lambda: _checks.check_logits(torch.zeros(2, 1), 2),
        "model: expected logits of at least 2 classes, got shape (2, 1): of a score s make the "
        "logits 0 and s",
    ),
    "bright pixels": (
        lambda: _checks.check_images(torch.tensor([0.25, 1.5]).reshape(1, 1, 1, 2)),
        "x: pixels must lie in [0, 1], found 0.25 to 1.5",
    ),
    "dark pixels": (
        lambda: _checks.check_images(torch.tensor([-0.25, 0.5]).reshape(1, 1, 1, 2)),
        "x: pixels must lie in [0, 1], found -0.25 to 0.5",
    ),
    "pixels that are none": (
        lambda: _checks.check_images(torch.tensor([torch.nan, 0.5]).reshape(1, 1, 1, 2)),
        "x: pixels must lie in [0, 1], found nan to nan",
    ),
    "one image": (
        lambda: _checks.check_form(X[0]),
        "x: expected float32 or float64 images N x C x H x W, none of them 0, got torch.float32 "
        "(3, 4, 4)",
    ),
    "no image": (
        lambda: _checks.check_form(X[:0]),
        "x: expected float32 or float64 images N x C x H x W, none of them 0, got torch.float32 "
        "(0, 3, 4, 4)",
    ),
    "eight bits": (
        lambda: _checks.check_form(X.byte()),
        "x: expected float32 or float64 images N x C x H x W, none of them 0, got torch.uint8 "
        "(2, 3, 4, 4)",
    ),
    "sparse images": (
        lambda: _checks.check_form(X.to_sparse()),
        "x: expected images with all their pixels, a dense tensor, got torch.sparse_coo",
    ),
    "images without pixels": (
        lambda: _checks.check_form(X.to("meta")),
        "x: expected images with all their pixels, a dense tensor, got a meta tensor",
    ),
    "another fit": (
        lambda: _checks.check_fit({"u": X, "w": X}, ["v"], X),
        "fit: expected what this attack has learned, v, got u, w",
    ),
    "a fit of arrays": (
        lambda: _checks.check_fit({"v": X.numpy()}, ["v"], X),
        "fit: expected v, a torch.Tensor, got numpy.ndarray; torch.as_tensor makes one of arrays "
        "and lists",
    ),
    "a fit of other images": (
        lambda: _checks.check_fit({"v": X[:, :, :2]}, ["v"], X),
        "fit: expected v for images (3, 4, 4), got those learned from images (3, 2, 4)",
    ),
    "labels of other images": (
        lambda: _checks.check_labels(X, 2, y=Y[:1], target=None),
        "y: expected 2 int64 labels, got torch.int64 (1,)",
    ),
    "labels that are no whole numbers": (
        lambda: _checks.check_labels(X, 2, y=Y, target=Y.int()),
        "target: expected 2 int64 labels, got torch.int32 (2,)",
    ),
    "labels elsewhere": (
        lambda: _checks.check_labels(X, 2, y=Y.to("meta")),
        "y: expected labels on cpu, got them on meta",
    ),
    "labels beyond": (
        lambda: _checks.check_labels(X, 2, target=None, y=Y + 1),
        "y: labels must lie in 0..1, found 1 to 2",
    ),
    "labels below": (
        lambda: _checks.check_labels(X, 2, y=Y - 1),
        "y: labels must lie in 0..1, found -1 to 0",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_said_word_for_word(name):
    refused, said = REFUSALS[name]
    with pytest.raises((TypeError, ValueError)) as caught:
        refused()
    assert str(caught.value) == said


def test_errors_of_a_model_are_its_own_but_for_tensors_of_inference_mode():
    class Raising(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError(self.said)

    model = Raising()
    model.said = "Inference tensors cannot be saved for backward. To work around you can ..."
    with pytest.raises(ValueError) as caught:
        ask(model, X)
    assert str(caught.value) == (
        "model: it, or its defence, holds a tensor made in torch.inference_mode(), where no "
        "gradient can be taken; make or load it outside of that"
    )
    model.said = "out of memory"
    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        ask(model, X)


def test_what_is_within_bounds_is_not_refused():
    assert _checks.not_zero(-0.5) == -0.5
    x = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    _checks.check_types(torch.nn.Flatten(), x, np.int64(1), y=Y, target=None)
    _checks.check_images(x.double())
    _checks.check_labels(x, 2, y=Y, target=None, towards=1 - Y)
    _checks.check_logits(torch.zeros(2, 2), 2)
    _checks.check_fit({"v": torch.zeros(5, 1, 1, 1)}, ["v"], x)


def signs(**flags):
    none = torch.zeros(3, dtype=torch.bool)
    given = {name: torch.tensor(values, dtype=torch.bool) for name, values in flags.items()}
    return _checks.Signs(**dict.fromkeys(_checks.Signs._fields, none) | given)


SAID = {
    "softmax": (
        signs(softmax=[1, 1, 1]),
        "the model appears to end in softmax (outputs in [0, 1] that sum to 1): attacks expect "
        "logits, and gradients through softmax vanish where the model is sure of itself",
    ),
    "undecided": (
        signs(undecided=[1, 0, 0]),
        "the first logits were NaN or +infinity for 1 of 3 images (33.3 %): they name no class, "
        "and these images count as not fooled, which says nothing of their robustness",
    ),
    "zero": (
        signs(zero=[1, 0, 0], differentiated=[1, 1, 0]),
        "the first gradient was exactly 0 for 1 of 2 images (50 %): an attack that follows "
        "gradients cannot move them, which says nothing of their robustness",
    ),
    "broken": (
        signs(broken=[1, 0, 0], differentiated=[1, 1, 0]),
        "the first gradient was NaN or infinite for 1 of 2 images (50 %): an attack that follows "
        "gradients cannot move them, which says nothing of their robustness",
    ),
    "misscaled": (
        signs(misscaled=[0, 1, 1]),
        "the logits of 2 of 3 images (66.7 %) differ by less than 0.5 or more than 40: this "
        "attack, which weighs them against the length of a perturbation, finds little there, "
        "which says nothing of robustness; scale them",
    ),
    "astray": (
        signs(astray=[0, 1, 0]),
        "the attack led 1 of 3 images (33.3 %) to where the image or its logits are NaN or "
        "infinite: these count as not fooled, which says nothing of their robustness",
    ),
    "learning astray": (
        signs(astray=[0, 1, 0]),
        "learning led 1 of 3 images (33.3 %) to where their logits are NaN or +infinity: they "
        "name no class there, and that little was learned from these says nothing of the model",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_warned_of_is_said_word_for_word(name):
    found, said = SAID[name]
    learning = {"learning": True} if name.startswith("learning") else {}
    assert _checks.warnings_of(found, (0.5, 40.0), **learning) == (said,)


def test_no_sign_is_no_warning():
    assert _checks.warnings_of(signs(softmax=[1, 1, 0]), (0.5, 40.0)) == ()
    empty = _checks.Signs(*[torch.zeros(0, dtype=torch.bool)] * len(_checks.Signs._fields))
    assert _checks.warnings_of(empty, (0.5, 40.0)) == ()


def test_logits_are_misscaled_beyond_what_an_attack_works_with():
    logits = torch.tensor([[1.0, 1.0], [0.0, 0.25], [0.0, 0.5], [-20.0, 20.0], [-20.0, 20.5]])
    logits = torch.cat([logits, torch.tensor([[-torch.inf, 3.0], [torch.nan, 1.0]])])
    spread = _checks.spread_of(logits)
    assert spread.tolist() == [0, 0.25, 0.5, 40, 40.5, 0, 0] and spread.dtype == torch.float64
    found = _checks.misscaled(spread, (0.5, 40.0)).tolist()
    assert found == [False, True, False, False, True, False, False]
