"""What the claims of weitzner2023 read, on analyses of a few numbers each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from advsparse.artifacts import make_metadata, write_arrays
from advsparse.config.loading import WORKFLOW
from advsparse.errors import ArtifactError
from advsparse.evaluate.statistics import proportion
from papers.weitzner2023 import tables as paper
from papers.weitzner2023.found import accuracies, tables

SIGNALS = {
    "coders": ["omp_tolerance", "lasso_0.05", "lista_b_wide"],
    # By coder, condition and part of the error, for two signals.
    "errors": [
        [[[1, 2], [4, 8], [16, 32]], [[0, 1], [0, 2], [0, 4]], [[5, 5]] * 3, [[6, 0]] * 3],
        [[[1, 0]] * 3, [[2, 0]] * 3, [[3, 0]] * 3, [[4, 0]] * 3],
        [[[0, 1]] * 3, [[0, 2]] * 3, [[0, 3]] * 3, [[0, 4]] * 3],
    ],
    "code_pgd": [[3, 0, -4], [0, 0, 0.5]],
    "code_noise": [[0, 0, 0], [-1, 1, 2]],
}
CHANGE = {"attacks": ["pgd", "da"]}
# By kind, for two images: of an attack, of noise, and of noise with its spectrum.
for _number, _attack in enumerate(CHANGE["attacks"]):
    for _kind, _values in {
        "mean": ([3, 1], [2, 2], [4, 4]),
        "excess": ([1, 6], [2, 0], [1, 1]),
        "support": ([9, 3], [3, 2], [6, 2]),
    }.items():
        for _by, _value in zip(("", ".noise", ".spectrum"), _values, strict=True):
            CHANGE[f"{_kind}.{_attack}{_by}"] = [_number + one for one in _value]
CORRELATION = {
    "density.learned.attack": [0.5, 0.25, 0.25, 0],
    "density.learned.noise": [0.2, 0.3, 0.2, 0.3],
    "density.learned.spectrum": [0.4, 0.2, 0.2, 0.2],
    "density.random.attack": [0.75, 0.25],
    "density.random.noise": [0.6, 0.4],
    "density.random.spectrum": [0.5, 0.5 + 1e-6],
    "covariance.learned.attack": [0.25],
    "covariance.learned.noise": [-0.01],
    "covariance.learned.spectrum": [0.04],
    "covariance.random.attack": [0.0],
    "covariance.random.noise": [0.09],
    "covariance.random.spectrum": [0.16],
    # Of two sub-matrices of each group, from the largest to the smallest.
    "singular_values.learned": [
        [[8, 2, 0.8], [9, 1, 9]],
        [[1, 1, 0.01], [3, 3, 3]],
        [[5, 1, 0], [5, 1, 0]],
    ],
    "singular_values.random": [[[2, 1, 2]] * 2, [[20, 1, 2]] * 2, [[2, 1, 0.02]] * 2],
}
BUDGETS = {
    "clean": [1, 1, 0, 1],
    "attacks": ["da_mnist", "uap_tiny_imagenet", "mnist_first"],
    "budgets": [0.5, 2],
    # By attack, whether clamped, and budget, for four images.
    "correct": [
        [[[1, 1, 0, 0], [0, 0, 0, 0]], [[1, 1, 1, 0], [1, 0, 0, 0]]],
        [[[1, 1, 1, 1], [1, 1, 0, 0]], [[1, 1, 1, 1], [0, 1, 1, 1]]],
        [[[0, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 1]]],
    ],
}


@pytest.fixture
def found(tmp_path):
    def found(stage="analysis", **analyses) -> dict[str, pd.DataFrame]:
        """The tables of analyses given by their arrays, whose floats are stored as float32."""
        for name, arrays in analyses.items():
            stored = {
                key: np.array(value, dtype="U" if isinstance(value[0], str) else np.float32)
                for key, value in arrays.items()
            }
            made = make_metadata(stage, params={}, code="", seed=0)
            write_arrays(tmp_path / f"{name}.npz", stored, made)
        return tables({name: tmp_path / f"{name}.npz" for name in analyses})

    return found


def rows(table: pd.DataFrame, *columns: str) -> list[tuple]:
    """The rows as tuples; all columns are named, but for the two which tell of the analysis."""
    assert set(table) == {*columns, "data", "role"}
    table = table.assign(**{
        name: table[name].map(lambda values: [float(value) for value in values])
        for name in {"samples"} & set(columns)
    })  # fmt: skip
    return list(table[list(columns)].itertuples(index=False, name=None))


def test_no_analysis_makes_no_tables(found):
    assert found() == {}


def test_each_table_names_its_analyses_and_the_role_of_their_data(found):
    made = found(
        signals=SIGNALS,
        signals_half=SIGNALS,
        change=CHANGE,
        correlation_tiny_imagenet=CORRELATION,
        correlation_cifar10=CORRELATION,
        budgets_mnist=BUDGETS | {"attacks": ["noise_mnist", "uap_tiny_imagenet", "mnist_first"]},
    )
    made.pop("drops")
    correlations = [
        ("correlation_cifar10", "cifar10"),
        ("correlation_tiny_imagenet", "tiny_imagenet"),
    ]
    expected = {
        "errors": [("signals", ""), ("signals_half", "half")],
        "codes": [("signals", "")],
        "changes": [("change", "")],
        "correlations": correlations,
        "conditions": correlations,
        "curves": [("budgets_mnist", "mnist")],
        "crossed": [("budgets_mnist", "mnist")],
    }
    assert {
        name: list(dict.fromkeys(zip(table["data"], table["role"], strict=True)))
        for name, table in made.items()
    } == expected


TOTALS = {
    ("omp_tolerance", "omp", "clean"): [21.0, 42.0],
    ("omp_tolerance", "omp", "noise"): [0.0, 7.0],
    ("omp_tolerance", "omp", "pgd"): [15.0, 15.0],
    ("omp_tolerance", "omp", "da"): [18.0, 0.0],
    ("lasso_0.05", "lasso", "clean"): [3.0, 0.0],
    ("lasso_0.05", "lasso", "noise"): [6.0, 0.0],
    ("lasso_0.05", "lasso", "pgd"): [9.0, 0.0],
    ("lasso_0.05", "lasso", "da"): [12.0, 0.0],
    ("lista_b_wide", "lista", "clean"): [0.0, 3.0],
    ("lista_b_wide", "lista", "noise"): [0.0, 6.0],
    ("lista_b_wide", "lista", "pgd"): [0.0, 9.0],
    ("lista_b_wide", "lista", "da"): [0.0, 12.0],
}


def test_errors_are_told_as_a_whole_in_parts_and_beyond_those_of_clean_signals(found):
    table = found(signals_half=SIGNALS)["errors"]
    whole = table[table["measure"] == "error"]
    columns = ("coder", "family", "condition", "samples")
    assert {
        row[:3]: row[3] for row in rows(whole.drop(columns=["measure", "weight"]), *columns)
    } == (TOTALS)
    weights = dict(zip(whole["coder"], whole["weight"], strict=True))
    assert weights == pytest.approx(
        {"omp_tolerance": np.nan, "lasso_0.05": 0.05, "lista_b_wide": np.nan}, nan_ok=True
    )
    added = table[table["measure"] == "added error"]
    for row in added.itertuples():
        clean = TOTALS[row.coder, row.family, "clean"]
        total = TOTALS[row.coder, row.family, row.condition]
        assert row.samples.tolist() == [
            one - other for one, other in zip(total, clean, strict=True)
        ]
    part = {"coder": "omp_tolerance", "condition": "clean"}
    own = table[(table[list(part)] == pd.Series(part)).all(axis=1)].set_index("measure")["samples"]
    assert {name: own[name].tolist() for name in ("excess", "missing", "in support")} == {
        "excess": [1.0, 2.0],
        "missing": [4.0, 8.0],
        "in support": [16.0, 32.0],
    }


def test_codes_are_told_by_energy_number_and_mean_size_of_their_active_values(found):
    table = found(signals=SIGNALS)["codes"]
    assert rows(table, "perturbation", "what", "samples") == [
        ("pgd", "energy of a code", [25.0, 0.25]),
        ("pgd", "active values of a code", [2.0, 1.0]),
        ("pgd", "size of active values", [3.5, 0.5]),
        ("noise", "energy of a code", [0.0, 6.0]),
        ("noise", "active values of a code", [0.0, 3.0]),
        ("noise", "size of active values", [0.0, pytest.approx(4 / 3)]),
    ]


def test_changes_are_those_of_each_attack_and_of_noises_as_large(found):
    table = found(change=CHANGE)["changes"]
    found_rows = rows(table[table["attack"] == "pgd"], "attack", "by", "where", "samples")
    assert [row[1:] for row in found_rows] == [
        ("attack", "all", [3.0, 1.0]),
        ("attack", "zeros", [1.0, 6.0]),
        ("attack", "others", [9.0, 3.0]),
        ("attack", "zeros, beside noise", [0.5, pytest.approx(np.nan, nan_ok=True)]),
        ("attack", "others, beside noise", [3.0, 1.5]),
        ("noise", "all", [2.0, 2.0]),
        ("noise", "zeros", [2.0, 0.0]),
        ("noise", "others", [3.0, 2.0]),
        ("noise", "zeros, beside noise", [1.0, pytest.approx(np.nan, nan_ok=True)]),
        ("noise", "others, beside noise", [1.0, 1.0]),
        ("spectrum", "all", [4.0, 4.0]),
        ("spectrum", "zeros", [1.0, 1.0]),
        ("spectrum", "others", [6.0, 2.0]),
        ("spectrum", "zeros, beside noise", [0.5, pytest.approx(np.nan, nan_ok=True)]),
        ("spectrum", "others, beside noise", [2.0, 1.0]),
    ]
    da = rows(table[table["attack"] == "da"], "attack", "by", "where", "samples")
    assert da[0] == ("da", "attack", "all", [4.0, 2.0])
    assert da[3] == ("da", "attack", "zeros, beside noise", [pytest.approx(2 / 3), 7.0])


def test_correlations_are_told_by_spread_kurtosis_and_reach(found):
    table = found(correlation_mnist=CORRELATION)["correlations"]
    made = {row[:3]: row[3] for row in rows(table, "dictionary", "by", "what", "samples")}
    assert {key[:2]: value for key, value in made.items() if key[2] == "spread"} == {
        ("learned", "attack"): [0.5],
        ("learned", "noise"): [pytest.approx(-0.1)],
        ("learned", "spectrum"): [pytest.approx(0.2)],
        ("random", "attack"): [0.0],
        ("random", "noise"): [pytest.approx(0.3)],
        ("random", "spectrum"): [pytest.approx(0.4)],
    }
    # About the mean the attack's density is 1, 0, 0 and -1; noise's two values are equally often.
    assert made["learned", "attack", "kurtosis"] == [pytest.approx(2 - 3)]
    assert made["learned", "noise", "kurtosis"] == [pytest.approx(1 - 3)]
    assert made["learned", "attack", "reach"] == [pytest.approx(0.0)]
    assert made["learned", "noise", "reach"] == [pytest.approx(np.log(0.2))]


def test_conditions_are_orders_of_magnitude_from_the_largest_to_the_smallest(found):
    table = found(correlation_mnist=CORRELATION)["conditions"]
    made = {row[:3]: row[3] for row in rows(table, "dictionary", "group", "what", "samples")}
    # 5 divided by the smallest number of all, 2.2e-308, where a sub-matrix is singular.
    singular = np.log10(5 / 2.2250738585072014) + 308
    assert {key[:2]: value for key, value in made.items() if key[2] == "condition"} == {
        ("learned", "top"): [pytest.approx(0.5)],
        ("learned", "bottom"): [pytest.approx(1.0)],
        ("learned", "random"): [pytest.approx(singular)],
        ("random", "top"): [pytest.approx(0.0)],
        ("random", "bottom"): [pytest.approx(1.0)],
        ("random", "random"): [pytest.approx(2.0)],
    }
    squares = np.mean([[49, 1, 0.04], [64, 0, 64]])
    away = "distance from orthogonal"
    assert made["learned", "top", away] == [pytest.approx(np.sqrt(squares))]
    assert made["random", "top", away] == [pytest.approx(np.sqrt(2 / 3))]


def test_drops_are_of_omp_and_of_what_noise_costs(found):
    errors = [
        *SIGNALS["errors"][:2],
        [[[5, 5]] * 3, [[5, 5]] * 3, [[1, 2], [2, 2], [0, 5]], [[9, 9]] * 3],
    ]
    signals = SIGNALS | {"coders": ["omp_tolerance", "lasso_1", "omp_sparsity"], "errors": errors}
    noise = ["noise_mnist", "uap_mnist", "da_mnist"]
    made = found(signals=signals, budgets_mnist=BUDGETS | {"attacks": noise})["drops"]
    assert {row.what: row.samples.tolist() for row in made.itertuples()} == {
        "half of the fall of OMP's error": [(15 - 3) / 2, (15 - 9) / 2],
        "fall of OMP's excess": [5 - 1, 5 - 2],
        "cost of noise, mnist": [pytest.approx(0.75 - 0.0)],
    }


CURVES = [
    ("none", False, 0.0, [1, 1, 0, 1]),
    ("da", False, 0.5, [1, 1, 0, 0]),
    ("da", False, 2.0, [0, 0, 0, 0]),
    ("da", True, 0.5, [1, 1, 1, 0]),
    ("da", True, 2.0, [1, 0, 0, 0]),
    ("uap", False, 0.5, [1, 1, 1, 1]),
    ("uap", False, 2.0, [1, 1, 0, 0]),
    ("uap", True, 0.5, [1, 1, 1, 1]),
    ("uap", True, 2.0, [0, 1, 1, 1]),
    ("mnist_first", False, 0.5, [0, 0, 0, 0]),
    ("mnist_first", False, 2.0, [0, 0, 0, 0]),
    ("mnist_first", True, 0.5, [0, 0, 0, 0]),
    ("mnist_first", True, 2.0, [0, 0, 0, 1]),
]


def test_curves_hold_each_image_and_attacks_lose_the_role_of_their_data(found, tmp_path):
    noisy = BUDGETS | {"attacks": ["noise_mnist", "uap_tiny_imagenet", "mnist_first"]}
    table = found(budgets_mnist=noisy)["curves"]
    assert rows(table, "attack", "clamped", "budget", "samples") == [
        (attack.replace("da", "noise"), clamped, budget, list(map(float, right)))
        for attack, clamped, budget, right in CURVES
    ]
    shares = accuracies(tmp_path / "budgets_mnist.npz", "budgets_mnist")
    assert set(shares["role"]) == {"mnist"}
    columns = ["attack", "clamped", "budget", "value", "n", "low", "high"]
    assert list(shares[columns].itertuples(index=False, name=None)) == [
        (attack.replace("da", "noise"), clamped, budget, *proportion(np.array(right)))
        for attack, clamped, budget, right in CURVES
    ]


def test_classifiers_of_all_repetitions_judge_where_they_are_crossed(found):
    names = ["noise_mnist", "uap_mnist", "da_mnist"]
    own = found(budgets_mnist=BUDGETS | {"attacks": names})["crossed"]
    columns = ("attack", "classifier", "budget", "samples")
    assert rows(own, *columns) == [
        (attack, 0, budget, list(map(float, by_budget)))
        for attack, correct in zip(("noise", "uap", "da"), BUDGETS["correct"], strict=True)
        for budget, by_budget in zip((0.5, 2.0), correct[0], strict=True)
    ]
    crossed = [[[[1, 0, 0, 0], [0, 0, 0, 0]]] * 3, [[[1, 1, 0, 0], [1, 0, 0, 1]]] * 3]
    both = found(budgets_mnist=BUDGETS | {"attacks": names, "crossed": crossed})["crossed"]
    assert rows(both[both["attack"] == "uap"], *columns) == [
        ("uap", 0, 0.5, [1.0, 0.0, 0.0, 0.0]),
        ("uap", 0, 2.0, [0.0] * 4),
        ("uap", 1, 0.5, [1.0, 1.0, 0.0, 0.0]),
        ("uap", 1, 2.0, [1.0, 0.0, 0.0, 1.0]),
    ]


def test_a_repetition_that_failed_is_named_where_it_is_left_out(found, tmp_path):
    found(signals=SIGNALS)
    path = str(tmp_path / "signals.npz")
    claims = WORKFLOW / "papers/weitzner2023/reference/claims.yaml"
    others = ("signals_half", "change", "correlation_cifar10", "correlation_tiny_imagenet")
    others += ("budgets_mnist", "budgets_cifar10")
    again = ("", ", repetition 1", ", repetition 2")
    settings = {
        "preset": "test",
        "reads": {
            name: [{}, {"repetition": 1}, {"repetition": 2}] for name in ("signals", *others)
        },
        "failures": {name: {name + end: "no luck" for end in again} for name in others}
        | {"signals": {"signals, repetition 1": "no luck"}},
    }
    inputs = {"signals": [path, path], "claims": claims}
    lines = paper.claims(inputs, settings)["frame"].set_index("claim")
    assert lines.at["energy", "n"].endswith(" x 2 runs")
    assert lines.at["energy", "data"] == "synthetic signals; run 1: signals failed"
    assert lines.at["da_mnist", "verdict"] == "not judged: budgets_mnist failed"


def test_what_another_stage_has_written_is_refused(found):
    with pytest.raises(ArtifactError, match="written by stage 'attack', not 'analysis'"):
        found(stage="attack", signals=SIGNALS)


@pytest.mark.parametrize(
    ("name", "arrays", "changed"),
    [
        ("signals", SIGNALS, {"coders": ["lista_a", "lista_b"]}),
        ("signals", SIGNALS, {"errors": np.zeros((3, 3, 3, 2))}),
        ("correlation_mnist", CORRELATION, {"singular_values.random": np.ones((2, 2, 3))}),
        ("budgets_mnist", BUDGETS, {"attacks": ["da", "uap"]}),
        ("budgets_mnist", BUDGETS, {"correct": np.ones((3, 1, 2, 4))}),
        ("budgets_mnist", BUDGETS, {"budgets": [0.5]}),
    ],
    ids=["coders", "conditions", "groups", "attacks", "clamped", "budgets"],
)
def test_arrays_that_do_not_belong_together_are_an_error(found, name, arrays, changed):
    with pytest.raises(ValueError, match=r"zip\(\)"):
        found(**{name: arrays | changed})
