"""The table of attacks that failed or warned."""

from __future__ import annotations

import pandas as pd
import pytest

from advsparse.artifacts import make_metadata, write_arrays
from advsparse.errors import ArtifactError
from advsparse.evaluate.outcomes import warnings_table

ITSELF = (
    "An attack that failed is a gap in figures and tables; one that warned may say more of "
    "itself than of the model's robustness."
)


def attacked(path, *warnings, stage="attack"):
    """An attack's artifact, and what it warned of."""
    extra = {"warnings": list(warnings)}
    write_arrays(path, {}, make_metadata(stage, params={}, code="", seed=0, extra=extra))
    return path


def told(failures, *ids):
    attacks = [{"id": id, "model": f"model of {id}"} for id in ids]
    return {"paper": "a2020", "reads": {"attacks": attacks}, "failures": failures}


def test_attacks_that_failed_or_warned_are_listed_in_the_order_of_the_paper(tmp_path):
    paths = [
        attacked(tmp_path / "a.npz", "gradients vanish", "few queries"),
        attacked(tmp_path / "c.npz"),
        attacked(tmp_path / "e.npz", "stopped early"),
    ]
    failures = {"attacks": {"d": "RuntimeError: no luck", "b": "no classifier"}}
    found = warnings_table({"attacks": paths}, told(failures, "a", "b", "c", "d", "e"))
    expected = [
        ("a", "model of a", "warned", "gradients vanish; few queries"),
        ("b", "model of b", "failed", "no classifier"),
        ("d", "model of d", "failed", "RuntimeError: no luck"),
        ("e", "model of e", "warned", "stopped early"),
    ]
    columns = ["attack", "model", "outcome", "reason"]
    pd.testing.assert_frame_equal(found["frame"], pd.DataFrame(expected, columns=columns))
    assert found["title"] == "a2020: attacks that failed or warned"
    assert found["note"] == f"Of 5 attacks, 2 failed and 2 warned. {ITSELF}"
    assert found.keys() == {"frame", "title", "note"}


def test_where_all_went_well_the_table_is_empty(tmp_path):
    found = warnings_table({"attacks": [attacked(tmp_path / "a.npz")]}, told({}, "a"))
    assert list(found["frame"]) == ["attack", "model", "outcome", "reason"]
    assert len(found["frame"]) == 0
    assert found["note"] == f"Of 1 attacks, none failed and none warned. {ITSELF}"


def test_where_all_failed_there_is_nothing_to_read():
    found = warnings_table({}, told({"attacks": {"a": "out of memory"}}, "a"))
    assert found["frame"].values.tolist() == [["a", "model of a", "failed", "out of memory"]]
    assert found["note"] == f"Of 1 attacks, 1 failed and none warned. {ITSELF}"


def test_an_attack_without_its_file_is_an_error(tmp_path):
    paths = [attacked(tmp_path / "a.npz")]
    with pytest.raises(ValueError, match=r"^zip\(\) argument 2 is shorter than argument 1$"):
        warnings_table({"attacks": paths}, told({}, "a", "b"))


def test_what_is_no_attack_is_refused(tmp_path):
    path = attacked(tmp_path / "a.npz", stage="fit")
    with pytest.raises(ArtifactError, match="it was written by stage 'fit', not 'attack'"):
        warnings_table({"attacks": [path]}, told({}, "a"))
