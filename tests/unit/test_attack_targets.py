"""Classes that attacks are led to, of the attacked network or of another, and what then counts."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models_for_tests import (
    ALREADY,
    CLASSES,
    Function,
    affine_setting,
    build,
    predictions,
    setting,
    small_network,
)

from advsparse import registry
from advsparse.attacks import _stage
from advsparse.attacks._targets import nearest_wrong, random_wrong, runner_up
from advsparse.attacks.pgd import PGD
from advsparse.seeding import Random


def test_target_is_the_runner_up_or_the_first_choice_where_that_is_the_label():
    logits = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [-1.0, 5.0, 4.0]])
    y = torch.tensor([0, 1, 2, 1])
    assert nearest_wrong(logits, y).tolist() == [1, 0, 1, 2]


def test_the_runner_up_of_two_classes_is_the_other_one():
    assert runner_up(torch.tensor([[2.0, 1.0], [-1.0, 0.0]])).tolist() == [1, 0]


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_random_targets_are_made_of_the_numbers_of_their_name(classes):
    x = torch.rand(50, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    y = torch.arange(50) % classes
    numbers = Random(3).part("target").uniform(x).flatten().tolist()
    wrong = [[k for k in range(classes) if k != label] for label in y.tolist()]
    expected = [
        ones[int(number * (classes - 1))] for ones, number in zip(wrong, numbers, strict=True)
    ]
    assert random_wrong(x, y, classes, Random(3)).tolist() == expected


def test_random_targets_are_wrong_and_alike_often_and_follow_the_image():
    x = torch.rand(4000, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    y = torch.arange(4000) % 5
    found = random_wrong(x, y, 5, Random(3))
    assert found.min() == 0 and found.max() == 4 and not (found == y).any()
    counts = torch.bincount((found - y) % 5, minlength=5)[1:]
    # A thousand each, of deviation 27.
    assert (counts - 1000).abs().max() < 110
    order = torch.randperm(4000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(random_wrong(x[order], y[order], 5, Random(3)), found[order])
    assert not torch.equal(random_wrong(x, y, 5, Random(4)), found)


def test_stage_aims_at_random_targets_and_counts_them_alone(networks):
    stage = networks.stage(build("pgd", "l2"), None, target="random")
    arrays, _ = stage.attack(None)
    target = torch.from_numpy(arrays["target"])
    label = torch.from_numpy(arrays["label"])
    assert torch.equal(target, random_wrong(stage.x, label, stage.classes, Random(stage.seed)))
    direct = stage.method(stage.model, stage.x, label, target, rng=stage.seed)
    assert np.array_equal(arrays["x_adv"], direct.x.numpy())
    assert np.array_equal(arrays["success"], arrays["prediction"] == arrays["target"])


def test_led_towards_a_class_success_is_to_leave_the_label():
    model, x, y = affine_setting()
    goal = torch.arange(len(x)) % 3 + 1
    attack = PGD(norm="l2", eps=1.2, random_start=False, steps=10)
    led, targeted = attack(model, x, y, towards=goal), attack(model, x, y, goal)
    assert torch.equal(led.x, targeted.x)
    assert torch.equal(led.success, predictions(model, led.x) != y)
    assert torch.equal(targeted.success, predictions(model, targeted.x) == goal)
    other = attack(model, x, y, towards=goal % 3 + 1)
    assert not torch.equal(led.x, other.x)


def test_led_images_that_are_misclassified_come_back_as_they_are():
    model, x, y = setting(torch.float64)
    result = build("pgd", "l2")(model, x, y, towards=(y + 1) % CLASSES)
    assert torch.equal(result.x[ALREADY], x[ALREADY]) and result.success[ALREADY]
    assert (result.x != x).flatten(1).any(1).sum() == len(x) - 1


def test_an_image_that_is_misclassified_is_led_to_its_target_all_the_same():
    model, x, y = affine_setting()
    other, target = torch.full_like(y, 1), torch.full_like(y, 2)
    attack = PGD(norm="l2", eps=8.0, random_start=False, steps=40)
    result = attack(model, x, other, target)
    assert result.success.all() and (predictions(model, result.x) == 2).all()
    assert torch.equal(result.x, attack(model, x, y, target).x)
    # Of no length, nothing is tried.
    still = PGD(norm="l2", eps=0.0)(model, x, y, target)
    assert torch.equal(still.x, x) and not still.success.any() and not still.steps.any()
    assert still.queries.tolist() == [2] * len(x)


@pytest.mark.parametrize("kind", ["pgd", "uap", "adaptive"])
def test_classes_that_do_not_fit_are_refused_by_name(kind):
    model, x, y = setting(torch.float64)
    attack = build(kind, "l2")
    options = {"fit": attack.fit(model, x, y)} if kind == "uap" else {}
    with pytest.raises(ValueError, match=r"^towards: .*0\.\.3"):
        attack(model, x, y, towards=y + CLASSES, **options)


# The stage.


class Networks:
    """The small network, another one as its surrogate, and stages on them."""

    def __init__(self, monkeypatch) -> None:
        model, self.x, self.y = setting(torch.float32)
        self.attacked = copy.deepcopy(model).eval()
        self.other = small_network(self.x, seed=9).eval()
        pixels = SimpleNamespace(
            labels=lambda split, index=slice(None): self.y.numpy()[index],
            images=lambda split, index: self.x.numpy()[index],
            classes=[str(number) for number in range(CLASSES)],
        )
        monkeypatch.setattr(_stage, "load_dataset", lambda path: pixels)
        monkeypatch.setattr(
            _stage, "load_classifier", lambda path, device: (getattr(self, path), None)
        )

    def stage(self, method, surrogate=None, **settings):
        images = {"split": "test", "start": 0, "count": len(self.x), "order": 0}
        chosen = {"method": registry.spec_of(method), "images": images, "seed": 0}
        chosen |= {"against": "label", "target": "none"} | settings
        job = SimpleNamespace(settings=chosen, device="cpu")
        return _stage.AttackStage(job, "dataset", "attacked", surrogate)


@pytest.fixture
def networks(monkeypatch):
    return Networks(monkeypatch)


@pytest.mark.parametrize("surrogate", [None, "other"])
def test_stage_leads_to_the_runner_up_of_the_surrogate(networks, surrogate):
    stage = networks.stage(build("pgd", "l2"), surrogate, target="runner_up")
    arrays, _ = stage.attack(None)
    source = networks.other if surrogate else networks.attacked
    with torch.no_grad():
        expected = nearest_wrong(source(stage.x), stage.label)
    assert arrays["target"].tolist() == expected.tolist()
    direct = stage.method(networks.attacked, stage.x, stage.label, towards=expected)
    assert np.array_equal(arrays["x_adv"], direct.x.numpy())
    assert np.array_equal(arrays["prediction"], predictions(networks.attacked, direct.x).numpy())
    assert np.array_equal(arrays["success"], arrays["prediction"] != arrays["label"])


def test_stage_without_targets_stores_none(networks):
    arrays, _ = networks.stage(build("pgd", "l2"), "other").attack(None)
    assert "target" not in arrays


@pytest.mark.filterwarnings("ignore::advsparse.attacks._checks.AttackWarning")
def test_stage_counts_an_image_led_astray_as_not_fooled(networks):
    network, clean = networks.attacked, {image.numpy().tobytes() for image in networks.x}
    bright = networks.x.flatten(1).sum(1)[2] - 20

    def astray(x):
        new = torch.tensor([image.numpy().tobytes() not in clean for image in x])
        return torch.where((new & (x.flatten(1).sum(1) > bright))[:, None], torch.nan, network(x))

    networks.attacked = Function(before=astray)
    arrays, noted = networks.stage(build("noise", "linf")).attack(None)
    lost = arrays["prediction"] == -1
    assert 0 < lost.sum() < len(lost) and not arrays["success"][lost].any()
    assert f"led {lost.sum()} of 7 images" in "".join(noted["warnings"])
    others = arrays["prediction"][~lost] != arrays["label"][~lost]
    assert np.array_equal(arrays["success"][~lost], others)
    networks.attacked = Function(network, after=lambda logits: logits * torch.nan)
    with pytest.raises(ValueError, match="logits of 7 of 7 images are NaN"):
        networks.stage(build("noise", "linf")).attack(None)


@pytest.mark.parametrize("against", ["label", "prediction"])
def test_stage_learns_on_the_surrogate(networks, against):
    uap = build("uap", "l2")
    stage = networks.stage(uap, "other", against=against)
    learned, _ = stage.fit()
    y = stage.label if against == "label" else predictions(networks.other, stage.x)
    expected = uap.fit(networks.other, stage.x, y).arrays["perturbation"]
    assert np.array_equal(learned["perturbation"], expected.numpy())
    own = networks.stage(uap, against=against).fit()[0]["perturbation"]
    assert not np.array_equal(own, learned["perturbation"])
