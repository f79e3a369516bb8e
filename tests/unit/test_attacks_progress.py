"""The signs of life that long attacks leave in their logs."""

from __future__ import annotations

import itertools
import logging
import re
from types import SimpleNamespace

import pytest
import torch
from models_for_tests import CASES, build, run, setting

from advsparse.attacks import _progress
from advsparse.attacks._oracle import Oracle

KINDS = dict(CASES)


def every(seconds: float, monkeypatch) -> None:
    """Let ``seconds`` go by between any two passes."""
    clock = itertools.count(1000, seconds)
    monkeypatch.setattr(_progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))


@pytest.mark.filterwarnings("ignore::advsparse.attacks._checks.AttackWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_every_attack_shows_progress_within_a_chunk(kind, monkeypatch, caplog):
    every(11, monkeypatch)
    with caplog.at_level(logging.INFO):
        run(build(kind, KINDS[kind]), *setting(torch.float32))
    assert re.search(r"after \d+ s: up to \d+ passes per image", caplog.text)


def test_lines_are_ten_seconds_apart(monkeypatch, caplog):
    every(1, monkeypatch)
    oracle = Oracle(torch.nn.Flatten(), 4)
    few = oracle.restrict(torch.tensor([1, 2]))
    with caplog.at_level(logging.INFO):
        for _ in range(35):
            few.logits(torch.zeros(2, 1, 2, 2))
    assert [record.message for record in caplog.records] == [
        f"after {n} s: up to {n} passes per image, 2 a second; 2 of 4 images in the last"
        for n in (10, 20, 30)
    ]


def test_each_chunk_is_told_with_all_that_were_fooled_so_far(caplog):
    model, x, y = setting(torch.float32)
    with caplog.at_level(logging.INFO):
        result = build("pgd", "l2")(model, x, y, memory=1)
    fooled = result.success.cumsum(0).tolist()
    assert fooled[0] < fooled[-1]
    said = [one.getMessage() for one in caplog.records if one.name == "advsparse.attacks._calls"]
    assert said == [f"{i + 1} of 7 images attacked, {n} fooled" for i, n in enumerate(fooled)]
