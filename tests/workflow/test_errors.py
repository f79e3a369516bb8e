"""What a user sees who got something wrong: one message that names the culprit, no traceback."""

from __future__ import annotations

import re

import pytest


def output(project, *arguments: str) -> str:
    done = project.snakemake(*arguments, check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("treads: 2\n", r"config\.yaml:\d+: treads: unknown key 'treads'; did you mean 'threads'"),
        ("settings: {frecon2021: {attacks: {fgsm: {method: {eps: -1}}}}}\n", r"fgsm\.method\.eps"),
        ("settings: {frecon2021: {attacks: {scada: {method: {atoms: 0}}}}}\n", r"method\.atoms"),
        ("roles: {cifar10: photoz}\n", r"no dataset 'photoz'; did you mean 'photos'"),
        ("datasets: [\n", r"config\.yaml:\d+: not valid YAML"),
    ],
)
def test_a_wrong_configuration_ends_before_any_job(sources, text, expected):
    sources.configure(text)
    said = output(sources)
    assert re.search(expected, said), said
    assert "Traceback" not in said and "common.smk" not in said
    assert not (sources.path / "results/test").exists()


def test_a_file_of_configfile_is_read_as_config_yaml_is(sources, tmp_path):
    """And not as Snakemake reads it, to which 12:30:00 is a number and yes is true."""
    own = tmp_path / "own.yaml"
    notes = ("12:30:00", "12:30.5", "2024-05-01", "2024-05-01T12:00:00Z", "yes", "1e")
    entries = [f"  d{i}: {{kind: npz, path: x, note: {n}}}\n" for i, n in enumerate(notes)]
    own.write_text("datasets:\n" + "".join(entries))
    sources.snakemake("--configfile", str(own), "--dry-run", "--quiet", "all")
    for mistakes in (["threads: 010"], ["device: yes", "seed: 1e-3", "threads: 12:30"]):
        own.write_text("\n".join(mistakes))
        said = output(sources, "--configfile", str(own), "--dry-run")
        assert "Traceback" not in said
        for line, mistake in enumerate(mistakes, 1):
            assert f"{own}:{line}: {mistake.partition(':')[0]}: " in said


def test_a_paper_that_does_not_exist(sources):
    said = output(sources, "--config", "papers=[frecon2012]")
    assert "no paper 'frecon2012'; did you mean 'frecon2021'" in said
    assert "Traceback" not in said


def test_a_damaged_artifact_is_named_with_the_way_to_rebuild_it(project):
    path = project.path / "results/test/frecon2021/classifiers/lenet.safetensors"
    data = bytearray(path.read_bytes())
    data[-10] ^= 1
    path.write_bytes(data)
    said = output(project, "--forcerun", "results/test/frecon2021/figures/loss.csv", "run_attack")
    assert "classifiers/lenet.safetensors" in said
    assert "snakemake --cores all --force" in said


def test_a_failed_job_says_why_on_the_terminal_and_in_its_log(sources):
    sources.configure(
        "settings: {frecon2021: {models: {lenet: {training:"
        " {optimizer: sgd, learning_rate: 1.0e+9}}}}}\n"
    )
    said = output(sources, "results/test/frecon2021/classifiers/lenet.safetensors")
    assert re.search(r"classifier: the training loss is (nan|inf) in epoch 1 of 6", said), said
    log = sources.path / "results/test/logs/frecon2021/classifiers/lenet.log"
    assert "lower the learning_rate" in log.read_text()
    assert not (sources.path / "results/test/frecon2021/classifiers/lenet.safetensors").exists()


def test_a_damaged_image_is_named(sources, tmp_path):
    for split in ("train", "test"):
        folder = tmp_path / "mine" / split / "only"
        folder.mkdir(parents=True)
        (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n not really")
    sources.configure(f"datasets: {{mine: {{kind: folder, path: {tmp_path / 'mine'}}}}}\n")
    sources.configure("roles: {cifar10: mine}\n")
    said = output(sources, "results/test/datasets/mine.safetensors")
    assert re.search(r"dataset: .*mine.*broken\.png", said), said


def test_a_target_that_no_rule_makes(sources):
    for name in ("attacks/foo.npz", "classifiers/foo.safetensors", "attacks/scada/lambda1=9.npz"):
        said = output(sources, "--dry-run", f"results/test/frecon2021/{name}")
        assert f"No rule to produce results/test/frecon2021/{name}" in said
        assert "Traceback" not in said and "KeyError" not in said


def test_a_file_in_the_place_of_results(sources):
    (sources.path / "results").mkdir(exist_ok=True)
    (sources.path / "results/test").touch()
    said = output(sources)
    assert "results/test: is not a folder" in said and "Traceback" not in said


def test_what_waits_for_data_that_nobody_can_fetch_says_so_and_the_rest_is_built(sources):
    sources.configure("datasets: {own: {kind: imagenet}}\nroles: {cifar10: own}\n")
    table = "results/test/frecon2021/tables/cost.md"
    waits = "there is no ImageNet with train/<wnid> and val/<wnid> in data/imagenet"
    said = output(sources, table)
    assert waits in said and "put it there" in said and "Traceback" not in said
    said = output(sources, "--keep-going", table, "results/test/datasets/photos.safetensors")
    assert waits in said and "Traceback" not in said
    assert (sources.path / "results/test/datasets/photos.safetensors").exists()
    assert waits.replace("<", "&lt;") in (sources.path / table).read_text()
