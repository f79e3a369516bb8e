"""What the workflow says of every job is what it said before.

A change that means to alter it writes tests/golden/ anew (``python tests/golden.py write``), where
a diff shows which jobs it alters, and in what.
"""

from __future__ import annotations

import pytest

from golden import GOLDEN, PAPERS, PRESETS, lines, passes
from project import copy_sources


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return copy_sources(tmp_path_factory.mktemp("golden"), PAPERS).path


@pytest.mark.parametrize("preset", PRESETS)
def test_every_job_is_described_as_before(preset, project):
    found = [line for _, described in passes(project, preset) for line in lines(described)]
    text = (GOLDEN / f"{preset}.txt").read_text()
    known = [line for line in text.splitlines() if not line.startswith("#")]
    assert set(found) - set(known) == set(known) - set(found) == set()
    assert len(found) == len(known) >= 90
