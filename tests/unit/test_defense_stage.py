"""What lies between a defence and the pipeline: transformed images, artifacts, configuration."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from advsparse import registry
from advsparse.artifacts import make_metadata, write_arrays, write_slices, write_tensors
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.data._base import Splits
from advsparse.data._io import save_dataset
from advsparse.data._pixels import channel_statistics, floats
from advsparse.defenses import _transformed
from advsparse.defenses._io import description, load_defense, taken
from advsparse.defenses._transformed import Transformed
from advsparse.defenses.jpeg import JPEG
from advsparse.defenses.reconstruction_error import ReconstructionError
from advsparse.defenses.tvm import TVM
from advsparse.errors import ArtifactError, ConfigError
from advsparse.models._io import (
    excesses,
    load_classifier,
    network_weights,
    with_defense,
)
from advsparse.models.lenet import LeNet
from advsparse.seeding import Random
from advsparse.stages._graph import Graph
from advsparse.stages._stage import Job
from advsparse.stages.classifier import ClassifierStage
from advsparse.stages.transformed import TransformedStage

PIXELS = np.random.default_rng(0).integers(0, 256, (150, 3, 28, 28), dtype=np.uint8)
SMALL = TVM(iterations=3)


def transformed(folder, defense=SMALL, identity="a", seed=3, images=PIXELS):
    return Transformed(
        images,
        defense,
        defense.transformation({}),
        seed=seed,
        device="cpu",
        parts=folder / "parts",
        identity=identity,
    )


def expected(defense, images=PIXELS, seed=3):
    numbers = (Random(seed),) if defense.stochastic else ()
    return defense.transformation({})(floats(torch.from_numpy(images)), *numbers)


@pytest.mark.parametrize("defense", [SMALL, JPEG(quality=50)], ids=["random", "exact"])
def test_images_are_transformed_once_each_and_rounded_to_eight_bits(tmp_path, defense):
    rows = transformed(tmp_path, defense)
    assert (rows.shape, rows.dtype, rows.stored) == (PIXELS.shape, np.uint8, "uint8")
    whole = (expected(defense) * 255).round().to(torch.uint8).numpy()
    # Within a lot as without: single images fall into lots of their own.
    assert np.abs(rows[0:150].astype(int) - whole).max() <= 1
    again = transformed(tmp_path)[10:140] if defense is SMALL else rows[10:140]
    np.testing.assert_array_equal(again, rows[0:150][10:140])


def test_floats_are_kept_where_levels_would_lose_something(tmp_path):
    class Exact(TVM):
        eight_bits = False

    defense = Exact(iterations=3)
    rows = transformed(tmp_path, defense)
    assert (rows.dtype, rows.stored) == (np.float32, "float32")
    torch.testing.assert_close(torch.from_numpy(rows[0:150]), expected(defense))


def test_what_was_made_before_an_interruption_is_not_made_again(tmp_path, monkeypatch):
    seen = []

    class Watched:
        shape, dtype = PIXELS.shape, PIXELS.dtype

        def __len__(self):
            return len(PIXELS)

        def __getitem__(self, index):
            seen.append((index.start, index.stop))
            return PIXELS[index]

    whole = transformed(tmp_path / "whole")[0:150]
    transformed(tmp_path, images=Watched())[0:100]
    assert seen == [(0, 64), (64, 128)]
    resumed = transformed(tmp_path, images=Watched())[0:150]
    assert seen[2:] == [(128, 150)]
    np.testing.assert_array_equal(resumed, whole)
    # What is damaged, or of another code, seed or dataset, is made anew.
    (first, *_) = sorted((tmp_path / "parts").rglob("0.npz"))
    first.write_bytes(first.read_bytes()[:50])
    transformed(tmp_path, images=Watched())[0:64]
    transformed(tmp_path, identity="b", images=Watched())[0:64]
    assert seen[3:] == [(0, 64), (0, 64)]
    rows = transformed(tmp_path)
    rows.forget()
    assert not (tmp_path / "parts").exists()


def test_the_same_bytes_are_stored_however_much_is_written_at_once(tmp_path, monkeypatch):
    made, files = make_metadata("transformed", params={}, code="", seed=0), []
    for size in (1, 70_000, 2**25):
        monkeypatch.setattr("advsparse.artifacts.slices._AT_ONCE", size)
        path = tmp_path / f"{size}.safetensors"
        write_slices(path, {"x_train": transformed(tmp_path / str(size))}, made)
        files.append(path.read_bytes())
    assert files[0] == files[1] == files[2]


def test_progress_is_told(tmp_path, caplog, monkeypatch):
    caplog.set_level("INFO")
    clock = itertools.count(1000, 10)  # seconds, of which each lot takes ten
    monkeypatch.setattr(_transformed, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    transformed(tmp_path)[0:150]
    assert [record.getMessage() for record in caplog.records] == [
        "64 of 150 images transformed, 13 s left",
        "128 of 150 images transformed, 3 s left",
        "150 of 150 images transformed, 0 s left",
    ]


def test_what_leaves_the_range_of_images_is_cut_off_in_eight_bits(tmp_path):
    class Louder(TVM):
        stochastic = False

        def transformation(self, learned):
            return lambda x: 4 * x - 1.5

    rows = transformed(tmp_path, Louder(), images=PIXELS[:3])
    exact = 4 * (PIXELS[:3].astype(np.float64)) - 1.5 * 255
    assert np.abs(rows[0:3] - exact.clip(0, 255)).max() <= 0.51
    rows.forget()
    rows.forget()  # of nothing, which is no error


def stored(folder):
    """The files of a dataset of these images and of a defence, by what a job calls them."""
    given = {"dataset": folder / "data.safetensors", "defense": folder / "d.npz"}
    made = make_metadata("dataset", params={}, code="", seed=0)
    labels = np.arange(150) % 2
    splits = Splits(PIXELS, labels, PIXELS[:2], labels[:2], ("a", "b"))
    save_dataset(given["dataset"], splits, made)
    params = {"method": registry.spec_of(SMALL)}
    write_arrays(given["defense"], {}, make_metadata("defense", params=params, code="", seed=0))
    return given


@pytest.mark.parametrize("part", [None, [2, 2]])
def test_a_job_transforms_its_dataset_by_its_defence(tmp_path, part):
    settings = {"seed": 3} if part is None else {"seed": 3, "part": part}
    job = SimpleNamespace(settings=settings, device="cpu", code="c0de")
    given = stored(tmp_path)
    rows = _transformed.transformed(job, given, str(tmp_path / "parts.safetensors"))
    whole = transformed(tmp_path / "whole")[0:150]
    np.testing.assert_array_equal(rows[0 : len(rows)], whole if part is None else whole[64:])
    assert [*(tmp_path / "parts").rglob("*.npz")]
    # What is kept is used again by the same job, and by no other one.
    for change, again in (({}, True), ({"code": "other"}, False), ({"device": "cpu:0"}, False)):
        other = SimpleNamespace(**{**vars(job), **change})
        kept = _transformed.transformed(other, given, str(tmp_path / "parts.safetensors"))
        assert (kept._kept._folder == rows._kept._folder) == again
    # For a network, t may be another one.
    network = LeNet().build((3, 28, 28), 2, seed=1)
    extra = {"shape": [3, 28, 28], "classes": 2}
    described = make_metadata(
        "classifier", params={"architecture": {"kind": "lenet"}}, code="", seed=1, extra=extra
    )
    write_tensors(tmp_path / "c.safetensors", network.state_dict(), described)
    given["classifier"] = tmp_path / "c.safetensors"
    of_network = _transformed.transformed(job, given, str(tmp_path / "parts.safetensors"))
    assert of_network._kept._folder != rows._kept._folder
    np.testing.assert_array_equal(of_network[0:20], rows[0:20])


def test_some_training_images_are_transformed_in_the_order_of_all_sets_of_them(tmp_path):
    given = stored(tmp_path)
    chosen = {"split": "train", "start": 0, "count": 70, "order": 5}
    job = SimpleNamespace(settings={"seed": 3, "images": chosen}, device="cpu", code="c0de")
    rows = _transformed.transformed(job, given, str(tmp_path / "parts.safetensors"))
    assert rows.shape == (70, 3, 28, 28)
    order = np.random.default_rng(5).permutation(150)[:70]
    whole = transformed(tmp_path / "whole", images=PIXELS[order])[0:70]
    np.testing.assert_array_equal(rows[0:70], whole)


def test_as_many_are_transformed_as_a_classifier_asks_for(write):
    models = (
        "models: {a: {%s}, b: {%s}, behind: {dataset: cifar10, weights_of: lenet, defense: jpeg}}"
    )
    trained = "dataset: cifar10, architecture: {kind: lenet}, defense: jpeg, training_images: %s"
    for counts, expected in ((("20", "30"), 30), (("20", "null"), None)):
        text = models % tuple(trained % count for count in counts)
        plan = Plan(load([write(IN % f"{JPEGS}, {text}")]))
        told = TransformedStage().settings(plan, Job("transformed", "jpeg", "frecon2021"))
        assert told.get("images", {}).get("count") == expected
        own = ClassifierStage().settings(plan, Job("classifier", "a", "frecon2021"))["images"]
        assert own["count"] == 20
        if expected:
            assert {**own, "count": 30} == told["images"]


def test_statistics_of_floats_are_those_of_all_images():
    x = np.random.default_rng(1).random((30, 2, 5, 6), dtype=np.float32)
    for size in (7, 100):
        mean, std = channel_statistics(x, size)
        np.testing.assert_allclose(mean, x.mean((0, 2, 3), dtype=np.float64), rtol=1e-12)
        np.testing.assert_allclose(std, x.std((0, 2, 3), dtype=np.float64), rtol=1e-12)


def test_a_defended_classifier_comes_back_as_it_was(tmp_path):
    x = floats(torch.from_numpy(PIXELS[:40]))
    detector = ReconstructionError(epochs=1, rate=0.2)
    learned = detector.fit(x, None)
    params = {"method": registry.spec_of(detector)}
    arrays = {name: value.numpy() for name, value in learned.items()}
    write_arrays(
        tmp_path / "d.npz", arrays, make_metadata("defense", params=params, code="", seed=0)
    )
    method, found, metadata = load_defense(tmp_path / "d.npz")
    assert method == detector
    network = LeNet().build((3, 28, 28), 4, seed=1).eval()
    described = {
        "shape": [3, 28, 28],
        "classes": 4,
        "network": {"architecture": {"kind": "lenet"}, "shape": [3, 28, 28]},
        "defense": description("magnet", metadata, 7),
    }
    made = make_metadata("classifier", params={}, code="", seed=7, extra=described)
    tensors = with_defense(network.state_dict(), found)
    write_tensors(tmp_path / "c.safetensors", tensors, made)
    model, _ = load_classifier(tmp_path / "c.safetensors")
    assert torch.equal(model(x), network(x)) and not model.training
    wanted = detector.wrap(network, learned).excess(x)
    np.testing.assert_array_equal(excesses(model, PIXELS[:40]), wanted.detach().numpy())
    assert excesses(network, PIXELS[:40]) is None
    weights, _ = network_weights(tmp_path / "c.safetensors")
    assert weights.keys() == network.state_dict().keys()


def test_an_artifact_of_another_stage_holds_no_defence(tmp_path):
    made = make_metadata("fit", params={"method": {"kind": "tvm"}}, code="", seed=0)
    write_arrays(tmp_path / "d.npz", {}, made)
    with pytest.raises(ArtifactError, match="it was written by stage 'fit', not 'defense'"):
        load_defense(tmp_path / "d.npz")
    write_arrays(tmp_path / "d.npz", {}, make_metadata("defense", params={}, code="", seed=0))
    with pytest.raises(ArtifactError) as caught:
        load_defense(tmp_path / "d.npz")
    assert str(caught.value).startswith(f"{tmp_path / 'd.npz'}: it is damaged (KeyError: 'method')")


def test_what_a_classifier_says_of_its_defence():
    method = registry.spec_of(JPEG(quality=50))
    metadata = make_metadata("defense", params={"method": method}, code="", seed=0)
    said = {"name": "jpeg", "method": method, "seed": 7}
    assert description("jpeg", metadata, 7) == said


def test_a_network_takes_what_a_transformation_gives_and_else_the_images():
    class Halved(TVM):
        def shape(self, shape):
            return shape[0], shape[1] // 2, shape[2] // 2

    assert taken(Halved(), (3, 28, 26)) == (3, 14, 13)
    assert taken(ReconstructionError(), (3, 28, 26)) == (3, 28, 26)


# The configuration.

IN = "{papers: [frecon2021], settings: {frecon2021: {%s}}}"
JPEGS = "defenses: {jpeg: {method: {kind: jpeg}, dataset: cifar10}}"
MAGNET = "defenses: {magnet: {method: {kind: reconstruction_error}, dataset: cifar10%s}}"
OWN = "models: {own: {dataset: cifar10, %s}}"


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (MAGNET % "", "defenses.magnet", "the key 'learn_from' is missing"),
        (MAGNET % ", learn_from: unseen", "defenses.magnet.learn_from", "'unseen' is of test im"),
        (MAGNET % ", learn_from: unsen", "defenses.magnet.learn_from", "did you mean 'unseen'?"),
        (
            "defenses: {jpeg: {method: {kind: jpeg}, dataset: cifar10, learn_from: unseen}}",
            "defenses.jpeg.learn_from",
            "jpeg learns from no images",
        ),
        (
            "defenses: {jpeg: {method: {kind: jpeg}, dataset: cifar10, classifier: lenet}}",
            "defenses.jpeg.classifier",
            "jpeg is the same for all networks",
        ),
        ("defenses: {jpeg: {method: {kind: jpg}, dataset: cifar10}}", "method.kind", "'jpeg'"),
        (
            "defenses: {jpeg: {method: {kind: jpeg}, dataset: cifra10}}",
            "defenses.jpeg.dataset",
            "did you mean 'cifar10'?",
        ),
        (OWN % "architecture: {kind: lenet}, defense: jpg", "models.own.defense", "no defence"),
        (
            f"{JPEGS}, models: {{own: {{dataset: mnist, weights_of: lenet, defense: jpeg}}}}",
            "models.own.defense",
            "'jpeg' is for other images",
        ),
        (
            f"{JPEGS}, models: {{own: {{dataset: mnist, weights_of: lenet, defense: jpeg}}}}",
            "models.own.weights_of",
            "'lenet' classifies other images",
        ),
        (OWN % "weights_of: lenet", "models.own", "without a defence it would be the other"),
        (OWN % "training: {epochs: 1}", "models.own", "what network it is has to be said"),
        (
            f"{JPEGS}, " + OWN % "weights_of: lenet, defense: jpeg, architecture: {kind: lenet}",
            "models.own",
            "architecture: is that of the classifier whose weights it takes",
        ),
        (
            f"{JPEGS}, models: {{a: {{dataset: cifar10, weights_of: lenet, defense: jpeg}}, "
            "b: {dataset: cifar10, weights_of: a, defense: jpeg}}",
            "models.b.weights_of",
            "'a' has a defence itself",
        ),
        (MAGNET % ", perturbed_by: fgsn", "defenses.magnet.perturbed_by", "did you mean 'fgsm'?"),
        (MAGNET % ", perturbed_by: fgsm", "defenses.magnet.perturbed_by", "is a grid"),
        (
            MAGNET % ", perturbed_by: deepfool",
            "defenses.magnet.perturbed_by",
            "'deepfool' is of test images, which a defence is not to have seen",
        ),
        (
            MAGNET % ", learn_from: clean, perturbed_by: deepfool"
            + ", images: {clean: {split: train, count: 9}}",
            "defenses.magnet.perturbed_by",
            "reconstruction_error learns from clean images",
        ),
        (
            "defenses: {jpeg: {method: {kind: jpeg}, dataset: cifar10, perturbed_by: deepfool}}",
            "defenses.jpeg.perturbed_by",
            "jpeg learns from no images",
        ),
        (
            "images: {seen: {split: train, count: 9}}, "
            "attacks: {a: {method: {kind: fgsm, eps: 0.1}, model: other, images: seen}}, "
            "models: {other: {dataset: mnist, architecture: {kind: lenet}}}, "
            + MAGNET
            % ", perturbed_by: a",
            "defenses.magnet.perturbed_by",
            "'a' is of other images",
        ),
        (
            "images: {seen: {split: train, count: 9}}, "
            "attacks: {a: {method: {kind: fgsm, eps: 0.1}, model: own, images: seen}}, "
            + OWN % "weights_of: lenet, defense: magnet"
            + ", "
            + MAGNET % ", perturbed_by: a",
            "defenses.magnet.perturbed_by",
            "'a' is made of 'magnet' itself",
        ),
        (
            f"{JPEGS}, analyses: {{a: {{method: {{kind: denoising}}, attacks: [deepfool]}}}}",
            "analyses.a.defenses",
            "denoising takes one or more, not 0",
        ),
        (
            MAGNET % ", learn_from: clean" + ", images: {clean: {split: train, count: 9}}, "
            "analyses: {a: {method: {kind: denoising}, attacks: [deepfool], defenses: [magnet]}}",
            "analyses.a.defenses",
            "changes no images in front of a network",
        ),
        (
            "defenses: {jpeg: {method: {kind: jpeg}, dataset: mnist}}, "
            "analyses: {a: {method: {kind: denoising}, attacks: [deepfool], defenses: [jpeg]}}",
            "analyses.a.defenses",
            "is for other images than are attacked",
        ),
    ],
)
def test_what_does_not_fit_is_named(text, key, said, write):
    with pytest.raises(ConfigError) as caught:
        load([write(IN % text)])
    assert key in str(caught.value) and said in str(caught.value), caught.value


def test_a_classifier_reads_what_its_defence_asks_for(write):
    models = (
        "models: {trained: {dataset: cifar10, architecture: {kind: lenet}, defense: jpeg}, "
        "behind: {dataset: cifar10, weights_of: lenet, defense: jpeg}}"
    )
    graph = Graph(Plan(load([write(IN % f"{JPEGS}, {models}")])))
    dataset, defense = Job("dataset", "photos"), Job("defense", "jpeg", "frecon2021")
    trained = graph.needs(Job("classifier", "trained", "frecon2021"))
    assert trained == {
        "dataset": dataset,
        "defense": defense,
        "transformed": Job("transformed", "jpeg", "frecon2021"),
    }
    behind = graph.needs(Job("classifier", "behind", "frecon2021"))
    network = Job("classifier", "lenet", "frecon2021")
    assert behind == {"dataset": dataset, "defense": defense, "network": network}
    modules = graph.modules(Job("classifier", "behind", "frecon2021"))
    assert {"advsparse.defenses.jpeg", "advsparse.models.lenet"} <= set(modules)


def test_a_defence_is_not_made_for_a_classifier_that_has_it(write, monkeypatch):
    monkeypatch.setattr(JPEG, "asks_network", True)
    defense = "defenses: {jpeg: {method: {kind: jpeg}, dataset: cifar10, classifier: %s}}"
    models = (
        "models: {a: {dataset: cifar10, architecture: {kind: lenet}, defense: jpeg}, "
        "b: {dataset: cifar10, architecture: {kind: lenet}, starts_from: a}}"
    )
    for name in "ab":
        with pytest.raises(ConfigError, match=f"classifier: '{name}' is made of 'jpeg' itself"):
            load([write(IN % f"{defense % name}, {models}")])
    load([write(IN % f"{defense % 'lenet'}, {models}")])
    with pytest.raises(ConfigError, match="the key 'classifier' is missing"):
        load([write(IN % JPEGS)])
