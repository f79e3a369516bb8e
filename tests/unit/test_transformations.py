"""What networks make of attacked images behind defences: accuracy, quality, distances, steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from advsparse.analyses._base import Attacked, Given
from advsparse.analyses.penalties import Penalties
from advsparse.analyses.projection import Projection
from advsparse.analyses.transformations import Transformations
from advsparse.defenses.averaged import Averaged
from advsparse.defenses.crop_ensemble import CropEnsemble
from advsparse.defenses.mean_filter import MeanFilter
from advsparse.defenses.stl import STL
from advsparse.defenses.stl_cluster import STLCluster
from advsparse.defenses.tvm import TVM
from advsparse.errors import AnalysisError
from advsparse.models.lenet import LeNet
from advsparse.seeding import Random

FILTERS = {"filters": 4, "size": 4, "images": 6, "passes": 2, "max_iterations": 300}
CODED = {**FILTERS, "low_pass": "tikhonov", "zero_mean": True, "padding": 4, "weight": 0.05}


@pytest.fixture(scope="module")
def given():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(9, 3, 8, 8, generator=generator)
    x = torch.nn.functional.interpolate(coarse, 32, mode="bilinear").clamp(0, 1)
    model = LeNet().build((3, 32, 32), 10, seed=1).eval()
    with torch.no_grad():
        label = model(x).argmax(1)
    noise = torch.randn(x.shape, generator=generator)
    noise[0] = 0  # an image that the attacks leave as it is
    attacked = Attacked(x, (x + 0.05 * noise).clamp(0, 1), label, np.arange(9))
    weaker = Attacked(x, (x + 0.02 * noise).clamp(0, 1), label, np.arange(9))
    defenses = {"blur": (MeanFilter(), {}), "tvms": (Averaged(parts=[TVM()], draws=3), {})}
    attacks = {"first": attacked, "second": weaker}
    return Given(Random(3), attacks=attacks, classifier=model, defenses=defenses)


@pytest.fixture(scope="module")
def clustered(given):
    """The same images behind filters of clusters."""
    x = next(iter(given.attacks.values())).x
    defense = STLCluster(clusters=2, epochs=2, neighbours=3, **CODED)
    learned = defense.fit(x, torch.zeros(len(x)), rng=0)
    attacks = {"first": given.attacks["first"]}
    defenses = {"stl_cluster": (defense, learned)}
    return Given(Random(3), attacks=attacks, classifier=given.classifier, defenses=defenses)


def test_predictions_quality_and_distances(given):
    found = Transformations(shown=2).run(given)
    assert list(found["sources"]) == ["clean", "first", "second"]
    assert list(found["transforms"]) == ["none", "blur", "tvms"]
    model, attacked = given.classifier, given.attacks["first"]
    t = MeanFilter().transformation({})
    before, after = t(attacked.x), t(attacked.x_adv)
    with torch.no_grad():
        expected = model(after).argmax(1)
        inside = torch.nn.Sequential(model.normalise, *list(model.layers)[:-1])
        clean, changed = inside(before).flatten(1), inside(after).flatten(1)
    assert np.array_equal(found["prediction:first:blur"], expected.numpy())
    relative = ((after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)).numpy()
    assert found["distance:first:blur"] == pytest.approx(relative, rel=1e-5)
    of_features = ((changed - clean).norm(dim=1) / clean.norm(dim=1)).numpy()
    assert found["feature_distance:first:blur"] == pytest.approx(of_features, rel=1e-4)
    assert np.isinf(found["psnr:first:none"][0])
    for image in range(len(after)):
        quality = peak_signal_noise_ratio(
            attacked.x[image].double().numpy(), after[image].double().numpy(), data_range=1.0
        )
        assert found["psnr:first:blur"][image] == pytest.approx(quality, rel=1e-5)
    assert list(found["kept"]) == [1, 2]
    assert np.array_equal(found["shown:first:blur"], after[1:3].numpy())
    assert "shown:second:blur" not in found
    assert not found["distance:clean:blur"].any()


def test_an_ensemble_predicts_by_the_mean_of_its_draws(given):
    found = Transformations().run(given)
    defense, learned = given.defenses["tvms"]
    seed = given.rng.part("defense").seed
    defended = defense.wrap(given.classifier, learned, seed=seed).eval()
    with torch.no_grad():
        expected = defended(given.attacks["second"].x_adv).argmax(1)
        single = defended.transform(given.attacks["second"].x_adv)
    assert np.array_equal(found["prediction:second:tvms"], expected.numpy())
    error = ((single - given.attacks["second"].x) ** 2).flatten(1).mean(1)
    assert found["psnr:second:tvms"] == pytest.approx((-10 * error.log10()).numpy(), rel=1e-5)


def test_a_random_defence_is_compared_by_one_draw(given):
    """Two draws of one image may differ by more than what an attack added."""
    crops = {"crops": (CropEnsemble(draws=2, fraction=0.75), {})}
    told = Given(given.rng, attacks=given.attacks, classifier=given.classifier, defenses=crops)
    found = Transformations().run(told)
    defense, learned = crops["crops"]
    seed = given.rng.part("defense").seed
    defended = defense.wrap(given.classifier, learned, seed=seed).eval()
    x, x_adv = given.attacks["first"].x, given.attacks["first"].x_adv
    with torch.no_grad():
        before, after = defended.transform(x), defended.transform(x_adv, like=x)
        other = defended.transform(x_adv)
    assert torch.equal(defended.transform(x, like=x), before)
    relative = ((after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)).numpy()
    assert found["distance:first:crops"] == pytest.approx(relative, rel=1e-5)
    assert (relative[1:] < (other - before).flatten(1).norm(dim=1).numpy()[1:]).all()
    assert relative[0] == 0  # which the attack left as it was
    assert "distance:second:crops" not in found and "prediction:second:crops" in found
    # Pixels that have moved are beside those of other places.
    assert not [name for name in found if name.startswith("psnr:") and name.endswith(":crops")]


def test_penalties_code_with_the_same_filters(given):
    x = given.attacks["first"].x
    defense = STL(**CODED)
    learned = defense.fit(x, torch.zeros(len(x)), rng=0)
    defended = {"stl": (defense, learned)}
    told = Given(given.rng, attacks=given.attacks, classifier=given.classifier, defenses=defended)
    found = Penalties(weights=[0.01, 0.05, 10.0]).run(told)
    assert list(found["transforms"]) == ["none", "0.01", "0.05", "10"]
    assert list(found["sources"]) == ["clean", "first"]
    with torch.no_grad():
        own = defense.transformation(learned)(given.attacks["first"].x_adv)
    assert np.allclose(found["shown:first:0.05"], own[1:5].numpy(), atol=1e-5)
    quality = [found[f"psnr:clean:{weight}"].mean() for weight in ("0.01", "0.05", "10")]
    assert quality[0] > quality[1] > quality[2]


def test_the_steps_of_a_projection_add_up(clustered):
    """What is not coded and all maps with their filters give t(x'); circular sums by definition."""
    found = Projection(maps=4, shown=2).run(clustered)
    attacked = clustered.attacks["first"]
    assert np.array_equal(found["shown.attacked"], attacked.x_adv[:2].numpy())
    for slow, maps, filters, made in zip(
        *(found[f"shown.{key}"] for key in ("slow", "maps", "filters", "made")), strict=True
    ):
        summed = slow.astype(np.float64).copy()
        margin = 4  # beyond it, filters reach into what was cropped
        for code, one in zip(maps, filters, strict=True):
            for row in range(one.shape[1]):
                for column in range(one.shape[2]):
                    moved = np.roll(code, (row, column), axis=(0, 1))
                    summed += one[:, row, column, None, None] * moved
        inner = slice(margin, -margin)
        assert np.allclose(summed.clip(0, 1)[:, inner, inner], made[:, inner, inner], atol=2e-4)


def test_clusters_are_those_of_the_defence(clustered):
    found = Projection().run(clustered)
    defense, learned = clustered.defenses["stl_cluster"]
    cluster_of = defense.transformation(learned).cluster_of
    for of, x in (("clean", "x"), ("attacked", "x_adv")):
        images = getattr(clustered.attacks["first"], x)
        assert np.array_equal(found[f"cluster.{of}"], cluster_of(images).numpy())


def test_a_projection_needs_clusters(given):
    told = Given(
        given.rng,
        attacks={"first": given.attacks["first"]},
        classifier=given.classifier,
        defenses={"blur": (MeanFilter(), {})},
    )
    with pytest.raises(AnalysisError, match="blur has no clusters"):
        Projection().run(told)
