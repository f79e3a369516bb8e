"""Filters for each cluster of images, against scikit-learn and the layer without clusters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from advsparse.data.photos import Photos
from advsparse.defenses._feature_clusters import Clusters, _codes
from advsparse.defenses.stl import STL
from advsparse.defenses.stl_cluster import STLCluster

CODING = {"filters": 8, "size": 4, "passes": 4, "gap_tolerance": 1e-3}
FEATURES = {"epochs": 4, "components": 12}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    data = Photos(train_per_class=20, test_per_class=3).load(tmp_path_factory.getbasetemp())
    return tuple(torch.from_numpy(data.images(split)) for split in ("train", "test"))


@pytest.fixture(scope="module")
def fitted(photos):
    settings = STLCluster(clusters=3, **CODING, **FEATURES)
    return settings, settings.fit(photos[0], None, rng=1)


def test_one_cluster_is_the_layer_without(photos):
    train, test = photos[0][::4], photos[1]
    one, many = STL(**CODING), STLCluster(clusters=1, **CODING, **FEATURES)
    expected, found = one.fit(train, None, rng=3), many.fit(train, None, rng=3)
    assert torch.equal(found["filters.0"], expected["filters"])
    assert not found["labels"].any()
    points = [test.clone().requires_grad_() for _ in range(2)]
    pairs = ((one, expected), (many, found))
    made = [s.transformation(arrays)(x) for (s, arrays), x in zip(pairs, points, strict=True)]
    assert torch.equal(*made)
    gradients = [
        torch.autograd.grad(t.square().sum(), x)[0] for t, x in zip(made, points, strict=True)
    ]
    assert torch.equal(*gradients)


def test_features_are_components_as_scikit_learn_has_them(fitted, photos):
    settings, learned = fitted
    encoder = Clusters(settings, learned).encoder
    codes = _codes(encoder, photos[0]).double().numpy()
    expected = PCA(12, svd_solver="full").fit_transform(codes)
    np.testing.assert_allclose(learned["features"].numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("neighbours", [1, 3, 10, 1000])
def test_neighbours_vote_as_scikit_learn_has_it(fitted, photos, neighbours):
    _, learned = fitted
    own = STLCluster(clusters=3, neighbours=neighbours, **CODING, **FEATURES)
    found = Clusters(own, learned)(photos[1])
    labels = learned["labels"].numpy()
    oracle = KNeighborsClassifier(min(neighbours, len(labels)))
    oracle.fit(learned["features"].double().numpy(), labels)
    features = _codes(Clusters(own, learned).encoder, photos[1]) - learned["mean"]
    features = features.double() @ learned["components"].double().T
    assert np.array_equal(found.numpy(), oracle.predict(features.numpy()))
    assert len(found.unique()) > 1 or neighbours == 1000
    if neighbours == 1:
        assert torch.equal(Clusters(own, learned)(photos[0]), learned["labels"])


def test_nearest_centres_tell_what_k_means_found(fitted, photos):
    _, learned = fitted
    nearest = STLCluster(clusters=3, assignment="nearest_centre", **CODING, **FEATURES)
    assert torch.equal(Clusters(nearest, learned)(photos[0]), learned["labels"])
    assert len(learned["labels"].unique()) == 3


def test_each_image_is_coded_by_the_filters_of_its_cluster(fitted, photos):
    settings, learned = fitted
    cluster = Clusters(settings, learned)(photos[1])
    t = settings.transformation(learned)
    found = t(photos[1])
    for number in range(3):
        filters = learned[f"filters.{number}"]
        own = STL(**CODING).transformation({"filters": filters})(photos[1])
        same = (own - found).flatten(1).abs().amax(1) < 1e-5
        assert torch.equal(same, cluster == number)
    order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(t(photos[1][order]), found[order], rtol=0, atol=1e-5)
    assert t(photos[1][:0]).shape == (0, *photos[1].shape[1:])


def test_all_that_is_learned_is_arrays(fitted):
    _, learned = fitted
    assert all(isinstance(value, torch.Tensor) for value in learned.values())
    assert {"mean", "components", "features", "centres", "labels", "filters.2"} <= set(learned)


def test_images_of_any_size_are_told_apart(photos):
    large = torch.nn.functional.interpolate(photos[0][:24], size=(45, 40))
    dark = torch.cat([large[:12], large[12:] / 10])
    settings = STLCluster(clusters=2, **CODING, **FEATURES)
    learned = settings.fit(dark, None, rng=2)
    assert learned["components"].shape[1] == 32 * 4 * 4
    assert settings.transformation(learned)(dark[:2]).shape == (2, 3, 45, 40)
    labels = learned["labels"]
    agree = (labels == torch.arange(24).ge(12)).double().mean()
    assert max(agree, 1 - agree) > 0.8


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # images without variance
def test_too_few_images_are_refused(photos):
    settings = STLCluster(clusters=4, **CODING, **FEATURES)
    with pytest.raises(ValueError, match="one for each of 4 clusters, got 3"):
        settings.fit(photos[0][:3], None)
    same = photos[0][:1].repeat(6, 1, 1, 1)
    with (
        pytest.warns(Warning, match="distinct clusters"),
        pytest.raises(ValueError, match="fewer different images than 4 clusters"),
    ):
        settings.fit(same, None)
