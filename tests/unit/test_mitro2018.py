"""The tables of mitro2018: from what analyses saw to claims and numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from advsparse.artifacts import ROW_COLUMNS, make_metadata, write_arrays, write_rows
from advsparse.config.loading import WORKFLOW
from advsparse.errors import ArtifactError
from advsparse.evaluate.claims import read_claims
from advsparse.evaluate.judging import judge
from advsparse.evaluate.verdicts import Class
from papers.mitro2018 import found, networks, tables
from papers.mitro2018.found import DATASETS, NETWORKS, Seen

FOLDER = WORKFLOW / "papers/mitro2018"
N = 400
POINTS = [
    {"id": "fgsm/eps=0.1", "kind": "fgsm", "settings": {"eps": 0.1, "clamp": False}},
    {"id": "fgsm/clamped", "kind": "fgsm", "settings": {"eps": 0.3, "clamp": True}},
    {"id": "fgsm/eps=0.3", "kind": "fgsm", "settings": {"eps": 0.3, "clamp": False}},
    {"id": "jsma/logits", "kind": "jsma", "settings": {"space": "logits"}},
    {"id": "jsma", "kind": "jsma", "settings": {"space": "probabilities"}},
]
SHARES = {"clean": 0.9, "fgsm/eps=0.3": 0.2, "jsma": 0.4}
ORIGIN = {"dataset": "d", "stand_in": True, "preset": "demo", "note": None}


def analysis(path, name, gain=0.5, shift=0.3):
    """A defence that brings ``gain`` to attacked images and takes 0.1 of clean ones."""
    dataset = name.partition("_")[2]
    transforms = ["none", f"denoiser_{dataset}", f"denoiser_{dataset}:4", f"denoiser_{dataset}:1"]
    transforms += [f"perturbed_{dataset}", f"mean_{dataset}", f"median_{dataset}"]
    label = np.arange(N) % 10
    arrays = {"transforms": np.array(transforms), "label": label, "index": np.arange(N)}
    for source in ("clean", *(point["id"] for point in POINTS)):
        for transform in transforms:
            share = SHARES.get(source, 0.0)
            if transform != "none":
                share = share - 0.1 if source == "clean" else share + gain
            right = np.arange(N) < round(share * N)
            key = f"{source}:{transform}"
            arrays[f"prediction:{key}"] = np.where(right, label, (label + 1) % 10)
            arrays[f"confidence:{key}"] = np.where(right, 0.95, 0.5)
            noise = np.linspace(0, 0.1, N)
            arrays[f"psnr:{key}"] = (20.0 if transform == "none" else 25.0) + noise
            arrays[f"ssim:{key}"] = (0.4 if transform == "none" else 0.6) + noise
        arrays[f"shift:{source}"] = np.full(N, shift)
        arrays[f"prediction:control:{source}:none"] = label
    arrays["psnr:jsma:none"][0] = np.inf
    write_arrays(path, arrays, make_metadata("analysis", params={}, code="", seed=0))
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analyses")
    names = [f"{network}_{dataset}" for dataset in DATASETS for network in NETWORKS]
    return {
        name: analysis(folder / f"{name}.npz", name, shift=0.4 if "mnist" in name else 0.01)
        for name in names
    }


def told(inputs, **more):
    reads = {
        name: {"points": POINTS, "origin": ORIGIN | {"role": name.partition("_")[2]}}
        for name in inputs
    }
    return {"reads": reads, "preset": "demo", "options": {}, "failures": {}} | more


def run_of(inputs):
    return found.tables([Seen(path, POINTS, name) for name, path in inputs.items()], {})


def test_the_papers_points_are_found_among_those_of_the_grids(inputs):
    seen = Seen(inputs["mlp_mnist"], POINTS, "mlp_mnist")
    assert seen.source(found.ATTACKS["FGSM"]) == "fgsm/eps=0.3"
    assert seen.source(found.ATTACKS["JSMA"]) == "jsma"
    assert seen.source({}) == "clean" and seen.source({"kind": "pgd"}) is None
    assert seen.transform("denoiser") == "denoiser_mnist" and seen.transform("none") == "none"
    assert seen.right("clean").mean() == 0.9


def test_an_analysis_is_read_and_nothing_else(tmp_path):
    other = make_metadata("fit", params={}, code="", seed=0)
    write_arrays(tmp_path / "a.npz", {"transforms": np.array(["none"])}, other)
    with pytest.raises(ArtifactError, match="it was written by stage 'fit', not 'analysis'"):
        Seen(tmp_path / "a.npz", POINTS, "mlp_mnist")


def test_what_failed_has_the_rows_of_what_was_seen(inputs):
    seen = Seen(inputs["mlp_mnist"], POINTS, "mlp_mnist")
    run = found.tables([seen], {"hrnn_cifar10": "no memory"})
    kinds = {
        "accuracy": [(images, "accuracy") for images in found.IMAGES],
        "quality": [(i, m) for i in ("perturbed", "denoised") for m in ("PSNR", "SSIM")],
        "shift": [("pixels",)],
    }
    kinds["accuracy"].append(("denoised", "confidence where right"))
    for name, table in run.items():
        columns = ["of"] if name == "shift" else ["images", "measure"]
        read = table[["called", "network", "dataset", "failed", "attack", *columns]]
        read = read.astype(object).where(read.notna(), None)
        assert list(read.itertuples(index=False, name=None)) == [
            (called, *place, attack, *kind)
            for called, *place in (
                ("mlp_mnist", "MLP", "MNIST", None),
                ("hrnn_cifar10", "HRNN", "CIFAR-10", "no memory"),
            )
            for attack in ("FGSM", "JSMA")
            for kind in kinds[name]
        ]


def test_confidence_is_of_what_is_right_once_it_is_denoised(inputs):
    table = run_of({"mlp_mnist": inputs["mlp_mnist"]})["accuracy"]
    of = table[table["measure"] == "confidence where right"].set_index("attack")["samples"]
    for attack, share in (("FGSM", 0.7), ("JSMA", 0.9)):
        expected = np.where(np.arange(N) < round(share * N), 0.95, np.nan)
        np.testing.assert_array_equal(of[attack], expected)


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        ("recovers_fgsm_mnist", Class.DIRECTION),
        ("recovers_jsma_cifar10", Class.DIRECTION),
        ("psnr_rises", Class.SUPPORTED),
        ("ssim_rises", Class.SUPPORTED),
        ("patches_alike", Class.SUPPORTED),
        ("resnet_least", Class.NO_DIFFERENCE),
        ("shift_seen_on_mnist", Class.UNDECIDED),  # one number of one run
        ("any_classifier", Class.CONTRADICTED),
        ("sure", Class.SUPPORTED),
    ],
)
def test_claims_find_their_rows(inputs, claim, expected):
    claims = {one.claim: one for one in read_claims(FOLDER / "reference/claims.yaml")}
    assert judge(claims[claim], [run_of(inputs)]).verdict.kind is expected


def test_what_a_claim_reads_and_failed_is_named(inputs):
    seen = [Seen(path, POINTS, name) for name, path in inputs.items() if name != "hrnn_mnist"]
    run = found.tables(seen, {"hrnn_mnist": "no memory"})
    claims = {one.claim: one for one in read_claims(FOLDER / "reference/claims.yaml")}
    for name in ("recovers_fgsm_mnist", "resnet_least", "psnr_rises", "sure"):
        verdict = judge(claims[name], [run]).verdict
        assert (verdict.kind, str(verdict)) == (Class.FAILED, "not judged: hrnn_mnist failed"), name
    assert judge(claims["recovers_fgsm_cifar10"], [run]).verdict.kind is Class.DIRECTION


def test_sizes_are_what_the_paper_prints():
    printed = pd.read_csv(FOLDER / "reference/accuracies.csv").set_index(
        ["network", "dataset", "attack", "images"]
    )["value"]
    assert len(printed) == 60
    count = 0
    for claim in read_claims(FOLDER / "reference/claims.yaml"):
        for part in claim.parts:
            if part.size is not None:
                place = tuple(part.rows[key] for key in ("network", "dataset", "attack"))
                size = printed[(*place, "denoised")] - printed[(*place, "perturbed")]
                assert part.size == pytest.approx(size, abs=1e-4), place
                count += 1
    assert count == 20


def rows(path, *records):
    frame = pd.DataFrame(
        [dict(zip(("model", "attack", "value"), one, strict=True)) for one in records]
    )
    frame = frame.assign(metric="accuracy").reindex(columns=list(ROW_COLUMNS))
    write_rows(path, frame.astype({"note": str}), make_metadata("rows", params={}, code="", seed=0))
    return path


def test_the_table_puts_the_paper_beside_and_goes_beyond_it(inputs, tmp_path):
    read = dict(inputs)
    read["accuracies"] = FOLDER / "reference/accuracies.csv"
    read["adaptive_mnist"] = rows(
        tmp_path / "a.csv", ("mlp_mnist_behind", "apgd_mlp_mnist", 0.05),
        ("mlp_mnist_behind", "through_mlp_mnist", 0.15),
    )  # fmt: skip
    read["retrained_convnet_mnist"] = rows(
        tmp_path / "b.csv", ("convnet_mnist_retrained", "fgsm/eps=0.1", 0.9),
        ("convnet_mnist_retrained", "fgsm/eps=0.3", 0.7), ("convnet_mnist_retrained", "jsma", 0.8),
    )  # fmt: skip
    settings = told(inputs, options={"attack": "FGSM"})
    settings["reads"]["retrained_convnet_mnist"] = {"points": POINTS}
    frame = tables.accuracies(read, settings)["frame"].set_index(["dataset", "network"])
    mlp, convnet = frame.loc[("MNIST", "MLP")], frame.loc[("MNIST", "ConvNet")]
    assert list(frame.columns[:9]) == [
        "images", "clean, paper", "clean", "perturbed, paper", "perturbed", "denoised, paper",
        "denoised", "denoised, 1", "denoised, 4",
    ]  # fmt: skip
    assert (mlp["clean, paper"], mlp["perturbed, paper"], mlp["denoised, paper"]) == (
        0.9839, 0.128, 0.82
    )  # fmt: skip
    assert (mlp["clean"], mlp["perturbed"], mlp["denoised"]) == (0.9, 0.2, 0.7)
    assert mlp["clean, denoised"] == 0.8 and mlp["random changes"] == 1 and mlp["images"] == N
    assert (mlp["adaptive"], convnet["retrained"]) == (0.05, 0.7)
    assert np.isnan(mlp["threshold"]) and np.isnan(mlp["retrained"])
    settings["options"] = {"attack": "JSMA"}
    frame = tables.accuracies(read, settings)["frame"].set_index(["dataset", "network"])
    assert frame.loc[("MNIST", "MLP"), "adaptive"] == 0.15
    assert frame.loc[("MNIST", "ConvNet"), "retrained"] == 0.8


def test_numbers_are_all_of_both_tables_with_intervals_over_runs(inputs):
    several = {name: [path] * 3 for name, path in inputs.items()}
    settings = told(inputs)
    settings["reads"] = {name: [one] * 3 for name, one in settings["reads"].items()}
    read = several | {"accuracies": FOLDER / "reference/accuracies.csv"}
    frame = tables.numbers(read, settings)["frame"]
    assert len(frame) == 60 and set(frame["runs"]) == {3} and set(frame["n"]) == {N}
    line = frame[frame["quantity"] == "accuracy of ResNet on MNIST, FGSM: denoised"].iloc[0]
    assert (line["paper"], line["reproduced"]) == (0.7427, pytest.approx(0.7))
    claims = tables.claims(
        several | {"claims": FOLDER / "reference/claims.yaml"}, settings
    )["frame"]  # fmt: skip
    assert len(claims) == 11 and "3 runs" in claims["n"].iloc[0]


def test_layers_are_read_off_the_modules():
    frame = networks.layers({}, {})["frame"]
    assert list(frame.columns) == ["MLP", "ConvNet", "AutoEncoder", "ResNet", "HRNN"]
    assert frame.iloc[0].tolist() == [
        "2,962,522 parameters", "964,522 parameters", "154,777 parameters",
        "274,506 parameters", "1,073,674 parameters",
    ]  # fmt: skip
    resnet = [layer for layer in frame["ResNet"] if layer]
    assert resnet[1] == "Conv2D: filters=16, kernel=3"
    assert resnet[4:7] == [f"3 x Residual block: filters={n}" for n in (16, 32, 64)]
    assert [layer for layer in frame["HRNN"] if layer][1:] == [
        "LSTM: units=256, of each row", "LSTM: units=256", "Reshape: 16x16", "LSTM: units=256",
        "Dropout: 0.25", "Dense: 10", "Softmax",
    ]  # fmt: skip
