"""The looks of methods, which stay with them through all figures."""

from __future__ import annotations

from advsparse import registry
from advsparse.figures.style import LOOKS, decibels, look


def test_every_attack_has_a_look_of_its_own():
    assert set(registry.kinds("attacks")) <= set(LOOKS)
    for part in ("label", "colour", "marker"):
        assert len({getattr(each, part) for each in LOOKS.values()}) == len(LOOKS), part


def test_an_attack_of_the_users_has_the_same_look_in_every_run():
    assert look("grey") == look("grey") and look("grey").label == "grey"


def test_an_image_as_it_was_has_no_quality_to_measure():
    assert decibels(31.46) == "31.5 dB"
    assert decibels(float("inf")) == "as clean"
