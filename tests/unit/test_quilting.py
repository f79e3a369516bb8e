"""Image quilting against exhaustive search, scikit-learn and its own definition."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from advsparse.data.photos import Photos
from advsparse.defenses import _quilting
from advsparse.defenses._quilting import nearest, quilted, seam
from advsparse.defenses.quilting import Quilting
from advsparse.seeding import Random


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Photos(train_per_class=40, test_per_class=8).load(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def photos(data):
    return torch.from_numpy(data.images("test"))[::8]


def uniform(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("at_once", [2**24, 2000])
def test_neighbours_are_those_of_scikit_learn(photos, monkeypatch, at_once):
    monkeypatch.setattr(_quilting, "_AT_ONCE", at_once)
    known = photos.unfold(2, 5, 1).unfold(3, 5, 1).permute(0, 2, 3, 1, 4, 5).flatten(3)
    known = known.flatten(0, 2).double()
    known = known + 1e-4 * uniform(*known.shape)  # no two of them are as far away
    queries, known = known[1::400] + 0.05 * uniform(len(known[1::400]), 75), known[::7]
    theirs = NearestNeighbors(n_neighbors=12, algorithm="brute").fit(known.numpy())
    expected = theirs.kneighbors(queries.numpy(), return_distance=False)
    found = nearest(queries, known, 12)
    assert found.tolist() == expected.tolist()


def test_of_patches_that_are_as_near_the_first_come_first():
    known = torch.tensor([[5.0], [1.0], [3.0], [1.0], [3.0 + 1e-13]], dtype=torch.float64)
    queries = torch.tensor([[2.0]], dtype=torch.float64)
    assert nearest(queries, known, 9).tolist() == [[1, 2, 3, 4, 0]]


@pytest.mark.parametrize("at_once", [2**24, 700])
def test_of_very_many_that_are_as_near_the_first_come_first(monkeypatch, at_once):
    """As in a sky, of which patches of eight bits differ by a step in an entry."""
    monkeypatch.setattr(_quilting, "_AT_ONCE", at_once)
    one = 0.7 + torch.eye(75, dtype=torch.float64) / 255
    known = torch.cat([one, one, uniform(150, 75), one, torch.full((2, 75), 0.7)])
    queries = torch.cat([torch.full((1, 75), 0.7, dtype=torch.float64), one[:3], known[150:160]])
    distances = (known - queries[:, None]).square().sum(2)
    expected = (distances / 1e-10).round().argsort(dim=1, stable=True)[:, :10]
    assert torch.equal(nearest(queries, known, 10), expected)


def test_distances_are_told_apart_where_products_lose_their_digits():
    offsets = torch.tensor([5, 2, 9, 1, 7, 3, 8, 4, 6], dtype=torch.float64)
    known = 3e4 + 2e-5 * offsets[:, None]
    queries = torch.full((1, 1), 3e4, dtype=torch.float64)
    assert nearest(queries, known, 3).tolist() == [offsets.argsort()[:3].tolist()]


@pytest.mark.parametrize(("length", "width"), [(5, 2), (4, 3), (1, 3), (6, 1)])
def test_a_seam_is_the_best_of_all_paths(length, width):
    cost = uniform(40, length, width)
    found = seam(cost)
    assert found.shape == (40, length)
    step = torch.arange(length)
    paths = [
        path
        for path in product(range(width), repeat=length)
        if all(abs(a - b) <= 1 for a, b in pairwise(path))
    ]
    for one, ours in zip(cost, found, strict=True):
        best = min(paths, key=lambda path: float(one[step, list(path)].sum()))
        assert tuple(ours.tolist()) == best
        assert one[step, ours].sum() <= one.sum(0).min() + 1e-12  # any straight cut


def test_an_image_whose_patches_are_all_known_comes_back(photos):
    for sides in ((32, 32), (31, 30), (5, 6)):  # of which the last two need padding
        x = photos[:, :, : sides[0], : sides[1]]
        step, size = 3, 5
        padded = torch.nn.functional.pad(
            x, (0, -(sides[1] - size) % step, 0, -(sides[0] - size) % step), mode="reflect"
        )
        windows = padded.unfold(2, size, 1).unfold(3, size, 1)
        known = windows.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(0, 2)
        t = Quilting(neighbours=1).transformation({"patches": known})
        assert torch.equal(t(x, Random(0)), x)


def laid(patches, overlap, y, x):
    """Values that the patches of one image have for the pixel (y, x)."""
    step = patches.shape[-1] - overlap
    for row, column in product(range(patches.shape[0]), range(patches.shape[1])):
        i, j = y - row * step, x - column * step
        if 0 <= i < patches.shape[-1] and 0 <= j < patches.shape[-1]:
            yield patches[row, column, :, i, j]


@pytest.mark.parametrize("overlap", [0, 1, 2, 3])
def test_every_pixel_is_that_of_a_patch_which_lies_there(overlap):
    patches = uniform(2, 3, 4, 3, 5, 5)
    images = quilted(patches, overlap)
    step = 5 - overlap
    assert images.shape == (2, 3, 2 * step + 5, 3 * step + 5)
    for image, own in zip(images, patches, strict=True):
        for y, x in product(range(image.shape[1]), range(image.shape[2])):
            assert any(torch.equal(image[:, y, x], one) for one in laid(own, overlap, y, x))


def test_two_patches_meet_at_the_seam_that_costs_least():
    patches = uniform(1, 1, 2, 3, 5, 5)
    old, new = patches[0, 0]
    cost = (old[:, :, 3:] - new[:, :, :2]).square().sum(0)
    paths = list(product(range(2), repeat=5))
    best = min(paths, key=lambda path: float(sum(cost[i, j] for i, j in enumerate(path))))
    image = quilted(patches, 2)[0]
    assert torch.equal(image[..., :3], old[..., :3]) and torch.equal(image[..., 5:], new[..., 2:])
    for row, cut in enumerate(best):
        for column in range(2):
            side = old[:, row, 3 + column] if column < cut else new[:, row, column]
            assert torch.equal(image[:, row, 3 + column], side)
    # One above the other is the same, turned.
    turned = quilted(patches.transpose(1, 2).mT, 2)[0]
    assert torch.equal(turned, image.mT)


def cheapest(cost):
    """The best of all paths through the rows of ``cost``, length x width, by trying them."""
    paths = product(range(cost.shape[1]), repeat=len(cost))
    paths = (path for path in paths if all(abs(a - b) <= 1 for a, b in pairwise(path)))
    return min(paths, key=lambda path: sum(float(cost[i, j]) for i, j in enumerate(path)))


@pytest.mark.parametrize("overlap", [2, 3])
def test_patches_are_laid_as_exhaustive_search_lays_them(overlap):
    patches, step = uniform(1, 3, 3, 2, 5, 5, seed=4), 5 - overlap
    image = torch.zeros(2, 2 * step + 5, 2 * step + 5, dtype=torch.float64)
    stayed = 0
    for row, column in product(range(3), repeat=2):
        new, there = patches[0, row, column], image[:, row * step :, column * step :]
        cost = (new - there[:, :5, :5]).square().sum(0)
        down = cheapest(cost[:, :overlap]) if column else [0] * 5
        across = cheapest(cost[:overlap].T) if row else [0] * 5
        for i, j in product(range(5), repeat=2):
            if j >= down[i] and i >= across[j]:
                there[:, i, j] = new[:, i, j]
            stayed += i < overlap and j < down[i] and i >= across[j]
    assert torch.equal(quilted(patches, overlap)[0], image)
    assert stayed  # in a corner, what only one of the seams leaves


def test_patches_are_drawn_uniformly_from_the_nearest(photos):
    """Of a flat image on a grid without overlap, each patch tells which one was drawn."""
    levels = torch.linspace(0, 1, 40, dtype=torch.float64)
    known = levels[:, None].expand(40, 25)
    x = torch.full((1, 1, 200, 200), 0.5, dtype=torch.float64)
    made = Quilting(overlap=0, neighbours=10)
    drawn = made.transformation({"patches": known})(x, Random(0))[0, 0, ::5, ::5]
    near = (levels - 0.5).abs().argsort()[:10]
    counts = [int(((drawn - levels[i]).abs() < 1e-9).sum()) for i in near]
    assert sum(counts) == 1600
    assert sum((count - 160) ** 2 / 160 for count in counts) < 34  # of 9 degrees of freedom


def test_the_database_is_of_training_images_alone(data, photos):
    train = torch.from_numpy(data.images("train"))[:3]
    learned = Quilting(patches=200).fit(train, None, rng=1)
    assert set(learned) == {"patches"} and learned["patches"].shape == (200, 75)
    windows = train.unfold(2, 5, 1).unfold(3, 5, 1).permute(0, 2, 3, 1, 4, 5).flatten(3)
    every = {tuple(one.tolist()) for one in windows.flatten(0, 2)}
    assert all(tuple(one.tolist()) in every for one in learned["patches"])
    # What comes out is near to what goes in, and the nearer the more patches there are.
    few, many = (
        Quilting(patches=count, neighbours=1).fit(train, None, rng=1) for count in (50, 5000)
    )
    errors = [
        float((Quilting(neighbours=1).transformation(one)(photos, Random(0)) - photos).norm())
        for one in (few, many)
    ]
    assert errors[1] < errors[0]


def test_what_can_not_be_quilted_is_refused(photos):
    with pytest.raises(ValueError, match="overlap: 5 leaves nothing of patches of 5"):
        Quilting(overlap=5)
    learned = Quilting(patches=20).fit(photos, None)
    t = Quilting().transformation(learned)
    with pytest.raises(ValueError, match="images of 4 x 32 pixels have no patches of 5 x 5"):
        t(photos[:, :, :4], Random(0))
