"""``snakemake fetch``, from a server on this machine."""

from __future__ import annotations

import gzip
import hashlib
import struct

import numpy as np
import pytest
import yaml

from advsparse.data._io import load_dataset
from http_servers import Server, cut, status
from project import Project

LABELS = "mnist/t10k-labels-idx1-ubyte.gz"
DATASET = "results/test/datasets/real.safetensors"


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.tobytes())


@pytest.fixture
def server():
    """Four files in MNIST's form, as a mirror of a data directory has them."""
    rng = np.random.default_rng(0)
    with Server() as server:
        for split, count in (("train", 40), ("t10k", 20)):
            images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            labels = (np.arange(count) % 10).astype(np.uint8)
            server.files[f"/mnist/{split}-images-idx3-ubyte.gz"] = idx(images)
            server.files[f"/mnist/{split}-labels-idx1-ubyte.gz"] = idx(labels)
        yield server


@pytest.fixture
def project(sources, server) -> Project:
    """The project, for which these files are MNIST, and MNIST plays CIFAR-10."""
    path = sources.path / "workflow/advsparse/data/registry.yaml"
    registry = yaml.safe_load(path.read_text())
    for file in registry["mnist"]["files"]:
        data = server.files[f"/mnist/{file['name']}"]
        file |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        del file["unpacked_sha256"]
    registry["mnist"]["addresses"] = [f"{server.url}/official/"]
    path.write_text(yaml.safe_dump(registry))
    sources.edit("config.yaml", "  directory: data", f"  mirrors: [{server.url}]")
    sources.configure("datasets:\n  real: {kind: mnist}\nroles: {cifar10: real}\n")
    return sources


def failing(project: Project, *arguments: str) -> str:
    done = project.snakemake(*arguments, check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    return said


def test_fetched_then_built_without_network(project, server):
    said = failing(project, DATASET)
    for part in (
        "dataset real: MNIST is not in data/mnist",
        LABELS[6:],
        "snakemake --cores 1 fetch",
    ):
        assert part in said
    assert project.jobs(DATASET) == {"make_dataset real"}  # a dry run goes on
    assert server.asked == []
    project.snakemake("fetch")
    assert len(server.asked) == 4
    names = {f"/{path.relative_to(project.path / 'data')}" for path in data_files(project)}
    assert names == server.files.keys()
    # Once more: what is there is looked at, not fetched.
    (project.path / "data" / LABELS).unlink()
    project.snakemake("fetch")
    assert len(server.asked) == 5
    server.files.clear()
    project.snakemake("fetch")
    project.snakemake(DATASET)
    assert len(server.asked) == 5
    splits = load_dataset(project.path / DATASET)
    assert splits.x_train.shape == (40, 1, 28, 28) and splits.y_test.tolist() == [*range(10)] * 2


def data_files(project: Project) -> list:
    return sorted(path for path in (project.path / "data").rglob("*") if path.is_file())


def test_broken_off_then_resumed_by_the_next_run(project, server):
    server.behaviours = [cut(20), status(403), status(403)]  # one mirror, one official address
    target = f"results/test/fetched/{LABELS}"
    said = failing(project, target)
    assert f"data/{LABELS}: could not be downloaded" in said and "answers 403" in said
    assert [path.name for path in data_files(project)] == [f"{LABELS[6:]}.part"]
    assert (project.path / f"data/{LABELS}.part").stat().st_size == 20
    project.snakemake(target)
    assert [path.name for path in data_files(project)] == [LABELS[6:]]
    assert server.ranges[-1] == "bytes=20-"
    log = (project.path / f"results/test/logs/fetched/{LABELS}.log").read_text()
    assert "goes on after 20 of" in log


def test_file_that_is_not_the_published_one(project, server):
    path = project.path / "data" / LABELS
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    found, expected = (
        hashlib.sha256(data).hexdigest() for data in (b"something else", server.files[f"/{LABELS}"])
    )
    said = failing(project, "--keep-going", "fetch")
    assert f"data/{LABELS}: SHA-256 is {found}, expected {expected}: move it away" in said
    assert path.read_bytes() == b"something else"
    assert len(server.asked) == 3
    said = failing(project, DATASET)
    assert f"dataset: data/{LABELS}: SHA-256 is {found}, expected {expected}" in said
    assert path.read_bytes() == b"something else"
    assert not (project.path / DATASET).exists()
    path.rename(path.with_name("away"))
    project.snakemake("fetch")
    project.snakemake(DATASET)


def test_demo_has_nothing_to_fetch(sources):
    assert sources.jobs("fetch") == {"fetch"}
