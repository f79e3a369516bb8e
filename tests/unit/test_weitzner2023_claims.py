"""What the claims of weitzner2023 read, on analyses of a few numbers each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from advsparse.artifacts import make_metadata, write_arrays
from advsparse.errors import ArtifactError
from papers.weitzner2023.found import tables

# Wilson's intervals of hits among 4, at z = 1.959964: (p + z^2/8 ± z sqrt(p(1-p)/4 + z^2/64)) /
# (1 + z^2/4).
INTERVALS = {
    0: (0.0, 0.4898909),
    1: (0.0455873, 0.6993582),
    2: (0.1500390, 0.8499610),
    3: (0.3006418, 0.9544127),
    4: (0.5101092, 1.0),
}
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
CHANGE = {
    "attacks": ["pgd", "da"],
    "mean.pgd": [0, 1],
    "excess.pgd": [0, 2],
    "change.pgd": [0, 3],
    "mean.pgd.noise": [0, 4],
    "excess.pgd.noise": [0, 5],
    "change.pgd.noise": [0, 6],
    "mean.da": [0, 7],
    "excess.da": [0, 8],
    "change.da": [0, 9],
    "mean.da.noise": [1, 0],
    "excess.da.noise": [2, 0],
    "change.da.noise": [3, 0],
}
CORRELATION = {
    "density.learned.attack": [0.5, 0.25, 0.25, 0],
    "density.learned.noise": [0.25] * 4,
    "density.random.attack": [0.75, 0.25],
    "density.random.noise": [1],
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


def test_no_analysis_makes_no_rows(found):
    made = found()
    names = ["errors", "codes", "changes", "densities", "conditions", "accuracies"]
    assert list(made) == names and all(table.empty for table in made.values())


def test_each_table_names_its_analyses_and_the_role_of_their_data(found):
    made = found(
        signals=SIGNALS,
        change=CHANGE,
        correlation_tiny_imagenet=CORRELATION,
        correlation_cifar10=CORRELATION,
        budgets_mnist=BUDGETS,
        budgets_tiny_imagenet=BUDGETS,
    )
    correlations = [
        ("correlation_cifar10", "cifar10"),
        ("correlation_tiny_imagenet", "tiny_imagenet"),
    ]
    expected = {
        "errors": [("signals", "")],
        "codes": [("signals", "")],
        "changes": [("change", "")],
        "densities": correlations,
        "conditions": correlations,
        "accuracies": [("budgets_mnist", "mnist"), ("budgets_tiny_imagenet", "tiny_imagenet")],
    }
    assert {
        name: list(dict.fromkeys(zip(table["data"], table["role"], strict=True)))
        for name, table in made.items()
    } == expected


def test_errors_are_those_of_all_parts_together(found):
    table = found(signals=SIGNALS)["errors"]
    columns = ("coder", "family", "condition", "samples")
    assert rows(table, *columns, "weight") == [
        (*row, pytest.approx(weight, nan_ok=True))
        for weight, *row in [
            (np.nan, "omp_tolerance", "omp", "clean", [21.0, 42.0]),
            (np.nan, "omp_tolerance", "omp", "noise", [0.0, 7.0]),
            (np.nan, "omp_tolerance", "omp", "pgd", [15.0, 15.0]),
            (np.nan, "omp_tolerance", "omp", "da", [18.0, 0.0]),
            (0.05, "lasso_0.05", "lasso", "clean", [3.0, 0.0]),
            (0.05, "lasso_0.05", "lasso", "noise", [6.0, 0.0]),
            (0.05, "lasso_0.05", "lasso", "pgd", [9.0, 0.0]),
            (0.05, "lasso_0.05", "lasso", "da", [12.0, 0.0]),
            (np.nan, "lista_b_wide", "lista", "clean", [0.0, 3.0]),
            (np.nan, "lista_b_wide", "lista", "noise", [0.0, 6.0]),
            (np.nan, "lista_b_wide", "lista", "pgd", [0.0, 9.0]),
            (np.nan, "lista_b_wide", "lista", "da", [0.0, 12.0]),
        ]
    ]


def test_codes_are_told_by_energy_number_and_size_of_their_active_values(found):
    table = found(signals=SIGNALS)["codes"]
    assert rows(table, "perturbation", "what", "samples") == [
        ("pgd", "energy of a code", [25.0, 0.25]),
        ("pgd", "active values of a code", [2.0, 1.0]),
        ("pgd", "size of active values", [3.0, 4.0, 0.5]),
        ("noise", "energy of a code", [0.0, 6.0]),
        ("noise", "active values of a code", [0.0, 3.0]),
        ("noise", "size of active values", [1.0, 1.0, 2.0]),
    ]


def test_changes_are_those_of_each_attack_and_of_noise_as_large(found):
    table = found(change=CHANGE)["changes"]
    mean, excess, entries = (
        "mean change of an image's code",
        "mean change where the clean code is 0",
        "change of the shown image's entries",
    )
    assert rows(table, "attack", "by", "what", "samples") == [
        ("pgd", "attack", mean, [0.0, 1.0]),
        ("pgd", "attack", excess, [0.0, 2.0]),
        ("pgd", "attack", entries, [0.0, 3.0]),
        ("pgd", "noise", mean, [0.0, 4.0]),
        ("pgd", "noise", excess, [0.0, 5.0]),
        ("pgd", "noise", entries, [0.0, 6.0]),
        ("da", "attack", mean, [0.0, 7.0]),
        ("da", "attack", excess, [0.0, 8.0]),
        ("da", "attack", entries, [0.0, 9.0]),
        ("da", "noise", mean, [1.0, 0.0]),
        ("da", "noise", excess, [2.0, 0.0]),
        ("da", "noise", entries, [3.0, 0.0]),
    ]


def test_densities_have_a_mean_of_1(found):
    table = found(correlation_mnist=CORRELATION)["densities"]
    assert rows(table, "dictionary", "by", "samples") == [
        ("learned", "attack", [2.0, 1.0, 1.0, 0.0]),
        ("learned", "noise", [1.0, 1.0, 1.0, 1.0]),
        ("random", "attack", [1.5, 0.5]),
        ("random", "noise", [1.0]),
    ]


def test_conditions_are_orders_of_magnitude_from_the_largest_to_the_smallest(found):
    table = found(correlation_mnist=CORRELATION)["conditions"]
    # 5 divided by the smallest number of all, 2.2e-308, where a sub-matrix is singular.
    singular = np.log10(5 / 2.2250738585072014) + 308
    assert rows(table, "dictionary", "group", "samples") == [
        ("learned", "top", pytest.approx([1.0, 0.0])),
        ("learned", "bottom", pytest.approx([2.0, 0.0])),
        ("learned", "random", pytest.approx([singular] * 2)),
        ("random", "top", pytest.approx([0.0] * 2)),
        ("random", "bottom", pytest.approx([1.0] * 2)),
        ("random", "random", pytest.approx([2.0] * 2)),
    ]


def test_accuracies_are_shares_with_intervals_and_attacks_lose_the_role_of_their_data(found):
    table = found(budgets_mnist=BUDGETS)["accuracies"]
    columns = ("attack", "clamped", "budget", "what", "n", "value", "low", "high")
    assert rows(table, *columns) == [
        (*row, "accuracy", 4, hits / 4, *map(pytest.approx, INTERVALS[hits]))
        for *row, hits in [
            ("none", False, 0.0, 3),
            ("da", False, 0.5, 2),
            ("da", False, 2.0, 0),
            ("da", True, 0.5, 3),
            ("da", True, 2.0, 1),
            ("uap", False, 0.5, 4),
            ("uap", False, 2.0, 2),
            ("uap", True, 0.5, 4),
            ("uap", True, 2.0, 3),
            ("mnist_first", False, 0.5, 0),
            ("mnist_first", False, 2.0, 0),
            ("mnist_first", True, 0.5, 0),
            ("mnist_first", True, 2.0, 1),
        ]
    ]


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
