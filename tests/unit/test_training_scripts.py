"""The scripts that train coders and classifiers of codes, run as the pipeline runs them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from advsparse.artifacts import make_metadata
from advsparse.coding._io import load_coder
from advsparse.coding._signals import Signals
from advsparse.data._base import Splits
from advsparse.data._io import save_dataset
from advsparse.models._io import load_classifier, predict

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


def run(script: str, output: Path, settings: dict, **inputs: Path) -> None:
    job = {
        "input": {name: str(path) for name, path in inputs.items()},
        "output": str(output),
        "settings": settings,
    }
    command = [sys.executable, "-c", RUN, str(WORKFLOW / "scripts" / script), json.dumps(job)]
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
    path = tmp_path / "dataset.npz"
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
