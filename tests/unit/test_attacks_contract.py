"""What every attack returns and refuses, whatever it does: tested on each that is registered.

With the files beside it, the suite fails on each of the known pitfalls of attack code:

1.  Budget in float64, after the final clamp: ``budget_holds`` here; ``test_threat``.
2.  Success on what is returned, eps = 0 bit for bit: ``returned_tensor``, ``no_budget`` here.
3.  A failed search returns the clean image: ``failed_search`` here.
4.  CW never worsens, feels no shift, moves binary images: ``cw_*`` and ``shifted_logits`` in
    ``test_attacks_oracles``.
5.  No image feels its batch: ``do_not_feel_their_batch`` and ``memory_bounds`` in
    ``test_attacks_isolation``; more in ``test_fab``, ``test_apgd``, ``test_jsma``.
6.  Nothing but the result changes: ``nothing_but_the_result`` in ``test_attacks_isolation``.
7.  Starts lie in ball and box, l2 radii follow U^(1/d): ``nothing_outside`` here;
    ``random_starts_*`` in ``test_threat``.
8.  DeepFool's overshoot, distance 0, running out of steps: ``deepfool_finds`` in
    ``test_attacks_oracles``; ``misclassified`` and ``failed_search`` here.
9.  JSMA's budget and empty maps: ``budget_bounds`` and ``empty_map`` in ``test_jsma``.
10. Scaled logits, softmax at the end: ``scaled_logits`` in ``test_attacks_oracles`` and
    ``test_apgd``; ``softmax_*`` in ``test_attacks_checks``.
11. Zero gradients, images outside [0, 1]: ``no_nan`` and ``bad_arguments`` here.
12. DLR needs 3 classes, targeted 4: ``too_few_classes`` in ``test_apgd``, ``test_autoattack``.
13. Fooling against the clean prediction, 8 bits: ``test_attack_metrics``; the worst case over
    attacks per image: ``stages_attack_what_still_stands`` in ``test_autoattack``.
"""

from __future__ import annotations

import copy

import pytest
import torch
from models_for_tests import (
    ALREADY,
    BLIND,
    CASES,
    CLASSES,
    DEVICES,
    EPS,
    SHAPE,
    affine,
    attacked,
    build,
    fitted,
    is_a,
    measured,
    predictions,
    run,
    setting,
    small_images,
    small_network,
)

from advsparse.attacks._base import BudgetAttack, MinimumNormAttack

BUDGET = [case for case in CASES if is_a(case[0], BudgetAttack)]
MINIMUM = [case for case in CASES if is_a(case[0], MinimumNormAttack)]

each_attack = pytest.mark.parametrize(("kind", "norm"), CASES)
each_budget = pytest.mark.parametrize(("kind", "norm"), BUDGET)
quiet = pytest.mark.filterwarnings("ignore::advsparse.attacks._checks.AttackWarning")
each_device = pytest.mark.parametrize("device", DEVICES)
each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])


def test_all_attacks_are_here():
    assert {kind for kind, _ in CASES} >= {
        *("bim", "cw", "deepfool", "fgsm", "lbfgs", "noise", "pgd", "scada", "uap")
    }


@each_device
@each_dtype
@each_attack
def test_returned_tensor_is_what_is_measured(kind, norm, dtype, device):
    model, x, y = setting(dtype, device)
    result = attacked(kind, norm, dtype, device)
    assert result.x.dtype == dtype and result.x.shape == x.shape
    assert result.x.min() >= 0 and result.x.max() <= 1
    assert torch.equal(result.success, predictions(model, result.x) != y)
    distance = measured(result.x, x, norm)
    if is_a(kind, MinimumNormAttack):
        distance[~result.success] = torch.inf
    torch.testing.assert_close(result.distance, distance, rtol=1e-12, atol=0)
    assert result.distance.dtype == torch.float64
    assert result.success.dtype == torch.bool
    assert result.queries.dtype == result.steps.dtype == torch.int64
    assert {t.device for t in (result.x, result.success, result.distance)} == {x.device}
    moved = (result.x != x).flatten(1).any(1)
    assert moved.sum() >= 4, "an attack that hardly does anything would pass the other tests"


@each_device
@pytest.mark.parametrize("eps", [1e-7, 1e-5, 1e-2, None, 1e3], ids=str)
@each_dtype
@each_budget
def test_budget_holds_in_float64(kind, norm, dtype, eps, device):
    model, x, y = setting(dtype, device)
    eps = EPS[norm] if eps is None else eps
    result = run(build(kind, norm, eps=eps), model, x, y)
    assert measured(result.x, x, norm).max() <= eps * (1 + 1e-6)
    assert result.x.min() >= 0 and result.x.max() <= 1
    if eps >= 1e-5:
        assert result.distance[result.steps > 0].gt(0).all()


@each_device
@each_dtype
@each_budget
def test_no_budget_returns_the_images_bit_for_bit(kind, norm, dtype, device):
    model, x, y = setting(dtype, device)
    x = x.clone()
    x[0, 0, 0, 0] = -0.0
    result = run(build(kind, norm, eps=0.0), model, x, y)
    assert result.x.cpu().numpy().tobytes() == x.cpu().numpy().tobytes()
    assert result.x is not x and result.x.data_ptr() != x.data_ptr()
    assert result.success.nonzero().flatten().tolist() == [ALREADY]
    assert not result.distance.any() and not result.steps.any()


@each_device
@each_dtype
@pytest.mark.parametrize(("kind", "norm"), MINIMUM)
def test_failed_search_returns_the_clean_image(kind, norm, dtype, device):
    _, x, _ = setting(dtype, device)
    # Class 0 wins everywhere in the box, but gradients lead somewhere: there is a best effort.
    weights = torch.linspace(-1, 1, CLASSES * x[0].numel(), dtype=dtype).reshape(CLASSES, -1)
    model = affine(weights, torch.tensor([1e4, 0, 0, 0], dtype=dtype)).to(device)
    result = run(build(kind, norm), model, x, torch.zeros_like(x[:, 0, 0, 0], dtype=torch.int64))
    assert result.steps.min() > 0
    assert not result.success.any()
    assert torch.equal(result.x, x)
    assert result.distance.isinf().all()


@each_device
@each_dtype
@pytest.mark.parametrize(("kind", "norm"), MINIMUM)
def test_cutoff_shortens_what_is_longer_and_nothing_else(kind, norm, dtype, device):
    model, x, y = setting(dtype, device)
    whole = attacked(kind, norm, dtype, device)
    relative = measured(whole.x, x, "relative_l2")
    # A little more, so that rounding does not decide on the image in the middle.
    cutoff = float(relative[whole.success & (relative > 0)].median()) * (1 + 1e-12)
    cut = run(build(kind, norm, cutoff=cutoff), model, x, y)
    length = measured(cut.x, x, "relative_l2")
    assert length.max() <= cutoff * (1 + 1e-6)
    assert cut.x.min() >= 0 and cut.x.max() <= 1
    assert torch.equal(cut.success, predictions(model, cut.x) != y)
    torch.testing.assert_close(cut.distance, measured(cut.x, x, norm), rtol=1e-12, atol=0)
    within = whole.success & (relative <= cutoff)
    assert torch.equal(cut.x[within], whole.x[within]) and cut.success[within].all()
    longer = whole.success & (relative > cutoff)
    assert longer.any()
    torch.testing.assert_close(
        length[longer], torch.full_like(length[longer], cutoff), rtol=1e-4, atol=0
    )
    d, full = ((r.x - x)[longer].double().flatten(1) for r in (cut, whole))
    assert torch.cosine_similarity(d, full).min() >= 1 - 1e-6, "shortened along its ray"


@pytest.mark.parametrize(("kind", "norm"), MINIMUM)
def test_cutoff_keeps_the_best_effort_of_a_failed_search(kind, norm):
    _, x, _ = setting(torch.float64)
    weights = torch.linspace(-1, 1, CLASSES * x[0].numel(), dtype=x.dtype).reshape(CLASSES, -1)
    model = affine(weights, torch.tensor([1e4, 0, 0, 0], dtype=x.dtype))
    y = torch.zeros(len(x), dtype=torch.int64)
    result = run(build(kind, norm, cutoff=1e-4), model, x, y)
    assert not result.success.any()
    relative = measured(result.x, x, "relative_l2")
    assert relative.gt(0).all() and relative.max() <= 1e-4 * (1 + 1e-6)
    none = run(build(kind, norm, cutoff=0.0), model, x, y)
    assert torch.equal(none.x, x) and not none.distance.any() and not none.steps.any()


@each_device
@each_dtype
@each_attack
def test_targets_are_what_counts(kind, norm, dtype, device):
    model, x, y = setting(dtype, device)
    target = (predictions(model, x) + 1) % CLASSES
    target[1] = predictions(model, x)[1]  # reached from the start
    result = run(build(kind, norm), model, x, y, target)
    assert torch.equal(result.success, predictions(model, result.x) == target)
    assert torch.equal(result.x[1], x[1]) and result.distance[1] == 0 and result.success[1]
    assert result.steps[1] == 0
    # The label that is wrong from the start is no excuse where a target is asked for.
    assert result.steps[ALREADY] > 0 or not torch.equal(result.x[ALREADY], x[ALREADY])


@each_attack
def test_nothing_outside_ball_and_box_is_asked_about(kind, norm):
    """Not even by the first pass of a random start."""
    if kind in ("autoattack", "fab", "scada", "jsma") or is_a(kind, MinimumNormAttack):
        pytest.skip("its path is not bound to the ball")
    _, x, y = setting(torch.float64)
    model = copy.deepcopy(setting(torch.float64)[0])
    attack, fit = build(kind, norm), fitted(kind, norm, torch.float64)
    one, seen = x[:1], []
    model.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    run(attack, model, one, y[:1], fit=fit)
    asked = torch.cat(seen)
    assert asked.min() >= 0 and asked.max() <= 1
    distance = measured(asked, one.expand(asked.shape), norm)
    assert distance.max() <= attack.threat.eps * (1 + 1e-6)
    assert (distance > 0).any()


@each_attack
def test_labels_are_nothing_to_a_targeted_attack(kind, norm):
    model, x, _ = setting(torch.float64)
    predicted = predictions(model, x)
    target = (predicted + 1) % CLASSES
    one, other = (
        run(build(kind, norm), model, x, labels, target)
        for labels in (predicted, (predicted + 2) % CLASSES)
    )
    assert torch.equal(one.x, other.x) and torch.equal(one.success, other.success)


@pytest.mark.parametrize("kind", ["bim", "cw", "deepfool", "fgsm", "lbfgs", "pgd", "scada"])
def test_targets_are_reached_more_often_than_by_leaving_the_label(kind):
    model, x, y = setting(torch.float64)
    target = (predictions(model, x) + 1) % CLASSES
    aimed = run(build(kind, "l2"), model, x, y, target)
    blind = run(build(kind, "l2"), model, x, predictions(model, x))
    by_chance = (predictions(model, blind.x) == target).sum()
    assert aimed.success.sum() > by_chance


@each_device
@quiet
@each_dtype
@each_attack
def test_zero_gradients_give_no_nan(kind, norm, dtype, device):
    _, x, _ = setting(dtype, device)
    model = affine(torch.zeros(CLASSES, x[0].numel(), dtype=dtype), torch.arange(4.0).to(dtype))
    model.to(device)
    result = run(build(kind, norm), model, x, torch.full((len(x),), 3, device=device))
    assert result.x.isfinite().all() and not result.distance.isnan().any()
    assert not result.success.any()
    if kind not in (
        *BLIND,
        "adaptive",
        "apgd",
        "autoattack",
        "dict_attack",
        "ls_pga",
        "nearest",
        "pgd",
    ):  # whose random numbers need no gradient, nor what was learned elsewhere
        torch.testing.assert_close(result.x, x, rtol=0, atol=1e-6)


@quiet
@pytest.mark.parametrize("scale", [1e-18, 1e-22, 1e-30, 1e-38, 1e-44], ids=str)
@each_attack
def test_vanishing_gradients_give_no_nan(kind, norm, scale):
    # As behind a saturated softmax: their squares are 0 in float32.
    _, x, _ = setting(torch.float32)
    weights = scale * torch.linspace(-1, 1, CLASSES * x[0].numel()).reshape(CLASSES, -1)
    model = affine(weights, torch.arange(4.0))
    result = run(build(kind, norm), model, x, torch.full((len(x),), 3))
    assert result.x.isfinite().all() and not result.distance.isnan().any()


@each_device
@each_attack
def test_misclassified_images_come_back_untouched(kind, norm, device):
    model, x, _ = setting(torch.float32, device)
    result = attacked(kind, norm, torch.float32, device)
    assert torch.equal(result.x[ALREADY], x[ALREADY])
    assert result.success[ALREADY] and result.distance[ALREADY] == 0
    assert result.steps[ALREADY] == 0
    all_wrong = attacked(kind, norm, torch.float32, device, y=(predictions(model, x) + 1) % CLASSES)
    assert torch.equal(all_wrong.x, x) and all_wrong.success.all()


X, Y = torch.full((2, *SHAPE), 0.5), torch.tensor([0, 1])
REFUSED = {
    "above the box": (X + 0.6, Y, None, "^x: .*0, 1.*1.1"),
    "below the box": (X - 0.6, Y, None, "^x: .*0, 1.*-0.1"),
    "not a number": (X.clone().index_fill_(3, torch.tensor(2), torch.nan), Y, None, "^x: .*nan"),
    "infinite": (X / 0, Y, None, "^x: .*inf"),
    "no batch": (X[0], Y, None, r"^x: .*\(3, 8, 8\)"),
    "empty": (X[:0], Y[:0], None, r"^x: .*\(0, 3, 8, 8\)"),
    "bytes": ((255 * X).to(torch.uint8), Y, None, "^x: .*uint8"),
    "one label": (X, Y[:1], None, r"^y: expected 2 .*\(1,\)"),
    "labels as a column": (X, Y[:, None], None, r"^y: expected 2 .*\(2, 1\)"),
    "labels as floats": (X, Y.float(), None, "^y: .*float32"),
    "label too large": (X, Y + 3, None, r"^y: .*0\.\.3"),
    "label negative": (X, Y - 1, None, r"^y: .*0\.\.3"),
    "one target": (X, Y, Y[:1], "^target: expected 2"),
    "target as int32": (X, Y, Y.int(), "^target: .*int32"),
    "target too large": (X, Y, Y + 3, r"^target: .*0\.\.3"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize(("kind", "norm"), [("fgsm", "linf"), ("scada", "l2"), ("uap", "l2")])
def test_bad_arguments_are_refused_by_name(kind, norm, what):
    model = small_network(small_images(4))
    *arguments, message = REFUSED[what]
    attack = build(kind, norm)
    fit = fitted(kind, norm, torch.float32)
    if fit is not None:
        with pytest.raises(ValueError, match=message):
            attack.fit(model, *arguments)
    with pytest.raises(ValueError, match=message):
        run(attack, model, *arguments, fit=fit)


def test_model_that_returns_no_logits_is_refused():
    with pytest.raises(ValueError, match=r"^model: .*N x K.*\(1, 3, 8, 8\)"):
        run(build("fgsm", "linf"), torch.nn.Identity(), X, Y)
