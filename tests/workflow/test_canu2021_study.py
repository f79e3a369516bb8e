"""A part of canu2021 through the pipeline: certificates, whole and divided, and their check."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from test_build import results

from advsparse.artifacts import read_arrays
from advsparse.config.loading import WORKFLOW
from project import Project, copy_sources

FOLDER = "results/test/canu2021"
TARGETS = [
    f"{FOLDER}/tables/{name}.csv"
    for name in ("certified", "gaps", "formulations", "robustness", "mipverify")
] + [f"{FOLDER}/figures/{name}.csv" for name in ("history", "radii")]
# As long as it takes, so that what is found does not hang on the time.
CONFIGURATION = """
settings:
  canu2021:
    models:
      small: &few {architecture: {hidden: [12]}}
      robust: *few
      deep: {architecture: {hidden: [8, 8]}}
      tiny: {architecture: {hidden: [4]}}
    images:
      certified: {count: 3}
    certificates:
      linf: &long {method: {seconds: 60}}
      l2: *long
      l1: *long
      l0: *long
      robust: *long
      deep: *long
      formulations: *long
      radii: *long
"""


@pytest.fixture(scope="module")
def studied(tmp_path_factory) -> Project:
    """Certificates and what is made of them, built. Not to be changed."""
    project = copy_sources(tmp_path_factory.mktemp("canu"), "canu2021")
    project.configure(CONFIGURATION)
    project.snakemake(*TARGETS)
    return project


def certificate(project, name):
    path = results(project) / f"canu2021/certificates/{name}.npz"
    return read_arrays(path, stage="certificate")


def check(path, *options):
    command = [sys.executable, "-m", "advsparse.certify", "check", str(path), *map(str, options)]
    environment = {"PYTHONPATH": str(WORKFLOW), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize("name", ["linf", "l2", "l1", "l0", "robust", "deep", "pooled"])
def test_certificates_hold_and_are_about_the_trained_network(studied, name):
    folder = results(studied) / "canu2021"
    model = {"robust": "robust", "deep": "deep", "pooled": "pooled"}.get(name, "small")
    classifier = folder / f"classifiers/{model}.safetensors"
    done = check(folder / f"certificates/{name}.npz", "--classifier", classifier)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all of it holds" in done.stdout
    other = folder / f"classifiers/{'small' if model != 'small' else 'robust'}.safetensors"
    wrong = check(folder / f"certificates/{name}.npz", "--classifier", other)
    assert wrong.returncode == 1 and "the network is not that of" in wrong.stdout


def test_no_attack_is_nearer_than_a_certificate(studied):
    for attack, name in (
        ("deepfool_linf", "linf"), ("fab_linf", "linf"), ("deepfool_l2", "l2"), ("jsma_l0", "l0"),
        ("fab_robust", "robust"),
    ):  # fmt: skip
        arrays, _ = certificate(studied, name)
        attacked, _ = read_arrays(
            results(studied) / f"canu2021/attacks/{attack}.npz", stage="attack"
        )
        assert (attacked["index"] == arrays["index"]).all()
        reached = attacked["success"]
        # By the confidence, which a certificate asks for and an attack doesn't.
        least = arrays["lower"] * (1 - 1e-2) - 1e-3
        assert (attacked["distance"][reached] >= least[reached]).all(), attack


def test_tables_say_what_the_certificates_hold(studied):
    table = pd.read_csv(studied.path / TARGETS[0])
    arrays, _ = certificate(studied, "linf")
    own = table[(table["norm"] == "linf") & (table["network"] == "one hidden layer")]
    assert np.allclose(own["lower bound"], arrays["lower"])
    assert np.allclose(own["upper bound"], arrays["upper"])
    assert (own["distance found"] == "yes").all()
    assert set(own["lower bound rests on"]) == {"replayed"}
    pooled = table[table["network"] == "convolution and max-pooling"]
    assert not (pooled["lower bound rests on"] == "replayed").any()
    gaps = pd.read_csv(studied.path / TARGETS[1])
    assert (gaps["median gap"].dropna() > -0.05).all()


def test_mipverifys_example(studied):
    table = pd.read_csv(studied.path / TARGETS[4])
    arrays, _ = certificate(studied, "mipverify")
    assert (table["towards"] == 9).all() and len(table) == 4
    for row, said in enumerate(table["within 0.05"]):
        if said == "yes":
            assert arrays["upper"][row] <= 0.05
        elif said == "no":
            assert arrays["lower"][row] >= 0.05
    own = table["within 0.05"] == "is of that class"
    assert (own == (arrays["prediction"] == 9)).all()


def test_formulations_agree(studied):
    table = pd.read_csv(studied.path / TARGETS[2]).set_index("formulation")
    closed = table[table["closed"] == "1 of 1"]
    assert np.allclose(closed["upper bound / distance"], 1, atol=1e-3)
    assert len(closed) == 5
    below = table.loc["LP relaxation, attack's ball", "lower bound / distance"]
    assert below <= 1 + 1e-6
    radii = pd.read_csv(studied.path / TARGETS[-1])
    arrays, _ = certificate(studied, "radii")
    distance = arrays["upper"][0]
    known = radii[radii["robust"] != 0]
    assert ((known["robust"] == 1) == (known["radius"] < distance)).all()


def test_divided_certificates_are_the_same(studied, tmp_path):
    project = copy_sources(tmp_path, "canu2021")
    project.configure("shards: {certificate: 3}\n" + CONFIGURATION)
    path = f"{FOLDER}/certificates/linf.npz"
    project.snakemake(path)
    whole, metadata = certificate(studied, "linf")
    parts, divided = certificate(project, "linf")
    assert metadata.extra["network_digest"] == divided.extra["network_digest"]
    assert whole.keys() == parts.keys()
    for name in ("index", "label", "prediction", "lower", "upper", "targets", "witness"):
        assert np.array_equal(whole[name], parts[name]), name
    assert check(project.path / path).returncode == 0
