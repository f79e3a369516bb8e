"""The scripts by which coders, classifiers and defences learn, run as the pipeline runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from advsparse import registry
from advsparse.artifacts import make_metadata, write_slices
from advsparse.coding._io import load_coder
from advsparse.coding._signals import Signals
from advsparse.data._base import Splits
from advsparse.data._io import save_dataset
from advsparse.defenses._io import load_defense
from advsparse.defenses.jpeg import JPEG
from advsparse.models._io import classes_of, load_classifier, predict

WORKFLOW = Path(__file__).parents[2] / "workflow"

RUN = """
import json, runpy, sys
from types import SimpleNamespace

job = json.loads(sys.argv[2])
inputs = type("Inputs", (dict,), {"__getattr__": dict.__getitem__})(job["input"])
snakemake = SimpleNamespace(
    input=inputs,
    output=[job["output"]],
    log=[job["output"] + ".log"],
    threads=1,
    resources=SimpleNamespace(),
    params=SimpleNamespace(settings=job["settings"], code="", checkpoint=job["output"] + ".part"),
)
runpy.run_path(sys.argv[1], {"snakemake": snakemake})
"""


def run(script: str, output: Path, settings: dict, first: str = "", **inputs: Path) -> None:
    job = {
        "input": {name: str(path) for name, path in inputs.items()},
        "output": str(output),
        "settings": settings,
    }
    command = [
        sys.executable,
        "-c",
        first + RUN,
        str(WORKFLOW / "scripts" / script),
        json.dumps(job),
    ]
    environment = os.environ | {"PYTHONPATH": str(WORKFLOW)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not output.with_name(output.name + ".part").exists()


@pytest.fixture
def dataset(tmp_path):
    """Images of two classes, bright on the left and on the right."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 100, (80, 1, 8, 8), dtype=np.uint8)
    y = np.arange(80) % 2
    x[y == 0, :, :, :4] += 120
    x[y == 1, :, :, 4:] += 120
    path = tmp_path / "dataset.safetensors"
    splits = Splits(x[:60], y[:60], x[60:], y[60:], ("left", "right"))
    save_dataset(path, splits, make_metadata("dataset", params={}, code="", seed=0))
    return path, splits


TRAINING = {"epochs": 2, "examples": 40, "batch_size": 20, "learning_rate": 0.01}


def test_classifier_of_the_codes_of_a_trained_coder(dataset, tmp_path):
    path, splits = dataset
    coder, classifier = tmp_path / "coder.safetensors", tmp_path / "classifier.safetensors"
    method = {"kind": "convlista", "filters": 4, "size": 3, "threshold": 0.01}
    settings = {"training": TRAINING, "seed": 1, "threads": 1}
    coding = {"method": method, "dictionary_seed": None}
    run("train_coder.py", coder, settings | coding, dataset=path)
    architecture = {"kind": "sparse_code", "finetune": False}
    longer = {"training": TRAINING | {"epochs": 10}, "architecture": architecture}
    run("train_classifier.py", classifier, settings | longer, dataset=path, coder=coder)
    network, metadata = load_coder(coder)
    assert metadata.extra == {"shape": [1, 8, 8]}
    model, metadata = load_classifier(classifier)
    assert metadata.extra["coder"]["method"] == method
    assert torch.equal(model.synthesis.filters, network.decoder)
    found = predict(model, torch.from_numpy(splits.images("test")))
    assert (found.numpy() == splits.y_test).mean() > 0.9


@pytest.mark.parametrize("stored", [None, "chosen", "all"])
def test_classifier_of_some_of_the_training_images(dataset, tmp_path, stored):
    """As if no others were there, whether they are stored transformed, among others or not."""
    path, splits = dataset
    chosen = {"split": "train", "start": 0, "count": 30, "order": 4}
    index = np.random.default_rng(4).permutation(60)[:30]
    few = tmp_path / "few.safetensors"
    made = make_metadata("dataset", params={}, code="", seed=0)
    kept = Splits(
        splits.x_train[index], splits.y_train[index], splits.x_test, splits.y_test, splits.classes
    )
    save_dataset(few, kept, made)
    settings = {"training": TRAINING, "seed": 1, "threads": 1}
    settings["architecture"] = {"kind": "wideresnet", "depth": 10, "width": 1}
    alone, found = tmp_path / "alone.safetensors", tmp_path / "found.safetensors"
    run("train_classifier.py", alone, settings, dataset=few)
    inputs = {"dataset": path}
    if stored is not None:
        inputs["transformed"] = tmp_path / "transformed.safetensors"
        more = np.random.default_rng(4).permutation(60)[:40]
        rows = splits.x_train if stored == "all" else splits.x_train[more]
        params = {} if stored == "all" else {"images": {**chosen, "count": 40}}
        of = make_metadata("transformed", params=params, code="", seed=0)
        write_slices(inputs["transformed"], {"x_train": rows}, of)
    run("train_classifier.py", found, settings | {"images": chosen}, **inputs)
    one, other = (load_classifier(file)[0].state_dict() for file in (alone, found))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_classifier_with_all_that_a_training_may_be_told(dataset, tmp_path):
    path, splits = dataset
    training = TRAINING | {
        "epochs": 12,
        "schedule": "cosine",
        "warmup": 1.0,
        "label_smoothing": 0.05,
        # Mirrored, left and right would be one.
        "augmentation": {"crop": 1, "flip": False},
    }
    settings = {"training": training, "seed": 1, "threads": 1}
    settings["architecture"] = {"kind": "resnet18", "width": 4}
    larger = Splits(
        *(array if array.ndim == 1 else array.repeat(2, 2).repeat(2, 3)
          for array in (splits.x_train, splits.y_train, splits.x_test, splits.y_test)),
        splits.classes,
    )  # fmt: skip
    save_dataset(path, larger, make_metadata("dataset", params={}, code="", seed=0))
    run("train_classifier.py", tmp_path / "classifier.safetensors", settings, dataset=path)
    model, _ = load_classifier(tmp_path / "classifier.safetensors")
    assert (classes_of(model, larger.x_test) == larger.y_test).mean() > 0.9


def test_coder_of_generated_signals(tmp_path):
    path = tmp_path / "coder.safetensors"
    signals = {"size": 10, "atoms": 20, "sparsity": 2}
    settings = {
        "method": {"kind": "lista", "layers": 3},
        "training": TRAINING,
        "signals": signals,
        "dictionary_seed": 7,
        "seed": 1,
        "threads": 1,
    }
    run("train_coder.py", path, settings)
    network, metadata = load_coder(path)
    assert metadata.params == settings
    assert torch.equal(network.synthesis.matrix, Signals(**signals).dictionary(7))


def test_a_classifier_starts_from_the_weights_and_the_normalisation_of_another(dataset, tmp_path):
    path, splits = dataset
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    settings = {"training": TRAINING, "seed": 1, "threads": 1}
    settings["architecture"] = {"kind": "wideresnet", "depth": 10, "width": 1}
    run("train_classifier.py", first, settings, dataset=path)
    # Darker images: a training of its own would normalise by them.
    darker = Splits(
        splits.x_train // 2, splits.y_train, splits.x_test // 2, splits.y_test, ("a", "b")
    )
    save_dataset(path, darker, make_metadata("dataset", params={}, code="", seed=0))
    slowly = settings | {"training": TRAINING | {"learning_rate": 1e-9}, "seed": 2}
    run("train_classifier.py", second, slowly, dataset=path, start=first)
    ours, theirs = (load_classifier(file)[0].state_dict() for file in (second, first))
    assert torch.equal(ours["normalise.mean"], theirs["normalise.mean"])
    for name, value in ours.items():
        if name.rpartition(".")[2] in ("weight", "bias"):
            torch.testing.assert_close(value, theirs[name], rtol=0, atol=1e-6)
    assert not all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_a_classifier_takes_the_weights_of_a_file_as_they_are(dataset, tmp_path):
    path, _ = dataset
    architecture = {"kind": "wideresnet", "depth": 10, "width": 1}
    model = registry.from_spec("models", architecture).build((1, 8, 8), 2, seed=5)
    tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(tensors, tmp_path / "w.safetensors")
    settings = {"architecture": architecture, "weights": {"path": "w.safetensors"}, "seed": 1}
    settings |= {"directory": str(tmp_path), "threads": 1}
    output = tmp_path / "c.safetensors"
    run("train_classifier.py", output, settings, dataset=path, weights=tmp_path / "w.safetensors")
    found = load_classifier(output)[0].state_dict()
    assert all(torch.equal(value, found[name]) for name, value in model.state_dict().items())


def test_to_note_that_a_defence_learns_nothing_takes_no_torch(tmp_path):
    settings = {"method": {"kind": "jpeg", "quality": 60}, "images": None, "seed": 1, "threads": 1}
    without = "import sys; sys.modules['torch'] = None"
    run("fit_defense.py", tmp_path / "jpeg.npz", settings, without)
    method, learned, metadata = load_defense(tmp_path / "jpeg.npz")
    assert method == JPEG(quality=60) and learned == {} and metadata.params == settings
