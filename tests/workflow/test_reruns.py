"""Changes rerun what depends on them, and nothing else: dry runs on a built project."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import subprocess
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from advsparse.data._io import load_dataset
from advsparse.models._io import load_classifier
from advsparse.models.lenet import LeNet

DEEPFOOL = "workflow/advsparse/attacks/deepfool.py"
ROWS_AND_WHAT_READS_THEM = {
    "evaluate_attacks tradeoff",
    "draw_figure tradeoff",
    "draw_figure number_of_atoms",
    "make_table claims",
    "make_table numbers",
    "make_table warnings",
    "write_provenance",
    "write_results_pages",
}
OF_THE_RUN = {"write_provenance", "write_results_pages"}
"""What shows all that is built."""


def test_nothing_to_do_after_a_build(project):
    assert project.jobs() == set()


def test_editing_deepfool_reruns_its_attack_and_uap_which_builds_on_it(project):
    project.edit(DEEPFOOL, "range(limit)", "range(limit + 0)")
    assert project.jobs() == ROWS_AND_WHAT_READS_THEM | {
        "run_attack deepfool",
        # UAP adds DeepFool steps: it imports the module.
        "fit_attack uap",
        "run_attack uap/eps=2",
    }


def test_editing_one_attack_leaves_the_others(project):
    project.edit("workflow/advsparse/attacks/cw.py", "2 * d + per_image", "d + d + per_image")
    assert project.jobs() == ROWS_AND_WHAT_READS_THEM | {"run_attack cw"}


def test_editing_the_base_of_attacks_reruns_all_attacks_and_no_training(project):
    project.edit("workflow/advsparse/threat.py", "0/0, an unchanged", "0/0: an unchanged")
    assert project.jobs() == set()
    project.edit(
        "workflow/advsparse/threat.py",
        "torch.where(numerator == 0, 0.0,",
        "torch.where(numerator <= 0, 0.0,",
    )
    jobs = project.jobs()
    assert {"run_attack deepfool", "run_attack noise/eps=0.1", "fit_attack uap"} <= jobs
    assert not any(job.startswith(("make_dataset", "train_classifier", "draw_d")) for job in jobs)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def cross_boundary(", "# What UAP calls too.\ndef cross_boundary("),
        ('"""DeepFool: the nearest boundary', '"""DeepFool, the nearest boundary'),
        (
            "total = torch.zeros_like(x)",
            "total = torch.zeros_like(\n        x,\n    )",
        ),
    ],
    ids=["comment", "docstring", "formatting"],
)
def test_edits_without_meaning_rerun_nothing(project, old, new):
    project.edit(DEEPFOOL, old, new)
    assert project.jobs() == set()


def test_touching_every_source_reruns_nothing(project):
    for folder, _, names in os.walk(project.path):
        if "/results" in folder or "/.snakemake" in folder:
            continue
        for name in names:
            os.utime(os.path.join(folder, name))  # noqa: PTH118
    assert project.jobs() == set()


def test_a_fresh_clone_with_results_copied_in_reruns_nothing(project, built, tmp_path):
    clone = tmp_path / "elsewhere" / "clone"
    shutil.copytree(
        project.path,
        clone,
        ignore=shutil.ignore_patterns("results", ".snakemake"),
        copy_function=shutil.copy,
    )
    for name in ("results", ".snakemake"):
        subprocess.run(["cp", "-a", str(built.path / name), str(clone)], check=True)
    assert type(project)(clone).jobs() == set()


def test_a_new_lambda1_reruns_scada_and_what_follows(project):
    project.configure(
        "settings: {frecon2021: {attacks: {scada: {grid: {lambda1: [0.05, 0.1]}}}}}\n"
    )
    new = {f"run_attack scada/lambda1=0.05_lambda2={value}" for value in ("0.001", "0.1")}
    assert project.jobs() == ROWS_AND_WHAT_READS_THEM | new | {"fit_attack scada"}


def test_dropping_a_lambda1_learns_nothing_anew(project):
    """What is left, and attacks that share a fit with a point that is gone, keep their fits."""
    project.configure("settings: {frecon2021: {attacks: {scada: {grid: {lambda1: [0.01]}}}}}\n")
    jobs = project.jobs()
    # Figures 1 to 3 now show the point nearest to (0.1, 0.1) of what is left.
    figures = {"draw_figure atoms", "draw_figure examples", "draw_figure loss", "make_table cost"}
    assert jobs == ROWS_AND_WHAT_READS_THEM | figures


def test_a_setting_of_the_coding_learns_no_dictionary(project):
    project.configure(
        "settings: {frecon2021: {attacks: {scada_shortened: {method: {coding_iterations: 6}}}}}\n"
    )
    assert project.jobs() == ROWS_AND_WHAT_READS_THEM | {"run_attack scada_shortened"}


def test_changing_a_figures_code_redraws_the_figures_of_its_module(project):
    project.edit("workflow/papers/frecon2021/plane.py", '"larger dots: more atoms"', '"dots"')
    figures = {"tradeoff", "number_of_atoms"}
    assert project.jobs() == {f"draw_figure {name}" for name in figures} | OF_THE_RUN


def test_an_unused_dataset_reruns_nothing(project):
    project.configure("datasets: {spare: {kind: digits, size: 16}}\n")
    assert project.jobs() <= OF_THE_RUN


def test_deleting_an_intermediate_rebuilds_it_only_where_needed(project):
    results = project.path / "results" / "test" / "frecon2021"
    (results / "attacks" / "cw.npz").unlink()
    assert project.jobs() == set()
    (results / "figures" / "tradeoff.png").unlink()
    assert project.jobs() == {"draw_figure tradeoff"} | OF_THE_RUN
    (results / "rows" / "tradeoff.csv").unlink()
    assert project.jobs() == ROWS_AND_WHAT_READS_THEM | {"run_attack cw"}


def test_a_file_in_a_folder_of_images_rebuilds_the_dataset(sources):
    def image(name, value):
        path = sources.path / "data/mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (28, 28), (value, value, value)).save(path)

    for split, label, i in itertools.product(("train", "test"), ("a", "b"), range(3)):
        image(f"{split}/{label}/{i}.png", 40 * i)
    sources.configure("datasets: {mine: {kind: folder, path: mine}}\nroles: {cifar10: mine}\n")
    target = "results/test/datasets/mine.safetensors"
    sources.snakemake(target)
    assert sources.jobs("--", target) == set()
    (sources.path / "data/mine/train/a/0.png").touch()
    os.utime(sources.path / "data/mine/train/a/0.png", (0, 0))
    assert sources.jobs("--", target) == set()
    image("train/a/3.png", 250)
    assert sources.jobs("--", target) == {"make_dataset mine"}
    sources.snakemake(target)
    assert sources.jobs("--", target) == set()
    (sources.path / "data/mine/test/b/2.png").unlink()
    assert sources.jobs("--", target) == {"make_dataset mine"}
    # Other bytes under the same name, of the same size and with the former time.
    replaced, other = (sources.path / f"data/mine/train/a/{name}.bmp" for name in "xy")
    for path, value in ((replaced, 10), (other, 20)):
        Image.new("RGB", (28, 28), (value, value, value)).save(path)
        os.utime(path, (1e9, 1e9))
    sources.snakemake(target)
    assert sources.jobs("--", target) == set()
    assert replaced.stat().st_size == other.stat().st_size
    shutil.copy2(other, replaced)
    assert sources.jobs("--", target) == {"make_dataset mine"}


@pytest.mark.parametrize("name", ["mine.npz", "mine.zip", "mine.tar"])
def test_a_file_replaced_by_an_older_one_of_the_same_size_rebuilds_the_dataset(sources, name):
    path = sources.path / "data" / name
    path.parent.mkdir(exist_ok=True)
    kind = "npz" if name == "mine.npz" else "folder"
    sources.configure(
        f"datasets: {{mine: {{kind: {kind}, path: {name}}}}}\nroles: {{cifar10: mine}}\n"
    )
    target, sizes = "results/test/datasets/mine.safetensors", []
    for swapped in (False, True):
        _write_dataset(path, swapped)
        os.utime(path, (1.7e9, 1.7e9))
        sizes.append(path.stat().st_size)
        assert sources.jobs("--", target) == {"make_dataset mine"}
        sources.snakemake(target)
        assert sources.jobs("--", target) == set()
        made = load_dataset(sources.path / target)
        assert made.x_train[:][made.y_train == int(swapped)].max() == 10
    assert sizes[0] == sizes[1]


def _write_dataset(path, swapped):
    """Two classes of flat images of grey level 10 and 20; or, swapped, of 20 and 10."""
    levels = (20, 10) if swapped else (10, 20)
    if path.suffix == ".npz":
        x = np.stack([np.full((28, 28, 3), level, np.uint8) for level in levels])
        np.savez(path, x_train=x, y_train=np.arange(2), x_test=x, y_test=np.arange(2))
        return
    files = {}
    for split, (label, level) in itertools.product(
        ("train", "test"), zip("ab", levels, strict=True)
    ):
        stream = io.BytesIO()
        Image.new("RGB", (28, 28), (level,) * 3).save(stream, "BMP")
        files[f"{split}/{label}/1.bmp"] = stream.getvalue()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for entry, data in files.items():
                archive.writestr(entry, data)
        return
    with tarfile.open(path, "w") as archive:
        for entry, data in files.items():
            info = tarfile.TarInfo(entry)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def test_a_classifier_of_a_file_of_weights_waits_for_it_and_follows_its_contents(sources):
    sources.configure("settings: {frecon2021: {models: {lenet: {weights: {path: w}}}}}\n")
    target = "results/test/frecon2021/classifiers/lenet.safetensors"
    done = sources.snakemake("--dry-run", target)
    assert "classifier lenet: there is no data/w, which is to hold its weights" in (
        done.stdout + done.stderr
    )
    failed = sources.snakemake(target, check=False)
    assert failed.returncode != 0 and "there is no data/w" in failed.stdout + failed.stderr
    path, model = sources.path / "data/w", LeNet().build((3, 32, 32), 10)
    path.parent.mkdir(exist_ok=True)
    for level in (0.25, 0.5):
        tensors = {name: torch.full_like(v, level) for name, v in model.state_dict().items()}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        os.utime(path, (1.7e9, 1.7e9))
        assert "train_classifier lenet" in sources.jobs("--", target)
        sources.snakemake(target)
        assert sources.jobs("--", target) == set()
        assert (
            float(load_classifier(sources.path / target)[0].layers[0].weight.detach().mean())
            == level
        )
