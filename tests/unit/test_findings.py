"""Verdicts on claims."""

import pytest

from advsparse.evaluate.findings import Finding


@pytest.mark.parametrize(
    ("comparisons", "verdict"),
    [
        ((), "can't be judged"),
        ((1, 1), "holds"),
        ((-1,), "does not hold"),
        ((1, -1, 0), "mixed: 1 for, 1 against, 1 within the noise"),
        ((0, 0), "within the noise"),
        ((1, 1, 0), "holds (1 of 3 within the noise)"),
        ((1, 0, 0, 0), "mostly within the noise: 1 for, 0 against of 4"),
    ],
)
def test_a_verdict_says_how_much_speaks_for_it(comparisons, verdict):
    assert Finding("text", comparisons).verdict == verdict


def test_a_claim_is_not_judged_without_its_attacks():
    assert Finding("text", (1,), failed=("uap",)).verdict == "not judged: uap failed"
