"""Jobs that are divided: the same bytes in one, three or seven parts, and one part that fails."""

from __future__ import annotations

import os
import shutil

import pytest
from test_build import results

from advsparse.artifacts import Slices, read_arrays, read_rows
from project import Project, copy_sources

CONFIGURATION = """
shards: {attack: %d, transformed: %d}
settings:
  frecon2021:
    images:
      many: {split: train, count: 600}
    defenses:
      jpeg: {method: {kind: jpeg}, dataset: mnist}
    models:
      small: {dataset: mnist, architecture: {kind: lenet}, training: {epochs: 1}}
      behind: {dataset: mnist, architecture: {kind: lenet}, training: {epochs: 1}, defense: jpeg}
    attacks:
      quick: {method: {kind: pgd, eps: 0.1, steps: 2}, model: small, images: many}
      few: {method: {kind: fgsm, eps: 0.1}, model: behind, images: unseen}
    experiments:
      divided: [quick, few]
"""
DATASETS = """
datasets:
  digits: {train_per_class: 60}
"""
ROWS = "results/test/frecon2021/rows/divided.csv"


def built(folder, *shards: int) -> Project:
    project = copy_sources(folder)
    project.configure(CONFIGURATION % shards + DATASETS)
    project.snakemake(ROWS)
    return project


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Project:
    """Built with no job divided. Not to be changed."""
    return built(tmp_path_factory.mktemp("whole"), 1, 1)


@pytest.fixture(scope="module")
def divided(tmp_path_factory) -> Project:
    """Built with divided jobs. Not to be changed."""
    return built(tmp_path_factory.mktemp("divided"), 3, 7)


def artifacts(project):
    """What the attack, the transformation and the experiment have made."""
    folder = results(project) / "frecon2021"
    attacked, metadata = read_arrays(folder / "attacks/quick.npz", stage="attack")
    stored = Slices(folder / "transformed/jpeg.safetensors", stage="transformed")
    rows = read_rows(folder / "rows/divided.csv", stage="rows")[0]
    return attacked, metadata, stored, rows


def test_divided_jobs_make_what_one_job_makes(whole, divided):
    one, three = artifacts(whole), artifacts(divided)
    assert list(one[0]) == list(three[0])
    for name, array in one[0].items():
        assert array.tobytes() == three[0][name].tobytes(), name
    assert one[1].payload_sha256 == three[1].payload_sha256
    assert one[1].params == three[1].params
    assert one[2].metadata.payload_sha256 == three[2].metadata.payload_sha256
    assert one[2]["x_train"][:].tobytes() == three[2]["x_train"][:].tobytes()
    assert one[3].equals(three[3])


def test_as_many_jobs_as_lots_are_divided_no_further(divided):
    folder = results(divided) / "frecon2021"
    assert sorted(path.name for path in (folder / "attack_parts/quick").iterdir()) == [
        f"{number}-of-3.npz" for number in (1, 2, 3)
    ]
    # Sixteen images are one lot, and no part.
    assert not (folder / "attack_parts/few").exists()
    assert len(list((folder / "transformed_parts/jpeg").iterdir())) == 7


@pytest.fixture
def copied(divided, tmp_path) -> Project:
    shutil.copytree(divided.path, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_what_a_part_lacks_is_made_alone_and_nothing_for_parts_that_are_joined(copied):
    folder = results(copied) / "frecon2021"
    (folder / "attack_parts/quick/2-of-3.npz").unlink()
    assert not copied.jobs(ROWS)
    (folder / "attacks/quick.npz").unlink()
    (copied.path / ROWS).unlink()
    evaluated = {"evaluate_attacks divided"}
    assert copied.jobs(ROWS) == evaluated | {"run_attack_part quick/2-of-3", "run_attack quick"}
    configuration = copied.path / "config.yaml"
    configuration.write_text(configuration.read_text().replace("transformed: 7", "transformed: 2"))
    assert {"transform_images jpeg", "transform_images_part jpeg/2-of-2"} <= copied.jobs(ROWS)


def test_a_part_that_fails_is_named(copied):
    folder = results(copied) / "frecon2021"
    for made in ("attacks/quick.npz", "attack_parts/quick/2-of-3.npz", "rows/divided.csv"):
        (folder / made).unlink()
    # Training images, which nothing else reads that is missing.
    path = results(copied) / "datasets/digits.safetensors"
    before, data = path.stat(), path.read_bytes()
    image = Slices(path)["x_train"][:1].tobytes()
    path.write_bytes(data.replace(image, bytes(len(image)), 1))
    os.utime(path, (before.st_atime, before.st_mtime))
    done = copied.snakemake("--keep-going", "--", ROWS, check=False)
    said = done.stdout + done.stderr
    assert done.returncode and "FAILED: run_attack_part frecon2021 quick/2-of-3" in said
    assert "by the next run:\n  frecon2021 part 2 of 3 of quick: " in said
    rows = read_rows(folder / "rows/divided.csv", stage="rows")[0]
    failed = rows[rows["metric"] == "failed"].set_index("attack")["note"]
    assert failed["quick"].startswith("because part 2 of 3 of quick failed: ")


def test_what_cannot_be_divided_is_named(sources):
    sources.configure("shards: {attack: 0, experiment: 2}")
    done = sources.snakemake("--dry-run", check=False)
    said = done.stdout + done.stderr
    assert "shards.experiment" in said and "attack, certificate, transformed" in said
    assert "shards.attack" in said
