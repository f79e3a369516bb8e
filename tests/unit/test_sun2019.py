"""The tables of sun2019: from experiments and analyses to claims."""

from __future__ import annotations

from math import isnan

import numpy as np
import pandas as pd
import pytest

from advsparse.artifacts import make_metadata, write_arrays
from advsparse.config.loading import WORKFLOW
from advsparse.evaluate.claims import read_claims
from advsparse.evaluate.judging import judge
from advsparse.evaluate.matching import matching
from papers.sun2019 import found, tables
from papers.sun2019.looks import LOOKS

REFERENCE = WORKFLOW / "papers/sun2019/reference"
PAPER = pd.read_csv(REFERENCE / "accuracies.csv")
CLAIMS = {claim.claim: claim for claim in read_claims(REFERENCE / "claims.yaml")}

FGSM = {"kind": "fgsm", "settings": {"norm": "relative_l2", "eps": 0.08}}
CUT = {"kind": "cw", "settings": {"norm": "l2", "cutoff": 0.03, "extended": False}}
EXACT = {"kind": "adaptive", "settings": {"backward": "exact", "samples": 20}}


@pytest.mark.parametrize(
    ("point", "called"),
    [
        (FGSM, "FGSM-0.08"),
        ({"kind": "fgsm", "settings": {"norm": "linf", "eps": 8 / 255}}, "FGSM, 8 of 255"),
        (CUT, "CW-0.03"),
        ({**CUT, "settings": CUT["settings"] | {"extended": True}}, "CW-0.03, extended"),
        ({"kind": "uap", "settings": {"norm": "relative_l2", "eps": 0.06}}, "UAP-0.06"),
        (EXACT, "adaptive, exact, 20 draws"),
    ],
)
def test_attacks_are_called_by_their_size(point, called):
    assert found.attack_of(point) == called


@pytest.mark.parametrize(
    ("model", "dataset", "defense"),
    [
        ("vgg_imagenet10_128", "imagenet10_128", "none"),
        ("stl_cluster_imagenet10", "imagenet10", "stl_cluster"),
        ("behind_tvm", "imagenet", "tvm"),
        ("resnet_imagenet", "imagenet", "none"),
    ],
)
def test_classifiers_are_called_by_their_defence(model, dataset, defense):
    assert found.defense_of(model, dataset) == defense


def experiment(path, judged, points, dataset="cifar10"):
    """An experiment's samples: {(model, attack): right}."""
    arrays = {f"{model}:{id}:accuracy": np.array(r, bool) for (model, id), r in judged.items()}
    write_arrays(
        path.with_suffix(".npz"), arrays, make_metadata("rows", params={}, code="", seed=0)
    )
    told = {"points": [point | {"id": id} for id, point in points.items()]}
    return found.Judged(str(path), told, dataset)


@pytest.fixture
def static(tmp_path):
    right = {
        "vgg_cifar10": ([1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]),
        "again_cifar10": ([1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 1, 1]),
        "stl_cifar10": ([1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]),
    }
    judged = {
        (model, id): values
        for model, of in right.items()
        for id, values in zip(("none", "fgsm", "cw"), of, strict=True)
    }
    return experiment(tmp_path / "static.csv", judged, {"fgsm": FGSM, "cw": CUT})


def test_the_share_of_a_gain_that_is_non_transfer(static):
    """Gains over the plain network: 1/8 to 1 for STL, to 3/4 for the same network trained again."""
    attacks = ("FGSM-0.08", "CW-0.03")
    share = tables._non_transfer(static, "stl", attacks)
    assert share == pytest.approx((0.75 - 0.125) / (1 - 0.125))
    assert isnan(tables._non_transfer(static, "again", attacks))
    assert isnan(tables._non_transfer(static, "none", attacks))


def test_the_strongest_attack_is_taken_image_by_image(tmp_path):
    judged = {
        ("stl_cifar10", "none"): [1, 1, 1, 1],
        ("stl_cifar10", "a/backward=exact"): [1, 0, 1, 0],
        ("stl_cifar10", "a/backward=identity"): [1, 1, 0, 0],
    }
    points = {
        "a/backward=exact": EXACT,
        "a/backward=identity": {**EXACT, "settings": {"backward": "identity", "samples": 20}},
    }
    seen = experiment(tmp_path / "adapted.csv", judged, points)
    assert seen.strongest("stl").tolist() == [True, False, False, False]
    assert seen.strongest("magnet") is None
    frame = found.frame(list(found.adapted("cifar10", seen)))
    by_attack = frame.set_index("attack")["samples"]
    assert by_attack["adaptive"].tolist() == [True, False, False, False]
    assert by_attack["adaptive, exact"].tolist() == [True, False, True, False]
    assert by_attack["clean"].all()


def test_what_was_not_attacked_has_no_quality(tmp_path):
    arrays = {
        "transforms": np.array(["none", "stl_cifar10"]),
        "label": np.array([0, 1]),
        "distance:fgsm:none": np.array([0.0, 0.1]),
        "psnr:fgsm:stl_cifar10": np.array([np.inf, 30.0]),
    }
    path = tmp_path / "t.npz"
    write_arrays(path, arrays, make_metadata("analysis", params={}, code="", seed=0))
    seen = found.Behind(str(path), {"points": [FGSM | {"id": "fgsm"}]}, "cifar10")
    near = seen.near("psnr", "FGSM-0.08", "stl")
    assert isnan(near[0]) and near[1] == 30
    assert seen.near("psnr", "FGSM-0.04", "stl") is None


def test_the_papers_numbers_are_of_defences_and_attacks_that_are_there():
    assert set(PAPER["dataset"]) == set(found.DATASETS)
    assert set(PAPER["defense"]) <= set(found.DEFENSES)
    assert PAPER["value"].between(0, 1).all()
    places = ["where", "place", "dataset", "defense", "attack"]
    assert not PAPER.duplicated(places).any()
    # Tables 1 and 8 agree in what both have.
    own = PAPER[(PAPER["dataset"] == "cifar10") & (PAPER["place"] == "retrained")]
    both = own.groupby(["defense", "attack"])["value"].nunique()
    assert (both == 1).all()


def test_sizes_of_claims_are_those_of_the_tables():
    """Each part that compares two defences has the difference that a table prints."""
    words = {called: name for name, called in found.DEFENSES.items()}
    sets = {called: name for name, called in found.DATASETS.items()}
    values = {
        (row.place, row.dataset, row.defense, row.attack): row.value for row in PAPER.itertuples()
    }
    checked = 0
    for claim in CLAIMS.values():
        for part in claim.parts:
            if part.reads != "accuracy" or part.size is None:
                continue
            place = part.rows["place"], sets[part.rows["dataset"]]
            one, other = (
                values[(*place, words[side["defense"]], part.rows["attack"])]
                for side in (part.a, part.b)
            )
            assert part.size == pytest.approx(one - other, abs=1e-9)
            assert (part.size > 0) == (part.expects == "above") or part.expects != "above"
            checked += 1
    assert checked > 150


def test_claims_name_what_tables_hold(static):
    """Every defence, dataset and attack that a claim names can be found."""
    attacks = {*PAPER["attack"], "adaptive, exact"}
    for claim in CLAIMS.values():
        for part in claim.parts:
            for side in (part.a, part.b):
                wanted = part.rows | (side if isinstance(side, dict) else {})
                if "defense" in wanted:
                    assert wanted["defense"] in found.DEFENSES.values(), claim.claim
                if "dataset" in wanted:
                    assert wanted["dataset"] in found.DATASETS.values(), claim.claim
                if "attack" in wanted:
                    assert wanted["attack"] in attacks, claim.claim


def test_a_claim_is_judged_on_what_was_found():
    rng = np.random.default_rng(0)
    rows = []
    for defense, rate in (("STL (cluster)", 0.9), ("MagNet", 0.5), ("PixelDefend", 0.5)):
        for attack in ("FGSM-0.08", "FGSM-0.04", "BIM-0.03", "DeepFool-0.03", "CW-0.03"):
            of = {"place": "retrained", "dataset": "CIFAR-10", "failed": None, "called": "c"}
            samples = rng.random(400) < rate
            rows.append(of | {"defense": defense, "attack": attack, "samples": samples})
    run = {"accuracy": found.frame(rows)}
    said = str(judge(CLAIMS["retrained_cifar10"], [run]).verdict)
    assert said.startswith("one run: supported")
    run["accuracy"]["samples"] = run["accuracy"]["samples"].map(lambda right: ~right)
    assert "contradicted" in str(judge(CLAIMS["retrained_cifar10"], [run]).verdict)


def test_what_failed_is_named():
    rows = list(found.gaps("retrained", "imagenet", "there is no ImageNet"))
    table = found.frame(rows)
    assert len(matching(table, {"defense": "STL (cluster)", "dataset": "ImageNet"})) == 1
    judgement = judge(CLAIMS["retrained_imagenet"], [{"accuracy": table}])
    assert "retrained_imagenet failed" in str(judgement.verdict)


def test_each_defence_that_is_drawn_has_a_look_of_its_own():
    assert len({colour for _, colour, _ in LOOKS.values()}) == len(LOOKS)
    drawn = set(LOOKS)
    assert drawn == set(found.DEFENSES) - {"sap", "thermometer", "lid", "resizing", "adversarial"}
