"""The page on the attacks: in step with the docstrings, which say what they must."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from models_for_tests import CASES, attacked, fitted, setting

from advsparse import registry
from advsparse.attacks._fitting import UniversalAttack
from advsparse.documentation._markdown import COMMAND
from advsparse.documentation.attacks import (
    FAMILIES,
    PAGE,
    attacks_page,
    markdown,
    norms_of,
    sections,
)

KINDS = registry.kinds("attacks")
each_kind = pytest.mark.parametrize("kind", KINDS)
# One norm of each that can be tested by itself.
SINGLE = dict(reversed(CASES))


def test_page_is_in_step_with_the_docstrings():
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != attacks_page():
        pytest.fail(f"{PAGE.name} is out of date; run: {COMMAND}", pytrace=False)


@each_kind
def test_docstring_has_summary_formula_source_cost_and_norms(kind):
    cls = registry.load("attacks", kind)
    text, found = sections(cls)
    summary, _, body = text.partition("\n\n")
    assert len(summary) <= 100 and "\n" not in summary, "one line"
    assert ".. math::" in body
    assert re.search(r"\b(19|20)\d\d[ab]?\b|(frecon|canu|weitzner|mitro|sun)\d{4}", found["Source"])
    assert re.search("gradient|forward pass|attack's", found["Cost"])
    assert "Cost:" not in text and "Source:" not in text, "paragraphs of their own"
    assert norms_of(cls) or kind == "adaptive"
    assert cls.family in FAMILIES
    assert ("Learns" in found) == issubclass(cls, UniversalAttack)


@pytest.mark.parametrize("kind", SINGLE)
def test_trace_and_learned_arrays_are_those_that_the_docstring_names(kind):
    _, found = sections(registry.load("attacks", kind))
    result = attacked(kind, SINGLE[kind])
    assert named(found.get("Trace", "")) == set(result.trace)
    fit = fitted(kind, SINGLE[kind], torch.float64)
    assert named(found.get("Learns", "")) == set(fit.arrays if fit else ())


def named(text):
    return set(re.findall("``(.+?)``", text))


@pytest.mark.parametrize("kind", SINGLE)
def test_what_draws_nothing_does_not_hang_from_the_seed(kind):
    cls = registry.load("attacks", kind)
    assert cls.randomness or torch.equal(
        *(attacked(kind, SINGLE[kind], rng=seed).x for seed in (1, 2))
    )


@pytest.mark.parametrize("kind", sorted(SINGLE.keys() - {"autoattack"}))
def test_what_ignores_targets_returns_the_same_for_any(kind):
    if issubclass(registry.load("attacks", kind), UniversalAttack):
        pytest.skip("what was learned decides")
    model, x, _ = setting(torch.float64)
    with torch.no_grad():
        goals = copy.deepcopy(model).eval()(x).argsort(dim=1)[:, :2].T
    one, other = (attacked(kind, SINGLE[kind], target=goal).x for goal in goals)
    assert torch.equal(one, other) != registry.load("attacks", kind).aims


def test_page_holds_no_markup_of_docstrings_and_all_kinds():
    page = attacks_page()
    assert not re.search(r"``|:\w+:`|\.\. \w+::|~advsparse", page)
    assert page.count("\n$$\n") == 2 * sum(
        sections(registry.load("attacks", kind))[0].count(".. math::") for kind in KINDS
    )
    assert re.findall(r"^## `(\w+)`$", page, re.MULTILINE) == re.findall(r"\]\(#(\w+)\)", page)
    assert set(re.findall(r"^## `(\w+)`$", page, re.MULTILINE)) == set(KINDS)
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    for kind in KINDS:
        for name in registry.load("attacks", kind).__pydantic_fields__:
            assert f"| `{name}` |" in page


def test_docstrings_become_markdown():
    text = (
        "Steps of :class:`~advsparse.attacks.pgd.PGD`, see :meth:`perturb`.\n\n"
        ".. math:: a_1 \\le b,\n          + c\n\n"
        "With :math:`x_i < 1`, ``steps`` and [0, 1] of a*b."
    )
    assert markdown(text) == (
        "Steps of `PGD`, see `perturb`.\n\n"
        "$$\na_1 \\le b, + c\n$$\n\n"
        "With $x_i < 1$, `steps` and \\[0, 1\\] of a\\*b.\n"
    )
