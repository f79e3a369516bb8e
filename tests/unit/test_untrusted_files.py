"""Files from elsewhere: nothing in them is run, and nothing is written where they say."""

from __future__ import annotations

import io
import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from advsparse.artifacts import read_arrays, read_rows, read_tensors, sidecar_path
from advsparse.config.loading import WORKFLOW, load
from advsparse.data.npz import Npz
from advsparse.errors import ArtifactError, ConfigError, DataError
from advsparse.models._checkpoint import Checkpoint
from advsparse.models._io import load_classifier

RUNS_CODE = re.compile(
    r"""
    \b(import|from)\s+_?(c?[Pp]ickle|dill|joblib|shelve|marshal|jsonpickle|cloudpickle)\b
    | torch\.(save|jit\.load|hub)\b | torch\.load\((?!.*weights_only=True)
    | allow_pickle\s*=\s*(?!False)
    | (?<![\w.])(eval|exec|compile|__import__)\(
    | yaml\.(load|load_all|full_load|unsafe_load|FullLoader|UnsafeLoader|Loader)\b
    | \.(extract|extractall|unpack_archive)\(
    | (np|numpy)\.load\((?!.*allow_pickle=False)
    | read_pickle | weights_only\s*=\s*False
    | os\.(system|popen)\b | shell\s*=\s*True
    """,
    re.VERBOSE,
)
JOB = '    exec(compile(Path(script).read_bytes(), script, "exec"), globals())'
"""The fork server's line: it runs the scripts of rules, as Snakemake hands them to Python."""
SOURCES = [WORKFLOW.parent / "Snakefile", *WORKFLOW.rglob("*.py"), *WORKFLOW.rglob("*.smk")]


def test_no_source_could_run_what_a_file_says():
    lines = [line for path in SOURCES for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) > 5000
    assert [line for line in lines if RUNS_CODE.search(line)] == [JOB]


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.hub.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "value = eval(text)",
        "yaml.load(text, yaml.Loader)",
        "archive.extractall(folder)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_what_is_looked_for_would_be_found(line):
    assert RUNS_CODE.search(line)


class Bomb:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.fixture
def bomb(tmp_path):
    """An object whose unpickling would be noticed; checked to be one, and not to have gone off."""
    proof = tmp_path / "proof"
    pickle.loads(pickle.dumps(Bomb(proof)))
    assert proof.exists()
    proof.rmdir()
    yield Bomb(proof)
    assert not proof.exists()


def zipped_array(bomb: Bomb) -> bytes:
    """An .npy of objects, pickled."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([bomb], dtype=object), allow_pickle=True)
    return stream.getvalue()


def torch_checkpoint(bomb: Bomb) -> bytes:
    stream = io.BytesIO()
    torch.save({"model": bomb}, stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["__metadata__", "x_train"])
def test_arrays_of_objects_in_an_artifact(bomb, tmp_path, name):
    path = tmp_path / "d.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for entry in {"__metadata__", name}:
            archive.writestr(f"{entry}.npy", zipped_array(bomb))
    with pytest.raises(ArtifactError, match=r"d\.npz: .*Object arrays cannot be loaded"):
        read_arrays(path)


@pytest.mark.parametrize("name", ["x_train", "y_train", "classes"])
def test_arrays_of_objects_in_a_dataset_of_the_user(bomb, tmp_path, name):
    x, y = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    np.savez(tmp_path / "mine.npz", **arrays | {name: np.array([bomb] * 4, dtype=object)})
    with pytest.raises(DataError, match=rf"mine\.npz: {name}: .*Object arrays cannot be loaded"):
        Npz(path="mine.npz").load(tmp_path)


@pytest.mark.parametrize("make", [pickle.dumps, torch_checkpoint, zipped_array])
def test_pickles_and_torch_checkpoints_under_the_name_of_an_artifact(bomb, tmp_path, make):
    data = make(bomb)
    for name, read in {
        "m.safetensors": read_tensors,
        "c.safetensors": load_classifier,
        "a.npz": read_arrays,
        "r.csv": read_rows,
    }.items():
        path = tmp_path / name
        path.write_bytes(data)
        sidecar_path(path).write_bytes(data)
        with pytest.raises(ArtifactError, match=re.escape(str(path))):
            read(path)
    with pytest.raises(DataError, match=r"a\.npz"):
        Npz(path="a.npz").load(tmp_path)
    model = torch.nn.Linear(1, 1)
    saved = Checkpoint(tmp_path / "m.safetensors", "mine")
    assert saved.resume(model, torch.optim.SGD(model.parameters())) == (0, None)


@pytest.mark.parametrize("tag", ["python/object/apply:os.mkdir", "python/name:os.system", "x"])
def test_yaml_that_names_python_objects(bomb, tmp_path, tag):
    path = tmp_path / "config.yaml"
    path.write_text(f"seed: !!{tag} [{bomb.folder}]\n")
    with pytest.raises(ConfigError, match=r"config\.yaml:1"):
        load([path])


NAMES = ["../x", "/x", "a/b", "..", ".", "x/../../y", "a\\b", "~", "$HOME", "x;y", "x y", ""]
NAMES += ["../presets/demo", "../papers/frecon2021"]  # which are there, seen from a preset or paper


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    [
        "preset: NAME",
        "papers: [NAME]",
        "settings: {NAME: {title: t}}",
        "datasets: {NAME: {kind: digits}}",
        "roles: {mnist: NAME}",
        "settings: {frecon2021: {models: {NAME: {dataset: mnist, architecture: {kind: lenet}}}}}",
        "settings: {frecon2021: {images: {NAME: {count: 1}}}}",
        "settings: {frecon2021: {attacks: {NAME: {method: {kind: fgsm, eps: 0.1}, model: lenet,"
        " images: unseen}}}}",
        "settings: {frecon2021: {experiments: {NAME: [deepfool]}}}",
        "settings: {weitzner2023: {coders: {NAME: {dataset: mnist, method: {kind: lista}}}}}",
        "settings: {frecon2021: {attacks: {fgsm: {grid: {norm: [NAME]}}}}}",
        "settings: {frecon2021: {attacks: {fgsm: {method: {kind: NAME}}}}}",
    ],
)
def test_names_that_would_become_paths(tmp_path, text, name):
    path = tmp_path / "config.yaml"
    path.write_text(text.replace("NAME", f"'{name}'"))
    with pytest.raises(ConfigError, match=r"config\.yaml:1"):
        load([path])
