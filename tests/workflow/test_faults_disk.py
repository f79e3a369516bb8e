"""Full and read-only disks, damaged artifacts: a message, nothing lost, nothing used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_build import digests, results

from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.stages._points import fit_of
from project import Project

ATTACK = "results/test/frecon2021/attacks/deepfool.npz"


@pytest.fixture
def small_disk(project):
    """The results of a project on a file system of their own, with half a megabyte to spare."""
    folder = results(project)
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.mkdir()
    size = sum(path.stat().st_size + 4096 for path in kept.rglob("*"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size + 2**19}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a file system can't be mounted here: {done.stderr.strip()}")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True, symlinks=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def files(folder: Path) -> dict[str, bytes]:
    """Everything that is built, but logs and what snakemake measures."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in ("logs", "benchmarks")
    }


def fill(folder: Path) -> Path:
    """A file that takes what is left of the disk."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 1):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return path


def test_a_full_disk(project, small_disk, built):
    (project.path / ATTACK).unlink()
    filler = fill(small_disk)
    # No space for anything, then space to begin with.
    for space, expected in ((0, "results/test"), (80 * 2**10, f"attack: {ATTACK}")):
        os.truncate(filler, filler.stat().st_size - space)
        done = project.snakemake(ATTACK, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == 1
        assert f"{expected}: cannot be written: No space left on device" in said
        assert "Traceback" not in said
    filler.unlink()
    project.snakemake()
    assert project.jobs() == set()
    assert digests(project) == digests(built)


@pytest.mark.parametrize("there", [True, False])
def test_a_read_only_disk(project, small_disk, there):
    if not there:
        (project.path / ATTACK).unlink()
    before = files(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = project.snakemake(*(["--forcerun", ATTACK] if there else [ATTACK]), check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    expected = "results/test: cannot be written: Read-only file system"
    assert ("Write-protected output files" if there else expected) in said
    assert "Traceback" not in said
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert files(small_disk) == before


def damage(path: Path, *, cut: bool) -> bytes:
    """Cut a file in half, or flip a bit in its middle, silently: it is as old as before."""
    data, times = path.read_bytes(), path.stat()
    half = len(data) // 2
    damaged = data[:half] if cut else data[:half] + bytes([data[half] ^ 16]) + data[half + 1 :]
    path.write_bytes(damaged)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return damaged


def names(said: str, artifact: Path) -> bool:
    """Whether a run has named an artifact, and the command that rebuilds it."""
    command = f"snakemake --cores all --force {artifact} --config preset=test"
    return bool(re.search(rf"{artifact}: .*Rebuild it with: {re.escape(command)}\n", said))


@pytest.mark.parametrize("cut", [True, False])
def test_damaged_rows_are_named_by_the_figure_that_reads_them(project, cut):
    rows = results(project) / "frecon2021/rows/atoms.csv"
    damaged = damage(rows, cut=cut)
    figure = "results/test/frecon2021/figures/number_of_atoms.csv"
    assert project.jobs("--", figure) == set()
    done = project.snakemake("--forcerun", figure, "--", figure, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said
    assert names(said, rows.relative_to(project.path)) and rows.read_bytes() == damaged


def test_damage_to_an_artifact_of_each_kind_is_named_by_the_job_that_reads_it(
    built_codes, tmp_path
):
    project = Project(tmp_path / "project")
    shutil.copytree(built_codes.path, project.path, symlinks=True)
    paper = results(project) / "weitzner2023"
    plan = Plan(load([project.path / "config.yaml"], {"preset": "test"}))
    fit = fit_of(plan, "weitzner2023", "uap_mnist")
    # What is damaged, and what is asked for that is made from it.
    victims = {
        results(project) / "datasets/photos40.safetensors": "datasets/photos40.png",
        paper / "coders/lista_b.safetensors": "weitzner2023/analyses/signals.npz",
        paper / "classifiers/codes_cifar10.safetensors": (
            "weitzner2023/attacks/targeted_uap_cifar10.npz"
        ),
        paper / "attacks/pgd_linf.npz": "weitzner2023/analyses/change.npz",
        paper / "analyses/correlation_cifar10.npz": "weitzner2023/figures/correlation_cifar10.csv",
        paper / f"dictionaries/{fit}.npz": "weitzner2023/attacks/uap_mnist.npz",
    }
    damaged = {path: damage(path, cut=number % 2) for number, path in enumerate(victims)}
    targets = [f"results/test/{target}" for target in victims.values()]
    assert project.jobs(*targets) == set()
    forced = ["--forcerun", *targets, "--", *targets]
    done = project.snakemake("--keep-going", *forced, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in said
    for path, data in damaged.items():
        assert names(said, path.relative_to(project.path))
        assert path.read_bytes() == data
    # The command that is named, but for the number of cores.
    coder = "results/test/weitzner2023/coders/lista_b.safetensors"
    project.snakemake("--force", coder)
    project.snakemake("results/test/weitzner2023/analyses/signals.npz")
