"""Verdicts are as often wrong as they may be, on runs made for it, and say what they rest on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from test_effects import ALPHA, assert_share, tried

from advsparse.evaluate.effects import Effect
from advsparse.evaluate.verdicts import (
    AllOf,
    AnyOf,
    Class,
    Part,
    Verdict,
    discoveries,
    judged,
    over_settings,
)

MARGIN = 0.5


def part(effect, **options):
    return Part(effect, **{"margin": MARGIN} | options)


def numbers(*values, **options):
    """A part whose runs have found a number each."""
    return part(Effect(tuple(np.array([float(v)]) for v in values), "number"), **options)


def simulated(effect, count=5, spread=0.5, times=600, seed=0):
    """Runs that have each found a number, about an effect."""

    def make(rng):
        return tuple(effect + spread * rng.standard_normal((count, 1)))

    return tried(make, "number", times, seed)


# How often each class is wrong.


def test_nothing_is_supported_that_is_not_there():
    kinds = [judged([part(one)]).kind for one in simulated(0.0)]
    assert_share((kind is Class.SUPPORTED for kind in kinds), ALPHA)


def test_an_effect_as_large_as_the_margin_is_seldom_denied():
    kinds = [judged([part(one)]).kind for one in simulated(MARGIN, spread=0.2, seed=1)]
    denied = [kind in (Class.CONTRADICTED, Class.NO_DIFFERENCE) for kind in kinds]
    assert_share(denied, ALPHA, "greater")


@pytest.mark.parametrize(("effect", "kind"), [(1.5, "supported"), (-1.5, "contradicted")])
def test_large_effects_are_seen(effect, kind):
    kinds = [judged([part(one)]).kind for one in simulated(effect, times=200, seed=2)]
    assert_share((found == kind for found in kinds), 0.95, "less")


def test_no_effect_is_called_so_where_the_runs_are_alike():
    kinds = [judged([part(one)]).kind for one in simulated(0.0, spread=0.1, times=200, seed=3)]
    assert_share((found is Class.NO_DIFFERENCE for found in kinds), 0.9, "less")


@pytest.mark.parametrize("effect", [-MARGIN, MARGIN])
def test_what_lies_at_the_margin_is_not_alike(effect):
    found = [judged([part(one, expects="alike")]).kind for one in simulated(effect, spread=0.1)]
    assert_share((kind is Class.SUPPORTED for kind in found), ALPHA)
    assert_share((kind is Class.CONTRADICTED for kind in found), ALPHA)


@pytest.mark.parametrize("expects", ["more", "alike"])
def test_few_images_show_no_likeness(expects):
    """Too few to tell is not: no difference."""
    effect = Effect((np.r_[1.0, -1.0, np.zeros(10)],), "rate")
    found = judged([part(effect, margin=0.05, expects=expects)])
    assert found.kind is Class.UNDECIDED


def test_a_size_is_the_papers_or_it_is_not():
    for effect, kind in ((1.0, Class.SUPPORTED), (4.0, Class.DIRECTION), (1.5, None)):
        made = simulated(effect, spread=0.1, seed=4)
        kinds = [judged([part(one, size=1.0)]).kind for one in made]
        if kind is None:  # at the margin about the size
            assert_share((found is Class.SUPPORTED for found in kinds), ALPHA)
            assert_share((found is Class.DIRECTION for found in kinds), ALPHA)
        else:
            assert set(kinds) == {kind}


def test_of_many_parts_without_an_effect_none_contradicts_too_often():
    """Six parts at no effect; the margin is too small for anything to be shown alike."""
    groups = [[*simulated(0.0, times=400, seed=10 + index)] for index in range(6)]
    kinds = [
        judged([part(one, margin=1e-9) for one in row]).kind for row in zip(*groups, strict=True)
    ]
    assert_share((kind is Class.CONTRADICTED for kind in kinds), ALPHA, "greater")
    assert_share((kind is Class.CONTRADICTED for kind in kinds), 0.6 * ALPHA, "less")


def test_false_discoveries_among_the_claims_of_a_paper_are_few():
    """Of twenty claims ten have an effect, five none and five the other one than is claimed."""
    truths = [1.0] * 10 + [0.0] * 5 + [-1.0] * 5
    shares = []
    for paper in range(60):
        verdicts = []
        for index, effect in enumerate(truths):
            (one,) = simulated(effect, spread=0.6, times=1, seed=1000 + 20 * paper + index)
            verdicts.append(judged([part(one, margin=1e-9)]))
        kinds = [verdict.kind for verdict in discoveries(verdicts)]
        made = [
            (k, t)
            for k, t in zip(kinds, truths, strict=True)
            if k in (Class.SUPPORTED, Class.CONTRADICTED)
        ]
        wrong = [(k is Class.SUPPORTED) != (t > 0) or t == 0 for k, t in made]
        shares.append(np.mean(wrong) if wrong else 0.0)
    assert np.mean(shares) < ALPHA + 3 * np.std(shares) / math.sqrt(len(shares))


def test_a_decision_that_is_one_of_many_may_not_stand():
    verdicts = [Verdict(Class.SUPPORTED, 0.04, 5), *[Verdict(Class.UNDECIDED, runs=5)] * 3]
    found = discoveries(verdicts)
    assert [v.kind for v in found] == [Class.UNDECIDED] * 4 and math.isnan(found[0].p)
    assert [v.kind for v in discoveries(verdicts[:1])] == [Class.SUPPORTED]
    just = [Verdict(Class.SUPPORTED, ALPHA, 5), Verdict(Class.INCOMPARABLE)]
    assert discoveries(just) == just
    sure = [Verdict(Class.CONTRADICTED, 1e-5, 5), *verdicts]
    assert [v.kind for v in discoveries(sure)] == [Class.CONTRADICTED] + [Class.UNDECIDED] * 4
    apart = [*verdicts[:1], Verdict(Class.INCOMPARABLE), Verdict(Class.FAILED, what="cw")]
    assert discoveries(apart) == apart


def test_p_of_a_decision_is_that_of_its_weakest_test_and_a_level_just_met_decides():
    yes, no = numbers(1.0, 1.4, 0.7), numbers(-1.0, -1.4, -0.7)
    sized, other = numbers(1.0, 1.2, 0.9, size=1.0), numbers(2.0, 2.8, 1.5, size=1.2)
    assert other.size_opposition > other.support and sized.size_support > sized.support
    for one, kind, p in (
        (yes, Class.SUPPORTED, yes.support),
        (sized, Class.SUPPORTED, sized.size_support),
        (other, Class.DIRECTION, other.size_opposition),
        (no, Class.CONTRADICTED, no.opposition[Class.CONTRADICTED]),
    ):
        assert judged([one], level=p) == Verdict(kind, p, 3)
        below = judged([one], level=np.nextafter(p, 0))
        assert (below.kind, below.runs, below.needed) == (Class.UNDECIDED, 3, max(4, one.needed()))


def test_what_denies_a_part_is_what_would_contradict_it_by_its_margin():
    effect = Effect(tuple(np.array([v]) for v in (-1.0, 0.5, -1.5)), "number")
    for expects, p in (
        ("more", effect.p("below", MARGIN)),
        ("no_less", effect.p("below", -MARGIN)),
        ("alike", min(effect.p("below", -MARGIN), effect.p("above", MARGIN))),
    ):
        one = part(effect, expects=expects)
        assert AllOf([one]).opposition == AnyOf([one]).opposition == {Class.CONTRADICTED: p}
        # Holm's correction over two parts, one of which nothing speaks against.
        sure = numbers(5.0, 5.1, 4.9)
        assert AllOf([one, sure]).opposition == {Class.CONTRADICTED: pytest.approx(2 * p)}


def test_each_p_against_a_part_is_corrected_by_the_parts_that_are_left():
    same, other = numbers(0.01, -0.01, 0.0), numbers(-1.0, -1.4, -0.7)
    first, second = same.opposition[Class.NO_DIFFERENCE], other.opposition[Class.CONTRADICTED]
    assert 2 * first < second
    assert judged([same, other]) == Verdict(Class.CONTRADICTED, second, 3)
    assert judged([other, same, same]).p == pytest.approx(second)
    assert judged([same, same]).p == pytest.approx(2 * first)
    sure = numbers(5.0, 5.1, 4.9)
    assert AllOf([sure, sure]).opposition == {Class.CONTRADICTED: 1.0}


# What is never done: a tally.


def test_one_part_against_a_claim_outweighs_many_for_it():
    many = [numbers(1.0, 1.1, 0.9) for _ in range(9)]
    assert judged(many).kind is Class.SUPPORTED
    assert judged([*many, numbers(-1.0, -1.1, -0.9)]).kind is Class.CONTRADICTED
    assert judged([*many, numbers(1.0, -1.1, 0.4)]).kind is Class.UNDECIDED


def test_likeness_is_contradicted_on_either_side_of_the_margin():
    p = stats.ttest_1samp([1.0, 1.1, 0.9], MARGIN, alternative="greater").pvalue
    for sign in (-1, 1):
        found = judged([numbers(sign, 1.1 * sign, 0.9 * sign, expects="alike")])
        assert (found.kind, found.p) == (Class.CONTRADICTED, pytest.approx(p))
    assert judged([numbers(0.1, 0.0, -0.1, expects="alike")]).kind is Class.SUPPORTED


# Words.


def test_runs_that_are_each_sure_of_another_thing():
    d = np.r_[np.ones(30), np.zeros(30)]
    both = part(Effect((d, -d, d), "rate"))
    assert judged([both]).kind is Class.RUN
    assert str(judged([both])) == "depends on the run" and judged([both]).runs == 3
    # Each alone allowed for, and a level that is just met.
    weak = np.r_[np.ones(9), -np.ones(2), np.zeros(30)]
    p = Effect((weak,), "rate").p("above")
    either = part(Effect((weak, -weak, weak), "rate"), margin=1e-9)
    assert judged([either], level=3 * p).kind is Class.RUN
    assert judged([either], level=2.9 * p).kind is Class.UNDECIDED
    assert judged([part(Effect((d, d, d - 0.5), "rate"))]).kind is not Class.RUN


def test_fewer_than_three_runs_speak_of_themselves():
    d = np.r_[np.ones(30), np.zeros(30)]
    one, two, three = (judged([part(Effect((d,) * count, "rate"))]) for count in (1, 2, 3))
    assert [str(v) for v in (one, two, three)] == [
        "one run: supported",
        "2 runs: supported",
        "supported",
    ]
    assert [v.counts for v in (one, two, three)] == [False, False, True]


def test_one_number_of_one_run_decides_nothing():
    found = judged([numbers(3.0)])
    assert (found.kind, found.needed, str(found)) == (Class.UNDECIDED, None, "one run: undecided")
    for sign in (1, -1):
        alone, three = numbers(3.0), numbers(sign * 1.0, sign * 1.1, sign * 0.9)
        for parts in ([alone, three], [three, alone]):
            assert (judged(parts).kind is Class.UNDECIDED) == (sign > 0)
            assert math.isfinite(judged(parts).p) == (sign < 0)


def test_undecided_says_how_many_runs_would_do():
    found = judged([numbers(1.0, -0.5, 1.5)])
    assert str(found) == f"undecided (about {found.needed} runs needed)"
    assert 3 < found.needed < 40


def test_more_runs_are_needed_than_were_made_though_a_part_alone_would_need_no_more():
    alone = numbers(0.7, 1.0, 1.3)
    assert judged([alone]).kind is Class.SUPPORTED and alone.needed() == 3
    found = judged([AnyOf([alone] * 4)])
    assert (found.kind, found.needed) == (Class.UNDECIDED, 4)


def test_runs_are_needed_to_tell_the_effect_from_what_would_contradict_it():
    effect = Effect(tuple(np.array([v]) for v in (1.0, -0.5, 1.5)), "number")
    from_none, from_margin = effect.runs_needed(0.0), effect.runs_needed(-MARGIN)
    assert from_none > from_margin > 3
    assert part(effect).needed() == part(effect, expects="alike").needed() == from_none
    assert part(effect, expects="no_less").needed() == from_margin


def test_other_words():
    assert str(Verdict(Class.FAILED, what="cw, fgsm failed")) == "not judged: cw, fgsm failed"
    assert str(Verdict(Class.INCOMPARABLE)) == "not comparable"
    assert str(Verdict(Class.DIRECTION, 0.01, 4)) == "supported in direction, not in size"
    assert str(Verdict(Class.NO_DIFFERENCE, 0.01, 4)) == "contradicted: no difference"


def test_a_setting_that_the_paper_leaves_open():
    yes, no = Verdict(Class.SUPPORTED, 0.01, 5), Verdict(Class.NO_DIFFERENCE, 0.02, 3)
    direction, none = Verdict(Class.DIRECTION, 0.001, 5), Verdict(Class.UNDECIDED, runs=4, needed=9)
    found = over_settings("the budget", {"2": yes, "4": no})
    assert str(found) == "depends on a setting the paper leaves open: the budget"
    assert found.runs == 3
    assert over_settings("the budget", {"2": yes, "4": none}) == none
    assert over_settings("the budget", {"2": yes, "4": direction}) == direction
    assert over_settings("the budget", {"2": yes, "4": Verdict(Class.SUPPORTED, 0.03, 5)}).p == 0.03
    other = Verdict(Class.CONTRADICTED, 0.001, 5)
    found = over_settings("the budget", {"2": no, "4": other})
    assert (found.kind, found.p) == (Class.CONTRADICTED, 0.02)
    assert over_settings("the budget", {"2": no, "4": no}) == no


# Statements of several effects.


def test_all_of_and_any_of_several():
    yes, no, open_ = numbers(1.0, 1.1, 0.9), numbers(-1.0, -1.1, -0.9), numbers(1.0, -1.1, 0.4)
    for statement, kind in (
        (AllOf([yes, yes]), Class.SUPPORTED),
        (AllOf([yes, no]), Class.CONTRADICTED),
        (AllOf([yes, open_]), Class.UNDECIDED),
        (AnyOf([yes, no]), Class.SUPPORTED),
        (AnyOf([no, no]), Class.CONTRADICTED),
        (AnyOf([no, open_]), Class.UNDECIDED),
    ):
        assert judged([statement]).kind is kind
    assert AnyOf([yes, no, no]).support == pytest.approx(3 * yes.support)
    assert AllOf([yes, no]).effects == AnyOf([yes, no]).effects == (yes.effect, no.effect)
    assert AllOf([yes, open_]).needed() == open_.needed() > AnyOf([yes, open_]).needed()
    assert (AnyOf([yes]).size_support, AllOf([yes]).size_opposition) == (0.0, 1.0)
    alone = numbers(1.0)
    assert AnyOf([alone, alone]).needed() is None and AllOf([alone, yes]).needed() is None


def test_one_of_twenty_without_an_effect_is_seldom_the_best():
    groups = [[*simulated(0.0, times=200, seed=50 + index)] for index in range(20)]
    rows = zip(*groups, strict=True)
    kinds = [judged([AnyOf([part(one) for one in row])]).kind for row in rows]
    assert_share((kind is Class.SUPPORTED for kind in kinds), ALPHA, "greater")


def test_what_is_no_less_to_within_the_margin():
    for effect, kind in (
        (-0.2, Class.SUPPORTED),
        (-0.8, Class.CONTRADICTED),
        (3.0, Class.SUPPORTED),
    ):
        kinds = [
            judged([part(one, expects="no_less")]).kind
            for one in simulated(effect, spread=0.1, times=100, seed=6)
        ]
        assert_share((found is kind for found in kinds), 0.95, "less")
    made = [judged([part(one, expects="no_less")]).kind for one in simulated(-MARGIN, seed=7)]
    for kind in (Class.SUPPORTED, Class.CONTRADICTED):
        assert_share((found is kind for found in made), ALPHA)


def test_what_is_denied_is_an_effect_that_would_matter():
    """One that is there, and smaller than the margin, is no denial of a part among several."""
    made = [judged([AnyOf([part(one)] * 2)]).kind for one in simulated(MARGIN, spread=0.2, seed=8)]
    denied = [kind in (Class.CONTRADICTED, Class.NO_DIFFERENCE) for kind in made]
    assert_share(denied, ALPHA, "greater")
