"""Entries that stand for several."""

from __future__ import annotations

import pytest

from advsparse.config.expanded import expanded
from advsparse.config.messages import refuse
from advsparse.config.mistakes import Mistake
from advsparse.config.sources import read_yaml
from advsparse.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def tree(text):
        file = tmp_path / "a.yaml"
        file.write_text(text)
        return expanded(read_yaml(file))

    return tree


def test_an_entry_for_each_combination(read):
    tree = read(
        "attacks:\n"
        '  "{kind}_{n}_for_{model}":\n'
        "    for_each: {kind: [pgd], n: [1, 2], model: [a, b]}\n"
        '    method: {kind: "{kind}", steps: "{n}", note: "{n} steps {of} it"}\n'
        '    models: ["{model}", c]\n'
        "  plain: {kind: x}\n"
    )
    assert [*tree.values["attacks"]] == [
        *("pgd_1_for_a", "pgd_1_for_b", "pgd_2_for_a", "pgd_2_for_b", "plain")
    ]
    assert tree.values["attacks"]["pgd_2_for_b"] == {
        "method": {"kind": "pgd", "steps": 2, "note": "2 steps {of} it"},
        "models": ["b", "c"],
    }
    assert not tree.unreadable


def test_entries_within_entries(read):
    tree = read('a: {"{x}": {for_each: {x: [1, 2]}, "{x}_{y}": {for_each: {y: [p, q]}, z: "{x}"}}}')
    assert tree.values == {
        "a": {"1": {"1_p": {"z": 1}, "1_q": {"z": 1}}, "2": {"2_p": {"z": 2}, "2_q": {"z": 2}}}
    }


def test_what_it_comes_from_is_its_place(read):
    tree = read('a:\n  "{x}":\n    for_each: {x: [p, q]}\n    b:\n      - "{x}"\n')
    assert tree.places["a", "q"].line == 2
    assert tree.places["a", "q", "b"].line == 4
    assert tree.places["a", "p", "b", 0].line == 5
    assert not any("{x}" in key for key in tree.places)


def test_a_file_without_is_as_it_was(read, tmp_path):
    tree = read("a: {b: [1, {c: d}], e: '{f}'}")
    plain = read_yaml(tmp_path / "a.yaml")
    assert tree == plain


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a:\n  x: {for_each: {y: [1, 2]}, z: 1}", 2, "a.x is given twice"),
        ('a:\n  "{y}":\n    for_each: [1]', 3, "expected words, each with a list of its values"),
        ('a:\n  "{y}":\n    for_each: {y: 1}', 3, "expected words, each with a list of its values"),
        ('a:\n  "{y}":\n    for_each: {y: []}', 3, "expected words, each with a list"),
        ('a:\n  "{y}":\n    for_each: {y: [[1]]}', 3, "expected words, each with a list"),
    ],
)
def test_what_can_not_be_expanded_is_told(read, text, line, said):
    (wrong,) = read(text).unreadable
    assert wrong.place.line == line and said in wrong.said


def test_what_stands_by_itself_is_laid_over_an_entry(read):
    tree = read(
        'a:\n  "{x}": {for_each: {x: [p, q, r]}, m: {kind: k, n: 1, o: 2}}\n'
        "  p: {m: {n: 3}}\n  q: null\n  r: {m: {kind: other}}\n  s: {}\n"
    )
    assert tree.values["a"] == {
        "p": {"m": {"kind": "k", "n": 3, "o": 2}},
        "r": {"m": {"kind": "other"}},
        "s": {},
    }
    assert tree.places["a", "p", "m", "n"].line == 3
    assert tree.places["a", "p", "m", "o"].line == 2
    assert ("a", "r", "m", "n") not in tree.places


def test_a_mistake_is_told_once_for_all_that_an_entry_stands_for(read):
    tree = read('a:\n  "{x}":\n    for_each: {x: [p, q, r]}\n    b: 1\n    c: 2\n')
    wrong = [Mistake(("a", x, key), "is wrong") for x in "pqr" for key in "bc"]
    with pytest.raises(ConfigError) as refused:
        refuse(tree, wrong)
    first, _, _, other, _, _ = str(refused.value).splitlines()
    more = "is wrong (and of 2 more entries that this one stands for)"
    assert first.endswith(f"a.yaml:4: a.p.b: {more}")
    assert other.endswith(f"a.yaml:5: a.p.c: {more}")
