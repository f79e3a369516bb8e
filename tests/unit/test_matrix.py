"""The table of defences against attacks that ignore them and attacks made for them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from advsparse.artifacts import ROW_COLUMNS, make_metadata, write_arrays, write_rows
from papers.matrix.tables import defenses

ORIGIN = {"dataset": "photos", "role": "cifar10", "stand_in": True, "preset": "demo", "note": None}
POINTS = {
    "static": [
        {"id": "fgsm/eps=0.1", "kind": "fgsm", "settings": {"eps": 0.1}},
        {"id": "pgd", "kind": "pgd", "settings": {"eps": 0.1}},
    ],
    "adapted": [
        {"id": f"{kind}_shield", "kind": "adaptive", "settings": {"attack": {"kind": kind}}}
        for kind in ("fgsm", "pgd")
    ],
}
CLEAN = {"plain": [1, 1, 1, 0, 1], "shield": [1, 1, 0, 0, 1]}
RIGHT = {
    "static": {
        ("plain", "plain", "fgsm/eps=0.1"): [1, 1, 0, 0],
        ("plain", "plain", "pgd"): [0, 1, 0, 0],
        ("shield", "plain", "fgsm/eps=0.1"): [1, 1, 1, 0],
        ("shield", "plain", "pgd"): [1, 1, 1, 1],
    },
    "adapted": {
        ("shield", "shield", "fgsm_shield"): [0, 1, 1, 1],
        ("shield", "shield", "pgd_shield"): [1, 0, 1, 1],
    },
}


@pytest.fixture
def table(tmp_path):
    def table(failed=(), shown=None):
        inputs = {}
        for name, right in RIGHT.items():
            rows, samples = [], {}

            def add(judge, attacked, attack, values, rows=rows, samples=samples):
                row = {"model": judge, "attacked": attacked, "attack": attack}
                if attack in failed:
                    rows.append(row | {"metric": "failed", "value": 1.0, "note": "no memory"})
                    return
                rows.append(row | {"metric": "accuracy", "value": np.mean(values)})
                rows.append(row | {"metric": "queries", "value": 7})
                samples[f"{judge}:{attack}:accuracy"] = np.array(values, dtype=bool)

            for judge in dict.fromkeys(judge for judge, _, _ in right):
                add(judge, "", "none", CLEAN[judge])
            for (judge, attacked, attack), values in right.items():
                add(judge, attacked, attack, values)
            inputs[name] = tmp_path / f"{name}.csv"
            frame = pd.DataFrame(rows).reindex(columns=list(ROW_COLUMNS)).astype(object)
            made = make_metadata("rows", params={}, code="", seed=0)
            write_rows(inputs[name], frame.fillna({"note": ""}), made)
            write_arrays(inputs[name].with_suffix(".npz"), samples, made)
        reads = {name: {"points": POINTS[name], "origin": ORIGIN} for name in inputs}
        options = {"shown": shown or {"plain": "none", "shield": "a shield"}}
        made = defenses(inputs, {"reads": reads, "options": options, "preset": "demo"})
        return made["frame"].set_index("defence"), made["note"]

    return table


def test_what_ignores_a_defence_is_told_from_what_is_made_for_it(table):
    frame, note = table()
    assert list(frame.index) == ["none", "a shield"]
    columns = [f"{kind}, {how}" for kind in ("FGSM", "PGD") for how in ("static", "adaptive")]
    assert list(frame.columns) == [
        "clean", *columns, "against all", "ci_low", "ci_high", "images"
    ]  # fmt: skip
    none, shield = frame.loc["none"], frame.loc["a shield"]
    assert (none["clean"], shield["clean"]) == (0.8, 0.6)
    # What is made on the undefended network is made for it.
    assert none[["FGSM, static", "PGD, static"]].isna().all()
    assert (none["FGSM, adaptive"], none["PGD, adaptive"]) == (0.5, 0.25)
    assert [shield[column] for column in columns] == [0.75, 0.75, 1.0, 0.75]
    assert note.endswith("Built on photos, a stand-in for CIFAR-10 with preset demo.")


def test_against_all_is_image_by_image_and_not_the_least_share(table):
    frame, _ = table()
    shield = frame.loc["a shield"]
    assert (shield["against all"], shield["images"]) == (0.25, 4)
    assert frame.loc["none", "against all"] == 0.25
    # Wilson's interval of one in four.
    z = 1.959964
    middle, width = (1 / 4 + z**2 / 8) / (1 + z**2 / 4), z * np.sqrt(3 / 64 + z**2 / 64)
    width /= 1 + z**2 / 4
    assert shield["ci_low"] == pytest.approx(middle - width, abs=1e-6)
    assert shield["ci_high"] == pytest.approx(middle + width, abs=1e-6)


def test_what_failed_is_missing_and_named(table):
    frame, note = table(failed=("pgd_shield",), shown={"shield": "a shield", "gone": "another"})
    assert np.isnan(frame.loc["a shield", "PGD, adaptive"])
    assert frame.loc["a shield", "against all"] == 0.5
    assert note.endswith("What is missing has failed: a shield: pgd_shield (no memory).")
    assert frame.loc["another"].drop("images").isna().all() and frame.loc["another", "images"] == 0
