"""The table of every defence against every attack, and curves of accuracy against the budget."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from advsparse.artifacts import ROW_COLUMNS, make_metadata, write_arrays, write_rows
from advsparse.figures.curves import draw_curves
from papers.matrix.tables import matrix

ORIGIN = {"dataset": "photos", "role": "cifar10", "stand_in": True, "preset": "demo", "note": None}
SMALL, LARGE = 0.1, 0.2
FIRST = 30
"""Where in its split the first attacked image stands."""


def point(id, kind, norm="linf", eps=None, wrapped=True):
    settings = {"norm": norm} | ({} if eps is None else {"eps": eps})
    if wrapped:
        return {"id": id, "kind": "adaptive", "settings": settings | {"attack": {"kind": kind}}}
    return {"id": id, "kind": kind, "settings": settings}


CLEAN = {"plain": [1, 1, 1, 0, 1], "shield": [1, 1, 0, 0, 1]}
EXPERIMENTS = {
    "adapted_plain": {
        ("plain", "plain", "pgd_for_plain/eps=0.1"): [1, 1, 1, 0],
        ("plain", "plain", "pgd_for_plain/eps=0.2"): [0, 1, 0, 0],
    },
    "adapted_shield": {
        ("shield", "shield", "pgd_for_shield/eps=0.1"): [1, 1, 1, 0],
        ("shield", "shield", "pgd_for_shield/eps=0.2"): [1, 0, 1, 0],
        ("shield", "shield", "fmn_for_shield"): [0, 0, 0, 0],
    },
    "carried_shield": {
        ("shield", "plain", "pgd_for_plain/eps=0.1"): [1, 1, 1, 1],
        ("shield", "plain", "pgd_for_plain/eps=0.2"): [1, 1, 1, 0],
        ("shield", "again", "fgsm_for_again"): [1, 1, 0, 1],
    },
}
DISTANCES = {"fmn_for_shield": [0.05, 0.3, 0.15, 0.0]}
POINTS = [
    *(point(f"pgd_for_{m}/eps={e}", "pgd", eps=e) for m in CLEAN for e in (SMALL, LARGE)),
    point("fmn_for_shield", "fmn"),
    point("fgsm_for_again", "fgsm", eps=LARGE, wrapped=False),
]


@pytest.fixture
def inputs(tmp_path):
    def write(failed=(), right=EXPERIMENTS, asked=0):
        paths, told = [], []
        for name, judged in right.items():
            rows, samples = [], {}
            for judge in dict.fromkeys(judge for judge, _, _ in judged):
                row = {"model": judge, "attacked": "", "attack": "none"}
                rows.append(row | {"metric": "accuracy", "value": np.mean(CLEAN[judge])})
                samples[f"{judge}:none:accuracy"] = np.array(CLEAN[judge], dtype=bool)
                samples[f"{judge}:none:image"] = asked + np.arange(len(CLEAN[judge]))
            for (judge, attacked, attack), values in judged.items():
                row = {"model": judge, "attacked": attacked, "attack": attack}
                if attack in failed:
                    rows.append(row | {"metric": "failed", "value": 1.0, "note": "no memory"})
                    continue
                rows.append(row | {"metric": "accuracy", "value": np.mean(values)})
                rows.append(row | {"metric": "warnings", "value": 1.0, "note": "it warned"})
                samples[f"{judge}:{attack}:accuracy"] = np.array(values, dtype=bool)
                samples[f"{judge}:{attack}:image"] = FIRST + np.arange(len(values))
                if judge == attacked:
                    distance = np.array(DISTANCES.get(attack, [np.nan] * len(values)))
                    samples[f"{judge}:{attack}:distance"] = distance
            paths.append(tmp_path / f"{name}.csv")
            frame = pd.DataFrame(rows).reindex(columns=list(ROW_COLUMNS)).astype(object)
            timed = {"seconds_per_image": {judge: 0.25 * len(judge) for judge, _, _ in judged}}
            made = make_metadata("rows", params={}, code="", seed=0, extra=timed)
            write_rows(paths[-1], frame.fillna({"note": ""}), made)
            write_arrays(paths[-1].with_suffix(".npz"), samples, made)
            told.append({"points": POINTS, "origin": ORIGIN})
        shown = {"plain": "none", "shield": "a shield", "gone": "another"}
        reads = {"experiments": told}
        options = {"shown": shown, "norm": "linf"}
        settings = {"reads": reads, "options": options, "preset": "demo"}
        reported = tmp_path / "reported.csv"
        reported.write_text("model,accuracy\nshield,0.7\n")
        paths = [str(path) for path in paths]
        return {"experiments": paths, "reported": str(reported)}, settings

    return write


@pytest.fixture
def certified(inputs, tmp_path):
    def write(lower, label, of="shield", **options):
        paths, settings = inputs(**options)
        arrays = {"index": FIRST + np.arange(len(lower)), "prediction": np.zeros(len(lower), int)}
        arrays |= {"label": np.array(label), "lower": np.array(lower)}
        paths["exact"] = str(tmp_path / "exact.npz")
        made = make_metadata("certificate", params={}, code="", seed=0)
        write_arrays(paths["exact"], arrays, made)
        told = {"model": of, "method": {"kind": "nearest", "norm": "linf"}, "origin": ORIGIN}
        settings["reads"]["exact"] = told
        return paths, settings

    return write


def lines(made):
    return made["frame"].set_index(["defence", "budget"])


def test_what_ignores_a_defence_is_told_from_what_is_made_for_it(inputs):
    frame = lines(matrix(*inputs()))
    assert [*frame.index] == [
        (words, eps) for words in ("none", "a shield") for eps in (SMALL, LARGE)
    ]
    none, shield = frame.loc["none"], frame.loc["a shield"]
    assert [*none["clean"]] == [0.8, 0.8] and [*shield["clean"]] == [0.6, 0.6]
    # What is made on the undefended network is made for it.
    assert none[["static", "transferred"]].isna().all(axis=None)
    assert [*none["PGD"]] == [0.75, 0.25]
    assert [*shield["static"]] == [1.0, 0.75] and [*shield["PGD"]] == [0.75, 0.5]
    assert np.isnan(shield["transferred"].iloc[0]) and shield["transferred"].iloc[1] == 0.75


def test_the_nearest_image_counts_within_each_budget_that_it_lies_in(inputs):
    shield = lines(matrix(*inputs())).loc["a shield"]
    # At distances 0.05, 0.3, 0.15 and 0.
    assert [*shield["nearest found"]] == [0.5, 0.25]


def test_what_is_wrong_without_an_attack_withstands_none(inputs):
    """An attack on predictions may leave it alone, or even put it right."""
    shield = lines(matrix(*inputs(asked=FIRST))).loc["a shield"]
    # Of the four images the first two are right as they are.
    assert [*shield["PGD"]] == [0.5, 0.25] and [*shield["nearest found"]] == [0.25, 0.25]
    _, numbers = draw_curves(*inputs(asked=FIRST))
    assert numbers["accuracy"].iloc[0] == 0.5


def test_against_all_is_image_by_image_and_what_fools_within_less_fools(inputs):
    frame, note = matrix(*inputs())["frame"], matrix(*inputs())["note"]
    shield = frame[frame["defence"] == "a shield"].set_index("budget")
    assert shield.loc[SMALL, "against all"] == 0.5
    assert shield.loc[LARGE, "against all"] == 0.0
    assert [*shield["images"]] == [4, 4]
    assert [*shield["reported"]] == [0.7, 0.7] and [*shield["gap"]] == pytest.approx([0.2, 0.7])
    assert frame[frame["defence"] == "none"]["gap"].isna().all()
    # Wilson's interval of two in four.
    z = 1.959964
    width = z * np.sqrt(4 / 64 + z**2 / 64) / (1 + z**2 / 4)
    assert shield.loc[SMALL, "ci_low"] == pytest.approx(0.5 - width, abs=1e-6)
    assert note.endswith("Built on photos, a stand-in for CIFAR-10 with preset demo.")
    assert note.startswith("Here 3 kinds of attacks and 1 defences of the library's ")


def test_seconds_are_shown_but_not_among_what_is_the_same_in_each_run(inputs):
    made = matrix(*inputs())
    assert made["timed"] == ["seconds an image"]
    (seconds,) = {*lines(made).loc["a shield", "seconds an image"]}
    assert seconds == 0.25 * len("shield")


def test_what_failed_is_missing_and_named(inputs):
    made = matrix(*inputs(failed=("pgd_for_shield/eps=0.2",)))
    assert np.isnan(lines(made).loc[("a shield", LARGE), "PGD"])
    assert made["note"].endswith(
        "What is missing has failed: a shield: pgd_for_shield/eps=0.2 (no memory)."
    )


def test_signs_of_a_faulty_evaluation_are_told_in_words(inputs):
    count = 40
    all_right, all_wrong = [1] * count, [0] * count
    right = {
        "adapted_shield": {
            ("shield", "shield", "pgd_for_shield/eps=0.1"): all_wrong,
            ("shield", "shield", "pgd_for_shield/eps=0.2"): all_right,
            ("shield", "shield", "square_for_shield"): all_wrong,
        },
        "carried_shield": {("shield", "plain", "pgd_for_plain/eps=0.2"): all_wrong},
    }
    paths, settings = inputs(right=right)
    for told in settings["reads"]["experiments"]:
        told["points"] = [*POINTS, point("square_for_shield", "square", eps=LARGE)]
    frame = lines(matrix(paths, settings))
    small, large = (frame.loc[("a shield", eps), "warnings"] for eps in (SMALL, LARGE))
    assert small == "PGD: it warned"
    assert large.startswith("PGD: it warned; Square: it warned; ")
    assert "a black-box attack is stronger than all by gradients" in large
    assert "accuracy rises with the budget under PGD" in large
    # Square, which was made for it, is as strong as what ignores it.
    assert "weaker than those that ignore it" not in large


def test_the_nearest_image_of_a_black_box_counts_as_one(inputs, monkeypatch):
    count = 40
    right = {
        "adapted_shield": {
            ("shield", "shield", "pgd_for_shield/eps=0.2"): [1] * count,
            ("shield", "shield", "blind_for_shield"): [0] * count,
        }
    }
    monkeypatch.setitem(DISTANCES, "blind_for_shield", [0.15] * count)
    paths, settings = inputs(right=right)
    (told,) = settings["reads"]["experiments"]
    told["points"] = [*POINTS, point("blind_for_shield", "shrinking_square")]
    (warnings,) = lines(matrix(paths, settings)).loc["a shield", "warnings"]
    assert "a black-box attack is stronger than all by gradients" in warnings
    told["points"] = [*POINTS, point("blind_for_shield", "fmn")]
    (warnings,) = lines(matrix(paths, settings)).loc["a shield", "warnings"]
    assert "black-box" not in warnings


def test_what_is_proven_within_a_budget_is_a_column(certified):
    made = matrix(*certified(lower=[0.15, 0.25, 0.3, 0.05], label=[0, 0, 1, 0]))
    frame = lines(made)
    # The third is misclassified as it is.
    assert [*frame.loc["a shield", "certified"]] == [0.5, 0.25]
    assert frame.loc["none", "certified"].isna().all()
    assert "Certified: of 4 of the images, the share that is proven" in made["note"]
    same = "of those, against all"
    assert [*frame.loc["a shield", same]] == [*frame.loc["a shield", "against all"]]
    # Of the first two images alone: FMN fools the first, and nothing the second within 0.1.
    two = lines(matrix(*certified(lower=[0.0, 0.15], label=[0, 0]))).loc["a shield"]
    assert [*two["certified"]] == [0.5, 0.0] and [*two[same]] == [0.5, 0.0]


@pytest.mark.parametrize(
    ("lower", "label", "caught"),
    [
        # Within 0.1 the last is fooled; FMN finds the first at 0.05, the third at 0.15.
        ([0.0, 0.0, 0.0, 0.15], [0, 0, 0, 0], [["PGD", "FMN"], []]),
        ([0.0, 0.0, 0.14, 0.0], [0, 0, 0, 0], [[], []]),
        ([0.0, 0.0, 0.21, 0.0], [0, 0, 0, 0], [[], ["FMN", "FGSM"]]),
        # Of an image that was misclassified nothing was proven.
        ([0.0, 0.0, 0.0, 0.15], [0, 0, 0, 1], [[], []]),
        # Rounding refutes nothing.
        ([0.0, 0.0, 0.0, 0.1005], [0, 0, 0, 0], [[], []]),
    ],
)
def test_an_attack_that_finds_what_is_proven_not_to_be_there_is_warned_of(
    certified, lower, label, caught
):
    warned = lines(matrix(*certified(lower=lower, label=label))).loc["a shield", "warnings"]
    for words, kinds in zip(warned, caught, strict=True):
        said = [f"{kind} finds what is proven not to be there" for kind in kinds]
        assert [part for part in words.split("; ") if "proven" in part] == said


def test_a_certificate_that_failed_is_named(inputs):
    paths, settings = inputs()
    settings |= {"failures": {"shield": "because it took too long"}}
    settings["reads"]["shield"] = {"model": "shield", "method": {"norm": "linf"}}
    made = matrix(paths, settings)
    assert "certified" not in made["frame"].columns and "Certified" not in made["note"]
    assert made["note"].endswith("a shield: the certificate (because it took too long).")


def test_what_no_line_has_is_no_column(inputs):
    columns = {*matrix(*inputs())["frame"].columns}
    assert {"static", "transferred", "nearest found", "gap"} <= columns
    only = {"adapted_plain": EXPERIMENTS["adapted_plain"]}
    gone = columns - {*matrix(*inputs(right=only))["frame"].columns}
    assert gone >= {"static", "transferred", "nearest found"}


def test_curves_are_those_of_the_distances(inputs):
    figure, numbers = draw_curves(*inputs())
    assert {*numbers["defence"]} == {"a shield"} and {*numbers["attack"]} == {"FMN"}
    distances = np.array(DISTANCES["fmn_for_shield"])
    expected = [(distances > budget).mean() for budget in numbers["budget"]]
    assert [*numbers["accuracy"]] == expected and numbers["accuracy"].iloc[0] == 0.75
    assert sum(ax.get_visible() for ax in figure.axes) == 1
