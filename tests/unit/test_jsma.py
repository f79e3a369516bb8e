"""JSMA against a search of all pairs, and what it promises about its budget."""

from __future__ import annotations

import itertools
from functools import cache

import pytest
import torch
from models_for_tests import ROUNDING, affine, assert_same, predictions
from pydantic import ValidationError

from advsparse.attacks import _pairs
from advsparse.attacks._pairs import best_pairs
from advsparse.attacks.jsma import JSMA

each_dtype = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["f32", "f64"])


def brute_force(a, c, allowed):
    """The first best of all pairs of one image, by two loops; none where no pair qualifies."""
    # Scalars of NumPy's round as torch's do, and take a tenth of the time.
    a, c, allowed = (values.numpy() for values in (a, c, allowed))
    best, pair = 0.0, None
    for p in range(len(a)):
        for q in range(p + 1, len(a)):
            alpha, gamma = a[p] + a[q], c[p] + c[q]
            usable = allowed[p] and allowed[q] and alpha > 0 and gamma > 0
            if usable and alpha * gamma > best:
                best, pair = alpha * gamma, (p, q)
    return pair


def all_pairs(a, c, allowed):
    """The same for many features, in one piece."""
    alpha, gamma = a[:, None] + a, c[:, None] + c
    usable = (alpha > 0) & (gamma > 0) & allowed[:, None] & allowed
    scores = torch.where(usable, alpha * gamma, 0).triu(1).flatten()
    place = int(scores.argmax())
    return divmod(place, len(a)) if scores[place] > 0 else None


def found_pairs(*arguments):
    return as_list(best_pairs(*arguments))


def as_list(pairs):
    indices = zip(pairs.first.tolist(), pairs.second.tolist(), pairs.found.tolist(), strict=True)
    return [(p, q) if found else None for p, q, found in indices]


@cache
def searched(dtype, kind, features):
    """What is searched for the best pairs of 60 images, a guess, and the pairs."""
    generator = torch.Generator().manual_seed(0)
    a, c = torch.randn((2, 60, features), generator=generator, dtype=dtype)
    allowed = torch.rand((60, features), generator=generator) < (0.2 if kind[0] == "f" else 0.8)
    if kind == "ties":
        # Multiples of a half: sums and products are exact, and many are equal.
        a, c = (2 * a).round() / 2, (2 * c).round() / 2
    elif kind == "close":
        # A few units in the last place apart: sums and products of different pairs round alike.
        a, c = (0.7 + (4 * v).round() * torch.finfo(dtype).eps for v in (a, c))
    elif kind == "opposed":
        c = 0.05 * c - a
    slope = torch.rand(60, generator=generator, dtype=dtype) + 0.1
    pairs = [brute_force(*row) for row in zip(a, c, allowed, strict=True)]
    return (a, c, allowed), slope, pairs


@each_dtype
@pytest.mark.parametrize("kind", ["random", "ties", "close", "opposed", "few allowed"])
@pytest.mark.parametrize("features", [8, 60])
@pytest.mark.parametrize("sizes", [(24, 256), (3, 256), (3, 2), (100, 256)], ids=str)
def test_pairs_are_those_of_a_full_search(dtype, kind, features, sizes, monkeypatch):
    monkeypatch.setattr(_pairs, "_CANDIDATES", sizes[0])
    monkeypatch.setattr(_pairs, "_LARGE", sizes[1])
    monkeypatch.setattr(_pairs, "_BLOCK", 100)  # several blocks
    (a, c, allowed), slope, expected = searched(dtype, kind, features)
    assert found_pairs(a, c, allowed) == found_pairs(a, c, allowed, slope) == expected
    assert sum(pair is not None for pair in expected) >= 3


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-18, 1.0, 1e18, 1e30])
def test_pairs_do_not_depend_on_the_scale(scale):
    generator = torch.Generator().manual_seed(0)
    a, c = torch.randint(-9, 10, (2, 40, 50), generator=generator).float()
    allowed = torch.ones_like(a, dtype=torch.bool)
    # Multiples of a power of two keep their ratios, subnormal numbers among them.
    scale = 2.0 ** torch.tensor(scale, dtype=torch.float64).log2().ceil().item()
    expected = found_pairs(a, c, allowed)
    assert found_pairs(scale * a, c, allowed) == expected
    assert found_pairs(scale * a, scale * c, allowed) == expected


def test_no_gradient_no_pair():
    nothing = torch.zeros((2, 30))
    everything = torch.ones_like(nothing, dtype=torch.bool)
    assert found_pairs(nothing, nothing, everything) == [None, None]
    assert found_pairs(nothing + 1, nothing - 1, everything) == [None, None]
    assert found_pairs(nothing + 1, nothing + 1, ~everything) == [None, None]
    only = torch.arange(30)[None] == torch.tensor([[4], [29]])
    assert found_pairs(nothing + 1, nothing + 1, only) == [None, None], "one feature is no pair"


def reference(attack, model, x, target):
    """The trajectory of one image: the pairs, and the image that they lead to."""
    x, pairs, seen = x.clone(), [], x.clone()
    budget = int(attack.gamma * x.numel() + 1e-9)
    sign = 1 if attack.theta > 0 else -1
    while int(model(x[None]).argmax()) != target:
        jacobian = torch.autograd.functional.jacobian(
            lambda v: (
                model(v[None])[0].softmax(0)
                if attack.space == "probabilities"
                else model(v[None])[0]
            ),
            x,
        ).flatten(1)
        a = jacobian[target]
        others = jacobian.sum(0) - a
        moved = (x + attack.theta).clamp(0, 1)
        allowed = (x != attack.threat.bounds[1 if sign > 0 else 0]).flatten()
        changed = (x != seen).flatten()
        if attack.limit == "features" and changed.sum() > budget - 2:
            return pairs, x, False
        if attack.limit == "steps" and len(pairs) == budget // 2:
            return pairs, x, False
        pair = brute_force(sign * a, -sign * others, allowed)
        if pair is None:
            return pairs, x, True
        pairs.append(pair)
        x.view(-1)[list(pair)] = moved.view(-1)[list(pair)]
    return pairs, x, False


def tiny_network(dtype):
    """A smooth network of three classes on 2 x 2 x 2 images, and images that it calls 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        nn = torch.nn
        model = nn.Sequential(nn.Flatten(), nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 3))
        model = model.to(dtype).requires_grad_(False)
        model[1].weight.mul_(2)
        x = torch.rand((60, 2, 2, 2), dtype=torch.float64).to(dtype)
        model[3].bias[0] += 0.3
    return model, x[model(x).argmax(1) == 0]


@each_dtype
@pytest.mark.parametrize("theta", [1.0, 0.3, -1.0, -0.3])
@pytest.mark.parametrize("space", ["logits", "probabilities"])
@pytest.mark.parametrize(("limit", "gamma"), [("steps", 1.0), ("features", 0.5)])
def test_trajectories_are_those_of_a_search_of_all_pairs(
    dtype, theta, space, limit, gamma, monkeypatch
):
    model, x = tiny_network(dtype)
    assert len(x) >= 10
    target = 1 + torch.arange(len(x)) % 2
    steps = []

    def record(search):
        def recorded(*arguments):
            pairs = search(*arguments)
            steps.append(as_list(pairs))
            return pairs

        return recorded

    for name in ("best_pairs", "largest_pairs"):
        search = record(getattr(_pairs, name))
        monkeypatch.setattr(f"advsparse.attacks.jsma.{name}", search)
    attack = JSMA(theta=theta, space=space, limit=limit, gamma=gamma)
    lengths, ends = set(), set()
    for i in range(len(x)):
        steps.clear()
        result = attack(model, x[i : i + 1], torch.zeros(1, dtype=torch.int64), target[i : i + 1])
        pairs, expected, stuck = reference(attack, model, x[i], int(target[i]))
        assert [step[0] for step in steps[: len(pairs)]] == pairs
        assert result.steps.tolist() == [len(pairs)]
        assert torch.allclose(result.x[0], expected, rtol=0, atol=1e-6)
        assert result.trace["empty_map"].tolist() == [stuck]
        lengths.add(len(pairs))
        ends.add((bool(result.success), stuck))
    assert max(lengths) >= 2 and len(ends) >= 2


@each_dtype
def test_the_pruned_search_is_the_full_one_on_a_trained_network(dtype, lenet):
    trained = lenet if dtype == torch.float32 else lenet.double()
    x = trained.x[:4].clone().requires_grad_()
    logits = trained.model.eval()(x)
    slope = None
    for target in range(2):
        own = logits[:, target]
        rest = logits.sum(1) - own
        gradients = [
            torch.autograd.grad(v.sum(), x, retain_graph=True)[0].flatten(1) for v in (own, -rest)
        ]
        for sign in (1, -1):
            a, c = (sign * v for v in gradients)
            allowed = (x != (1 if sign > 0 else 0)).flatten(1)
            expected = [all_pairs(*row) for row in zip(a, c, allowed, strict=True)]
            assert found_pairs(a, c, allowed, slope) == expected
            slope = best_pairs(a, c, allowed).slope  # of another class: a bad guess


@pytest.mark.parametrize("limit", ["steps", "features"])
@pytest.mark.parametrize("theta", [0.2, -1.0])
def test_budget_bounds_changed_features_and_steps(limit, theta, lenet):
    x, y = lenet.x[:20], lenet.y[:20]
    for gamma, features in ((0.0, 0), (0.0005, 1), (0.0029, 8), (0.003, 9)):
        result = JSMA(gamma=gamma, theta=theta, limit=limit)(lenet.model, x, y)
        assert result.distance.max() <= features
        assert result.distance[~result.success].max() >= features // 2
        assert ((result.x - x).sign() * (1 if theta > 0 else -1)).min() >= 0
        if limit == "steps":
            assert result.steps.max() == features // 2
        elif features == 8 and theta == 0.2:
            assert result.steps.max() > 4 and (result.distance == 8).any()
    few = JSMA(gamma=1.0, eps=5.9, theta=theta, limit=limit)(lenet.model, x, y)
    assert few.distance.max() <= 5
    more = JSMA(gamma=0.01, theta=theta, limit=limit)(lenet.model, x, y)
    assert few.success.sum() < more.success.sum()


@pytest.mark.parametrize("space", ["logits", "probabilities"])
def test_empty_map_stops_the_image_alone(space):
    # The first image is saturated where theta could help, the second is not.
    weights = torch.tensor([[-1.0, -1, 1, 1], [1, 1, -1, -1]], dtype=torch.float64)
    model = affine(weights, torch.tensor([3.0, 0], dtype=torch.float64))
    x = torch.tensor([[1.0, 1, 1, 1], [0.1, 0.1, 0.1, 0.1]], dtype=torch.float64)
    result = JSMA(theta=0.5, gamma=1.0, space=space)(
        model, x.reshape(2, 1, 2, 2), torch.tensor([0, 0])
    )
    assert result.trace["empty_map"].tolist() == [True, False]
    assert result.steps.tolist() == [0, 2]
    assert result.distance.tolist() == [0, 2]


def test_more_targets_never_need_more_features(lenet):
    x, y = lenet.x[:16], lenet.y[:16]
    logits = lenet.model.eval()(x).detach().scatter(1, y[:, None], -torch.inf)
    runs = [JSMA(gamma=0.01, targets=k)(lenet.model, x, y) for k in (1, 3, 9, 50)]
    assert_same(runs[2], runs[3], rtol=0, atol=0)
    for one, more in itertools.pairwise(runs):
        assert (more.distance <= one.distance)[one.success].all()
        assert more.success[one.success].all()
        assert torch.equal(more.x[~more.success], one.x[~more.success])
    assert (runs[2].distance < runs[0].distance)[runs[0].success].any()
    assert runs[2].success.sum() >= runs[0].success.sum()
    # One target is the runner-up: as near as a targeted attack on it, which may have to go on.
    aimed = JSMA(gamma=0.01)(lenet.model, x, y, logits.argmax(1))
    assert (runs[0].distance <= aimed.distance)[aimed.success].all()
    assert torch.equal(predictions(lenet.model, runs[0].x) != y, runs[0].success)


def test_images_do_not_feel_their_batch_over_many_steps(lenet):
    trained = lenet.double()
    x, y = trained.x[:8], trained.y[:8]
    attack = JSMA(theta=0.1, gamma=0.006, targets=2)
    together = attack(trained.model, x, y)
    for i in range(len(x)):
        alone = attack(trained.model, x[i : i + 1], y[i : i + 1])
        assert_same(alone, together, slice(i, i + 1), **ROUNDING)


@pytest.mark.parametrize("space", ["logits", "probabilities"])
def test_passes_are_counted(space, lenet):
    x, y = lenet.x[:10], lenet.y[:10]
    result = JSMA(gamma=0.005, space=space)(lenet.model, x, y)
    # Once before, once after, once to rank the classes, and at the end of the run once more.
    passes = {"logits": 3, "probabilities": 2}[space]
    assert torch.equal(result.queries, 3 + passes * (result.steps + 1))


@pytest.mark.parametrize("wrong", [{"theta": 0.0}, {"theta": 1.5}, {"gamma": 1.1}, {"targets": 0}])
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        JSMA(**wrong)


@pytest.mark.parametrize("targeted", [False, True])
def test_pruned_images_are_adversarial_and_need_every_change(targeted, lenet):
    x, y = lenet.x[:16], lenet.y[:16]
    target = (y + 3) % 10 if targeted else None
    settings = {"space": "probabilities", "gamma": 0.05 if targeted else 0.02}
    whole = JSMA(**settings)(lenet.model, x, y, target)
    pruned = JSMA(prune=True, **settings)(lenet.model, x, y, target)
    assert torch.equal(whole.success, pruned.success) and whole.success.sum() >= 4
    assert torch.equal(whole.x[~whole.success], pruned.x[~whole.success])
    kept = pruned.x != x
    assert torch.equal(pruned.x[kept], whole.x[kept]), "what is not put back stays"
    assert (pruned.distance <= whole.distance).all()
    assert (pruned.distance < whole.distance).any()
    assert (pruned.queries - whole.queries <= 2 * whole.distance).all()
    needed = total = 0
    for i in whole.success.nonzero().flatten().tolist():
        for place in kept[i].flatten().nonzero().flatten().tolist():
            image = pruned.x[i : i + 1].clone().flatten(1)
            image[0, place] = x[i].flatten()[place]
            found = predictions(lenet.model, image.reshape(1, *x.shape[1:])).item()
            needed += bool(found == y[i] if target is None else found != target[i])
            total += 1
    # One that was needed beside the others may have become superfluous by what they did.
    assert needed >= 0.95 * total > 0
