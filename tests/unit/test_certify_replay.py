"""What a replay refuses: the checker is only worth something if it says no."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from advsparse.certify._ball import NORMS, Ball
from advsparse.certify._certified import replayed
from advsparse.certify._network import ReluNetwork
from advsparse.certify._proof import BOUND, CLOSE, LINE, SPLIT, Proof
from advsparse.certify._question import Question
from advsparse.certify._replay import (
    Case,
    Refused,
    _bound,
    _first,
    _gamma,
    _State,
    _through,
    margin_at_least,
    replay,
)  # fmt: skip
from advsparse.certify._tree import Effort, answer
from advsparse.certify._witness import nearest_found, shrunk

ALPHA = 1e-4


def network(seed=0, pixels=10, hidden=(24,), classes=3):
    rng = np.random.default_rng(seed)
    sizes = [pixels, *hidden, classes]
    pairs = list(itertools.pairwise(sizes))
    return ReluNetwork(
        tuple(rng.normal(0, 1.5 / np.sqrt(n), (m, n)) for n, m in pairs),
        tuple(rng.normal(0, 0.3, m) for _, m in pairs),
        (None,) * len(hidden),
    )


def proven(norm="linf", hidden=(24,), *, branched=False):
    """A question that is answered with no just below the nearest witness, its proof, and the
    witness' distance."""
    for seed in range(20):
        net = network(seed, hidden=hidden)
        x = np.random.default_rng(seed).uniform(0, 1, net.pixels)
        label, target = (int(k) for k in np.argsort(-net.logits(x[None])[0])[:2])
        question = Question(net, Ball(x, norm, 1.0), label, target, ALPHA)
        a, least = nearest_found(question, np.random.default_rng(0))
        while a is not None:
            radius = least - 1 if norm == "l0" else least * (1 - 1e-4)
            found = answer(question.at(radius), Effort(rounds=2, node_units=4))
            if found.witness is None:
                break
            a, least = shrunk(question, found.witness)
        if a is not None and found.proof is not None and (found.nodes > 1) >= branched:
            return question.at(radius), found.proof, least, a
    raise AssertionError("no seed leads to such a proof")


def case_of(question):
    net, ball = question.network, question.ball
    return Case(
        list(net.weights), list(net.biases), ball.x, ball.norm, ball.radius,
        question.label, question.target, question.confidence,
    )  # fmt: skip


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("hidden", [(24,), (8, 8)])
def test_a_proof_holds_for_its_radius_and_for_none_that_has_a_witness(norm, hidden):
    question, proof, least, _ = proven(norm, hidden)
    assert replayed(question, proof)
    beyond = least if norm == "l0" else least * (1 + 1e-9)
    assert not replayed(question.at(beyond), proof)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_altered_proof_is_taken_where_there_is_a_witness(norm):
    """Whatever the numbers are: the bounds that they lead to are computed anew."""
    question, proof, least, _ = proven(norm, branched=True)
    question = question.at(least * (1 + 1e-9))
    integers, reals = proof.arrays()
    rng = np.random.default_rng(0)
    for _ in range(200):
        changed, values = integers.copy(), reals.copy()
        if rng.random() < 0.5 and len(values):
            rows = rng.integers(len(values), size=rng.integers(1, 6))
            values[rows] = rng.choice([0.0, 1.0, 0.5, 1e6, -1.0, np.nan, np.inf], len(rows))
        else:
            rows = rng.integers(len(changed), size=rng.integers(1, 4))
            changed[rows] = rng.integers(-30, 30, len(rows))
        with pytest.raises(Refused):
            replay(case_of(question), changed, values)


def test_each_part_of_a_tree_is_needed():
    """Of a division, neither side may be left out or closed without a reason."""
    question, proof, _, _ = proven(branched=True)
    integers, reals = proof.arrays()
    assert SPLIT in integers and replayed(question, proof)
    for ended in range(len(integers)):
        with pytest.raises(Refused):
            replay(case_of(question), integers[:ended], reals)
    with pytest.raises(Refused, match="goes on after its end"):
        replay(case_of(question), np.append(integers, CLOSE), reals)
    with pytest.raises(Refused, match="left open"):
        replay(case_of(question), np.array([CLOSE]), np.zeros(0))


@pytest.mark.parametrize(
    ("integers", "reals", "said"),
    [
        ([LINE, 1, 0, 0, CLOSE], [1.5], "a slope is not between 0 and 1"),
        ([LINE, 1, 0, 0, CLOSE], [np.nan], "a slope is not between 0 and 1"),
        ([LINE, 0, 1, 3, CLOSE], [-1.0], "a multiplier is negative, or of a unit that may be"),
        ([LINE, 0, 1, 99, CLOSE], [1.0], "there is no unit 99"),
        ([LINE, 0, 1, -1, CLOSE], [1.0], "there is no unit"),
        ([LINE, 0, 0, BOUND, 1, 1, CLOSE], [-2.0], "a multiplier is negative, or of no line"),
        ([BOUND, 1, 1, CLOSE], [1.0], "a multiplier is negative, or of no line"),
        ([SPLIT, 99], [], "there is no unit 99"),
        ([7], [], "there is no instruction 7"),
        ([], [], "the proof ends early"),
    ],
)
def test_what_makes_no_sense_is_refused(integers, reals, said):
    question, *_ = proven()
    with pytest.raises(Refused, match=said):
        replay(case_of(question), np.array(integers, dtype=int), np.array(reals))


def test_multipliers_of_units_that_may_be_on_or_off_are_refused():
    """h >= 0 is true of a unit that is on, and of no other."""
    question, *_ = proven()
    case = case_of(question)
    proof = Proof()
    nothing = np.zeros(0)
    units = np.arange(24)
    proof.line(units, np.zeros(24), units, np.full(24, 5.0))
    proof.close()
    del nothing
    with pytest.raises(Refused, match="a unit that may be on or off"):
        replay(case, *proof.arrays())


def test_other_weights_images_or_classes_are_other_questions():
    """A proof that is carried over proves nothing, unless it happens to prove that too."""
    question, proof, least, witness = proven()
    net = question.network
    moved = ReluNetwork(
        (net.weights[0], net.weights[1] * np.array([[1.0], [1.3], [0.7]])), net.biases, net.pools
    )
    logits = moved.logits(witness[None])[0]
    for other in (
        Question(moved, question.ball, question.label, question.target, ALPHA),
        Question(net, Ball(witness, "linf", least), question.label, question.target, ALPHA),
    ):
        if replayed(other, proof):  # then it is true
            trials = other.ball.x + np.random.default_rng(0).uniform(
                -other.ball.radius, other.ball.radius, (5000, net.pixels)
            )
            assert (other.margin(np.clip(trials, 0, 1)) < ALPHA).all()
    assert np.isfinite(logits).all()
    at_witness = Question(net, Ball(witness, "linf", 1e-9), question.label, question.target, ALPHA)
    assert not replayed(at_witness, proof)


def test_the_margin_of_a_witness_counts_its_rounding():
    question, _, _, witness = proven()
    case = case_of(question)
    exact = float(question.margin(witness)[0])
    least = margin_at_least(case, witness)
    assert exact - 1e-10 < least < exact
    assert least >= ALPHA


def test_rounding_is_outwards():
    """Bounds of exact integer arithmetic lie within those of the replay: weights and pixels are
    multiples of a power of two, so that the true values are known exactly."""
    rng = np.random.default_rng(3)
    w = rng.integers(-(2**30), 2**30, (6, 40)) / 2**30
    x = rng.integers(0, 2**30, 40) / 2**30
    radius = 3 / 2**10
    case = Case([w, w[:, :6]], [np.zeros(6), np.zeros(6)], x, "linf", radius, 0, 1, 0.0)
    bound = case.largest(w)
    for row, found in zip(w, bound, strict=True):
        low = [max(Fraction(0), Fraction(v) - Fraction(radius)) for v in x]
        high = [min(Fraction(1), Fraction(v) + Fraction(radius)) for v in x]
        pairs = zip(row, low, high, strict=True)
        true = sum(max(Fraction(c) * a, Fraction(c) * b) for c, a, b in pairs)
        assert Fraction(found) >= true and float(Fraction(found) - true) < 1e-11


def slack(n, size):
    """What rounding can do to a sum of n products whose sizes have this sum, twice, and of 16 more
    operations."""
    return 2 * (n + 16) * Fraction(1, 2**53) * size


def exact(array):
    """The numbers of an array as fractions."""
    return [Fraction(float(value)) for value in array]


def dot(first, second):
    return sum((a * b for a, b in zip(first, second, strict=True)), Fraction(0))


def sizes(values):
    return [abs(value) for value in values]


def dyadic(seed, *shape):
    """Numbers with few digits, whose products and sums a float holds exactly."""
    return np.random.default_rng(seed).integers(-8, 9, shape) / 8


def boxed(x, norm, radius, **more):
    return Case([], [np.zeros(1)], np.array(x), norm, radius, 0, 1, 0.0, **more)


def test_the_error_of_a_sum_is_more_than_it_can_be():
    unit = Fraction(1, 2**53)
    for n in (1, 10, 1000, 10**6):
        assert Fraction(_gamma(n)) == slack(n, 1) > 2 * n * unit / (1 - n * unit)


def test_a_ball_in_linf_is_rounded_outwards_and_cut_off_at_the_box():
    x, radius = np.random.default_rng(0).uniform(-1, 1, 200), 0.3
    case = boxed(x, "linf", radius, low=-1.0, high=0.5)
    for value, low, high in zip(exact(x), exact(case.a_low), exact(case.a_high), strict=True):
        down, up = value - Fraction(radius), value + Fraction(radius)
        assert low == -1 if down < -1 else down - Fraction(1, 2**51) < low < down
        assert high == Fraction(1, 2) if up > 0.5 else up < high < up + Fraction(1, 2**51)
    assert (case.a_size == np.maximum(np.abs(case.a_low), np.abs(case.a_high))).all()


@pytest.mark.parametrize("norm", ["l2", "l1", "l0"])
def test_other_balls_have_the_box_for_their_bounds(norm):
    case = boxed([0.0, 0.25, -1.0], norm, 0.1, low=-1.0, high=0.5)
    assert (case.a_low == -1).all() and (case.a_high == 0.5).all() and (case.a_size == 1).all()


def test_the_largest_of_linf_is_that_of_its_corners():
    case = boxed(np.linspace(0.25, 0.75, 6), "linf", 2.0, low=-0.5, high=1.5)
    c = dyadic(1, 5, 6)
    for row, found in zip(c, case.largest(c), strict=True):
        terms = [max(value * Fraction(-1, 2), value * Fraction(3, 2)) for value in exact(row)]
        # The sum has no error; that of what is added to it is less than a fiftieth.
        added = Fraction(float(found)) - sum(terms)
        assert abs(added / slack(6, sum(sizes(terms))) - 1) < 1 / 50


def gains_of(row, x):
    """What each pixel can add within [0, 1]."""
    return [max(c * (1 - a), -c * a) for c, a in zip(row, x, strict=True)]


@pytest.mark.parametrize("radius", [0.0, 1.0, 2.5, 6.0, 9.0])
def test_the_largest_of_l0_is_that_of_the_pixels_that_gain_most(radius):
    x, c = np.array([0.0, 0.25, 0.5, 0.5, 0.75, 1.0]), dyadic(2, 5, 6)
    for row, found in zip(c, boxed(x, "l0", radius).largest(c), strict=True):
        gains = gains_of(exact(row), exact(x))
        most = sum(sorted(gains, reverse=True)[: int(radius)])
        size = dot(sizes(exact(row)), exact(x)) + sum(gains) + most
        added = Fraction(float(found)) - dot(exact(row), exact(x)) - most
        assert abs(added / slack(6, size) - 1) < 1 / 50


@pytest.mark.parametrize("radius", [0.0, 0.125, 1.0, 1.375, 2.0, 2.75, 3.25, 50.0])
def test_the_largest_of_l1_spends_the_radius_where_it_does_most(radius):
    x, c = np.array([0.0, 0.25, 0.5, 0.5, 0.75, 1.0]), dyadic(4, 7, 6)
    for row, found in zip(c, boxed(x, "l1", radius).largest(c), strict=True):
        pixels = list(zip(exact(row), exact(x), strict=True))
        left, most = Fraction(radius), Fraction(0)
        for value, a in sorted(pixels, key=lambda pixel: -abs(pixel[0])):
            spent = min(left, 1 - a if value > 0 else a)
            left, most = left - spent, most + abs(value) * spent
        size = dot(sizes(exact(row)), exact(x)) + sum(gains_of(exact(row), exact(x))) + most
        added = Fraction(float(found)) - dot(exact(row), exact(x)) - most
        assert abs(added / slack(6, size) - 1) < 1 / 50


def test_the_largest_of_l2_is_that_of_pythagoras():
    """Rows whose norms have no roots: (3, 4) in the ball, and pixels that go no further."""
    sixteenth = Fraction(1, 16)
    x = np.array([0.5, 0.5, 13 / 16, 3 / 16, 0.5])
    rows = np.array([[3.0, -4, 0, 0, 0], [3, 4, 20, 0, 0], [-3, 4, 0, -20, 0], [0, 0, 0, 0, -8]])
    case = boxed(x, "l2", 5 / 16)
    # mu, and the steps with the least of c . step
    three, four = 3 * sixteenth, 4 * sixteenth
    expected = [
        (16, [three, -four, 0, 0, 0]),
        (20, [Fraction(3, 20), Fraction(4, 20), three, 0, 0]),
        (20, [-Fraction(3, 20), Fraction(4, 20), 0, -three, 0]),
        (Fraction(128, 5), [0, 0, 0, 0, -5 * sixteenth]),
    ]
    for row, found, (mu, steps) in zip(rows, case.largest(rows), expected, strict=True):
        most, start = dot(exact(row), steps), dot(exact(row), exact(x))
        radius = 5 * mu * Fraction(5, 16) ** 2 / 2
        gains = dot(sizes(exact(row)), sizes(steps)) + mu * dot(steps, steps) + radius
        size = dot(sizes(exact(row)), exact(x)) + gains + most
        added = Fraction(float(found)) - start - most
        assert abs(added - slack(5, size)) <= slack(5, size) / 20


@pytest.mark.parametrize("norm", ["linf", "l1", "l0"])
def test_the_largest_of_no_ball_is_the_image(norm):
    x, c = np.array([0.0, 0.25, 0.5, 0.5, 0.75, 1.0]), dyadic(2, 5, 6)
    added = boxed(x, norm, 0.0).largest(c) - c @ x
    assert (added > 0).all() and (added < 1e-12).all()


def test_no_other_norm_has_a_largest():
    with pytest.raises(Refused, match=r"^the norm 'l3' is unknown$"):
        boxed([0.5], "l3", 1.0).largest(np.ones((1, 1)))


def exact_through(case, state, layer, flow, k, added, slopes, betas):
    """A line through ReLUs in fractions: coefficients, constant, and what is added for rounding."""
    for below in reversed(range(layer + 1)):
        d, k_new = [], k
        small, size, one = Fraction(0), abs(k), Fraction(1, 2**53)
        first = int(case.starts[below])
        bias = exact(case.biases[below])
        for unit, value in enumerate(flow):
            low, high = Fraction(state.low[first + unit]), Fraction(state.high[first + unit])
            far, beta = max(abs(low), abs(high)), Fraction(betas[first + unit])
            slope, constant = Fraction(int(low >= 0)), Fraction(0)
            if low < 0 < high:
                slope = Fraction(slopes[first + unit]) if value < 0 else high / (high - low)
                constant = -slope * low * (1 + 8 * one) if value > 0 else constant
            pushed = beta if low >= 0 else -beta if high <= 0 else Fraction(0)
            d.append(value * slope + pushed)
            small += (abs(value) * slope + abs(pushed)) * far
            size += abs(value * constant) + abs(d[-1] * bias[unit])
            k_new += value * constant + d[-1] * bias[unit]
        if below:
            reach = [max(value, 0) for value in exact(state.high[case.starts[below - 1] : first])]
        else:
            reach = exact(case.a_size)
        columns = list(zip(*map(exact, case.weights[below]), strict=True))
        passed = sum(dot(sizes(d), sizes(c)) * r for c, r in zip(columns, reach, strict=True))
        added += slack(2, small) + slack(2 * len(bias), size) + slack(len(bias), passed)
        flow, k = [dot(d, column) for column in columns], k_new
    return flow, k, added * (1 + Fraction(1, 10**9))


def layered(seed, alpha=0.0):
    """A network of two hidden layers with few digits, and bounds of its units: on, off and
    neither, with chords of few digits too."""
    w = [dyadic(seed, 7, 4), dyadic(seed + 1, 5, 7), dyadic(seed + 2, 3, 5)]
    b = [dyadic(seed + 3, 7), dyadic(seed + 4, 5), dyadic(seed + 5, 3)]
    x = np.array([0.25, 0.5, 1.0, 0.75])
    case = Case(w, b, x, "l0", 1.0, 0, 2, alpha, -0.5, 1.5)
    rng = np.random.default_rng(seed)
    ends = np.array([(-1, 1), (-1, 3), (-3, 1), (0, 2), (-2, 0), (1, 3), (-3, -1), (-0.5, 0.5)])
    low, high = ends[rng.permutation(np.arange(12) % len(ends))].T.astype(float)
    return case, _State(low, high)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("layer", [0, 1])
def test_a_line_through_relus_has_room_for_its_rounding(seed, layer):
    case, state = layered(seed)
    rng = np.random.default_rng(seed)
    slopes = rng.integers(0, 5, 12) / 4
    betas = np.where(state.known() != 0, rng.integers(0, 9, 12) / 8, 0.0)
    flow, given = dyadic(seed + 9, case.hidden[layer]), Fraction(1, 2**47)
    zero, _, _ = exact_through(
        case, state, layer, exact(flow), Fraction(0), Fraction(0), slopes, betas
    )
    for k in (0.0, 2.0, -4.0):
        c, true, added = exact_through(
            case, state, layer, exact(flow), Fraction(k), given, slopes, betas
        )
        found, constant = _through(
            case, state, layer, flow[None], np.array([k]), np.array([2.0**-47]), slopes, betas
        )
        assert exact(found[0]) == c == zero
        # The sum has errors too, of less than a hundredth of what is counted.
        assert abs((Fraction(float(constant[0])) - true) / added - 1) < 1 / 100


def exact_largest(case, row):
    """The largest c . a in l0, and what is added for rounding."""
    x, low, high = exact(case.x), exact(case.a_low), exact(case.a_high)
    places = zip(row, x, low, high, strict=True)
    gains = [max(c * (up - a), c * (down - a)) for c, a, down, up in places]
    most = sum(sorted(gains, reverse=True)[: int(case.radius)])
    size = dot(sizes(row), sizes(x)) + sum(gains) + most
    return dot(row, x) + most, slack(len(x), size)


def exact_unit(case, state, layer, row, sign):
    """An upper bound of sign * h of a unit, a line of the pixels."""
    flow = [sign * value for value in exact(case.weights[layer][row])]
    k = sign * Fraction(case.biases[layer][row])
    if not layer:
        return flow, k, Fraction(0)
    slopes = (state.high > -state.low).astype(float)
    return exact_through(case, state, layer - 1, flow, k, Fraction(0), slopes, 0 * slopes)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("layer", [0, 1])
def test_bounds_of_units_where_the_margin_is_large_have_room_for_rounding(seed, layer):
    case, state = layered(seed, alpha=0.25)
    rng = np.random.default_rng(seed)
    count, first = case.hidden[layer], int(case.starts[layer])
    rows, t = rng.permutation(count), rng.integers(0, 9, count) / 4
    signs = np.where(np.arange(count) % 2, -1, 1)
    c, k = dyadic(seed + 20, 1, 4), np.array([-0.5 if seed % 2 else 0.75])
    start = state.copy()
    state.low[first : first + count], state.high[first : first + count] = -1e9, 1e9
    _bound(case, state, (signs * (first + rows + 1)).tolist(), t, c, k)
    rest, alpha = Fraction(k[0]) - Fraction(1, 4), Fraction(1, 4)
    for row, sign, own in zip(rows, signs.tolist(), exact(t), strict=True):
        flow, b, added = exact_unit(case, start, layer, row, sign)
        moved = [w + own * value for w, value in zip(flow, exact(c[0]), strict=True)]
        most, rounding = exact_largest(case, moved)
        size = [abs(w) + own * abs(value) for w, value in zip(flow, exact(c[0]), strict=True)]
        added += rounding + slack(2, dot(size, exact(case.a_size)))
        added += slack(2, abs(b) + own * (abs(Fraction(k[0])) + alpha))
        place = first + row
        found = Fraction(state.high[place] if sign > 0 else -state.low[place])
        assert abs((found - most - b - own * rest) / added - 1) < 1 / 50
        # The other side is as it was, and so are other layers.
        assert (state.low[place] == -1e9) if sign > 0 else (state.high[place] == 1e9)
    others = np.delete(np.arange(12), np.arange(first, first + count))
    assert (state.low[others] == start.low[others]).all()
    assert (state.high[others] == start.high[others]).all()


def test_bounds_only_become_narrower_and_go_from_the_first_layer_to_the_last():
    case, state = layered(0)
    c, k = dyadic(20, 1, 4), np.array([0.0])
    state.low[:], state.high[:] = -1e9, 1e9
    units = np.random.default_rng(0).permutation([*range(1, 13), *range(-12, 0)]).tolist()
    _bound(case, state, units, np.full(24, 0.5), c, k)
    step = state.copy()
    step.low[:], step.high[:] = -1e9, 1e9
    for layer in ([u for u in units if abs(u) < 8], [u for u in units if abs(u) > 7]):
        _bound(case, step, layer, np.full(len(layer), 0.5), c, k)
    assert (state.low == step.low).all() and (state.high == step.high).all()
    assert (np.abs(state.low) < 1e3).all() and (np.abs(state.high) < 1e3).all()
    narrow = _State(state.low + 1e-6, state.high - 1e-6)
    before = narrow.copy()
    _bound(case, narrow, units, np.full(24, 0.5), c, k)
    assert (narrow.low[:7] == before.low[:7]).all() and (narrow.high[:7] == before.high[:7]).all()


@pytest.mark.parametrize(
    ("lambdas", "k"), [([-1e-9], 0.0), ([np.nan], 0.0), ([np.inf], 0.0), ([0.5], np.inf)]
)
def test_a_multiplier_is_a_number_and_of_a_line(lambdas, k):
    case, state = layered(0)
    with pytest.raises(Refused, match=r"^a multiplier is negative, or of no line$"):
        _bound(case, state, [1], np.array(lambdas), np.zeros((1, 4)), np.array([k]))
    _bound(case, state, [1], np.zeros(1), np.zeros((1, 4)), np.zeros(1))  # none at all is


@pytest.mark.parametrize("seed", range(6))
def test_first_bounds_are_those_of_lines_through_the_layers_before(seed):
    case, _ = layered(seed)
    state = _first(case)
    for layer in (0, 1):
        for row in range(case.hidden[layer]):
            place = int(case.starts[layer]) + row
            for sign, found in ((1, state.high[place]), (-1, -state.low[place])):
                flow, k, added = exact_unit(case, state, layer, row, sign)
                true, rounding = exact_largest(case, flow)
                above = Fraction(found) - true - k
                assert 0 < above < 2 * (added + rounding)


def test_units_are_known_from_zero_on():
    low, high = np.array([0.0, 1, -1, -2, -1]), np.array([1.0, 2, 0, -1, 1])
    assert _State(low, high).known().tolist() == [1, 1, -1, -1, 0]


@pytest.mark.parametrize("seed", range(6))
def test_the_margin_of_a_witness_is_lowered_by_what_rounding_can_do(seed):
    case, _ = layered(seed)
    a = dyadic(seed + 30, 4)
    z, wrong, more = exact(a), [Fraction(0)] * 4, 1 + Fraction(1, 10**9)
    for weight, bias in zip(case.weights[:-1], case.biases[:-1], strict=True):
        rows, wrongs = list(zip(map(exact, weight), exact(bias), strict=True)), wrong
        wrong = [
            dot(sizes(row), wrongs) * more + slack(len(z), dot(sizes(row), sizes(z)) + abs(b))
            for row, b in rows
        ]
        z = [max(dot(row, z) + b, 0) for row, b in rows]
    row = exact(case.weights[-1][2] - case.weights[-1][0])
    case.biases[-1][2] = case.biases[-1][0] - float(dot(row, z))  # its margin is 0
    end = Fraction(case.biases[-1][2] - case.biases[-1][0])
    size = dot(sizes(row), [abs(v) + w for v, w in zip(z, wrong, strict=True)]) + abs(end)
    lost = dot(sizes(row), wrong) * more + slack(len(row), size)
    assert dot(row, z) + end == 0
    assert abs(-Fraction(margin_at_least(case, a)) / lost - 1) < Fraction(1, 10**12)


def switch(weight, bias, alpha=0.0, *, end=0.0, **more):
    """One pixel and one unit: the margin is max(weight a + bias, 0) + end."""
    given = {"norm": "l0", "radius": 1.0, "label": 0, "target": 1, "confidence": alpha} | more
    return Case(
        [np.array([[weight]]), np.array([[0.0], [1.0]])],
        [np.array([bias]), np.array([0.0, end])],
        np.array([0.5]), **given,
    )  # fmt: skip


def holds(case, integers, reals=()):
    try:
        replay(case, np.array(integers, dtype=int), np.array(reals))
    except Refused:
        return False
    return True


def test_a_part_is_closed_if_its_line_stays_below_the_confidence():
    """Where all is exact but what is added for rounding, the confidence must exceed just that."""
    w, b = [dyadic(1, 5, 4), dyadic(2, 3, 5)], [np.full(5, 8.0), np.array([1.0, 0.0, 0.0])]
    case = Case(w, b, np.full(4, 0.5), "l0", 2, 2, 0, 0.0)
    state = _first(case)
    assert (state.low > 0).all()
    row = exact(w[1][0] - w[1][2])
    given = (case, state, 0, row, Fraction(0), Fraction(0), np.ones(5), np.zeros(5))
    flow, k, _ = exact_through(*given)
    b[1][2] = float(1 + k + exact_largest(case, flow)[0])  # the largest margin is 0
    end = Fraction(b[1][0] - b[1][2])
    size = dot(sizes(row), exact(state.high)) + abs(end)
    flow, k, added = exact_through(*given[:4], end, slack(1, size), *given[6:])
    true, rounding = exact_largest(case, flow)
    assert true + k == 0
    low, high, proof = 0.0, 1.0, [LINE, 0, 0, CLOSE]
    while np.nextafter(low, high) < high:
        case.confidence = (low + high) / 2
        low, high = (low, case.confidence) if holds(case, proof) else (case.confidence, high)
    assert abs(Fraction(high) / (added + rounding) - 1) < 1 / 1000
    # What is below is less, and not as large.
    slackness = np.array([_gamma(1) * float(size)])
    line = (np.array([row], dtype=float), np.array([float(end)]), slackness)
    c, k = _through(case, state, 0, *line, np.ones(5), np.zeros(5))
    assert low == pytest.approx(case.largest(c)[0] + k[0], rel=1e-15, abs=0)


@pytest.mark.parametrize(
    ("weight", "bias", "integers", "right"),
    [
        # In [-2, 0.5], it may be either.
        (2.5, -2.0, [SPLIT, 0, CLOSE, CLOSE], False),
        (2.5, -2.0, [SPLIT, 0, LINE, 0, 0, CLOSE, CLOSE], False),
        (2.5, -2.0, [SPLIT, 0, CLOSE, LINE, 0, 0, CLOSE], False),
        (2.5, -2.0, [SPLIT, 0, LINE, 0, 0, CLOSE, LINE, 0, 0, CLOSE], True),
        # In [-2, -1], it is not on; in [1, 2], not off.
        (1.0, -2.0, [SPLIT, 0, CLOSE, LINE, 0, 0, CLOSE], True),
        (1.0, -2.0, [SPLIT, 0, LINE, 0, 0, CLOSE, CLOSE], False),
        (1.0, 1.0, [SPLIT, 0, LINE, 0, 0, CLOSE, CLOSE], True),
        (1.0, 1.0, [SPLIT, 0, CLOSE, LINE, 0, 0, CLOSE], False),
        # A line from before the division serves both sides.
        (2.5, -2.0, [LINE, 0, 0, SPLIT, 0, CLOSE, CLOSE], True),
        # At 0, it is both.
        (0.0, 0.0, [CLOSE], False),
        (0.0, 0.0, [SPLIT, 0, CLOSE, CLOSE], False),
    ],
)
def test_a_division_has_an_on_side_and_an_off_side(weight, bias, integers, right):
    assert holds(switch(weight, bias, 9.0), integers) == right


def test_a_side_knows_the_sign_of_its_unit():
    """Of h = 4 a - 2 the margin max(h, 0) - 1 is 1 at most, and -1 where it is off."""
    both = [SPLIT, 0, LINE, 0, 0, CLOSE, LINE, 0, 0, CLOSE]
    assert holds(switch(4.0, -2.0, 1 + 1e-9, end=-1.0), both)
    assert not holds(switch(4.0, -2.0, 1.0, end=-1.0), both)
    # With a multiplier of h >= 0, or of h <= 0: on that side, h + 2 h - 1 or 0 - 2 h - 1.
    for beta, reached in ((0.0, 1.0), (2.0, 5.0)):
        on = [SPLIT, 0, LINE, 0, 1, 0, CLOSE, LINE, 0, 0, CLOSE]
        assert holds(switch(4.0, -2.0, reached + 1e-9, end=-1.0), on, [beta])
        assert not holds(switch(4.0, -2.0, reached - 1e-9, end=-1.0), on, [beta])
    off = [SPLIT, 0, LINE, 0, 0, CLOSE, LINE, 0, 1, 0, CLOSE]
    assert holds(switch(4.0, -2.0, 3 + 1e-9, end=-1.0), off, [2.0])
    assert not holds(switch(4.0, -2.0, 3 - 1e-9, end=-1.0), off, [2.0])


@pytest.mark.parametrize("more", [{"radius": -1.0}, {"radius": np.inf}, {"radius": np.nan},
                                  {"target": 0}])  # fmt: skip
def test_a_question_that_makes_no_sense_has_no_proof(more):
    proof = (np.array([LINE, 0, 0, CLOSE]), np.zeros(0))
    replay(switch(1.0, 0.0, 9.0, radius=0.0), *proof)
    with pytest.raises(Refused, match=r"^the question makes no sense$"):
        replay(switch(1.0, 0.0, 9.0, **more), *proof)


@pytest.mark.parametrize(
    ("integers", "reals", "said"),
    [
        ([LINE, 0, 0, CLOSE], [1.0], "the proof goes on after its end"),
        ([LINE, 0, 0, CLOSE, CLOSE], [], "the proof goes on after its end"),
        ([LINE, 1, 0, 0, CLOSE], [], "the proof ends early, or names a unit that there is not"),
        ([LINE, 1, 1, 0, CLOSE], [1.0], "there is no unit 1"),
        ([LINE, 0, 1, 1, CLOSE], [1.0], "there is no unit 1"),
        ([LINE, 0, 0, BOUND, 1, 2, CLOSE], [1.0], "there is no unit 1"),
        ([LINE, 0, 0, BOUND, 1, -2, CLOSE], [1.0], "there is no unit 1"),
        ([LINE, 0, 0, BOUND, 1, 0, CLOSE], [1.0], "there is no unit -1"),
        ([SPLIT, 1], [], "there is no unit 1"),
        ([SPLIT, -1], [], "there is no unit -1"),
        ([CLOSE], [], "a part of the proof is left open"),
        ([4], [], "there is no instruction 4"),
        ([LINE, 1, 0, 0, CLOSE], [-0.01], "a slope is not between 0 and 1"),
        ([LINE, 1, 0, 0, CLOSE], [1.01], "a slope is not between 0 and 1"),
        (
            [LINE, 0, 1, 0, CLOSE],
            [0.5],
            "a multiplier is negative, or of a unit that may be on or off",
        ),
    ],
)
def test_what_is_wrong_with_a_proof_is_said(integers, reals, said):
    case = switch(4.0, -2.0, 9.0)
    with pytest.raises(Refused) as raised:
        replay(case, np.array(integers), np.array(reals))
    assert str(raised.value) == said
    replay(case, np.array([LINE, 1, 0, 0, BOUND, 2, 1, -1, CLOSE]), np.array([0.0, 0.0, 0.5]))


def test_a_slope_counts_where_the_unit_lowers_the_margin():
    """Of h = 4 a - 2, -max(h, 0) is below -s h: at most 2 s with the lower slope s."""
    case = switch(4.0, -2.0)
    case.weights[-1] = -case.weights[-1]
    for slope in (0.0, 0.25, 1.0):
        for alpha, right in ((2 * slope + 1e-9, True), (2 * slope - 1e-9, False)):
            case.confidence = alpha
            assert holds(case, [LINE, 1, 0, 0, CLOSE], [slope]) == right
    # Without one, it is 1 where the unit is more on than off, and 0 else.
    for bias, reached in ((-1.5, 1.5), (-2.5, 0.0)):
        case.biases[0][0], case.confidence = bias, reached + 1e-9
        assert holds(case, [LINE, 0, 0, CLOSE])
        case.confidence = reached - 1e-9
        assert not holds(case, [LINE, 0, 0, CLOSE])


def test_a_chord_is_above_the_relu_whatever_its_slope_was_rounded_to():
    """Where it begins far from where it ends, the rounding of its slope is seen at the one end or
    at the other."""
    tiny, unit, larger = 2.0**-40, Fraction(1, 2**53), set()
    for low, high, k in [(-1, 3, -0.75), *((-n * tiny, m, 0) for n in (3, 7, 11) for m in (3, 5))]:
        chord = Fraction(high / (high - low))
        ends = -chord * Fraction(low), (1 - chord) * Fraction(high)
        larger.add(ends[0] > ends[1])
        added = slack(2, chord * high) + slack(2, max(ends) + abs(Fraction(k)))
        true = Fraction(k) + max(ends) * (1 + 8 * unit) + added * (1 + Fraction(1, 10**9))
        case, state = switch(0.0, 0.0), _State(np.array([float(low)]), np.array([float(high)]))
        line = np.ones((1, 1)), np.array([float(k)]), np.zeros(1)
        _, found = _through(case, state, 0, *line, np.ones(1), np.zeros(1))
        assert abs(Fraction(float(found[0])) / true - 1) < Fraction(1, 10**10)
    assert larger == {True, False}


def test_a_lower_bound_needs_no_upper_one():
    case, state = layered(0)
    state.low[:], state.high[:] = -1e9, 1e9
    _bound(case, state, [-1], np.zeros(1), np.zeros((1, 4)), np.zeros(1))
    assert state.low[0] > -1e3 and (state.low[1:] == -1e9).all() and (state.high == 1e9).all()


def test_layers_of_different_sizes_have_proofs_too():
    """Whose lines, bounds and divisions go through all of them."""
    sizes = [5, 4, 3, 2, 3]
    pairs = itertools.pairwise(sizes)
    w = [dyadic(seed, m, n) for seed, (n, m) in enumerate(pairs)]
    b = [dyadic(seed + 9, n) for seed, n in enumerate(sizes[1:])]
    case = Case(w, b, np.full(5, 0.5), "linf", 0.25, 0, 2, 0.0)
    net = ReluNetwork(tuple(w), tuple(b), (None,) * 3)
    trials = 0.5 + np.random.default_rng(0).uniform(-0.25, 0.25, (2000, 5))
    most = float(Question(net, Ball(case.x, "linf", 0.25), 0, 2, 0.0).margin(trials).max())
    proof = [LINE, 0, 0, BOUND, 2, 5, -9, SPLIT, 8, LINE, 0, 0, CLOSE, CLOSE]
    case.confidence = 1e6
    assert holds(case, proof, [0.0, 0.0])
    case.confidence = most
    assert not holds(case, proof, [0.0, 0.0])


def test_a_unit_as_far_on_as_off_has_no_slope():
    """Of h = 4 a in [-4, 4], -max(h, 0) is below 0, which -h is not."""
    case = switch(4.0, 0.0, 1e-9, low=-1.0, high=1.0)
    case.weights[-1], case.x[0] = -case.weights[-1], 0.0
    state = _first(case)
    assert state.high[0] == -state.low[0] == pytest.approx(4)
    assert holds(case, [LINE, 0, 0, CLOSE])
    # The same in a layer before the last, whose units are bounded by lines too.
    case.weights.insert(1, np.array([[-1.0]]))
    case.weights[-1], case.hidden = -case.weights[-1], [1, 1]
    case.biases.insert(1, np.zeros(1))
    case.starts = np.array([0, 1, 2])
    assert _first(case).high[1] < 1e-9


def test_the_largest_of_l0_is_that_of_the_best_among_many_pixels():
    rng = np.random.default_rng(0)
    x, c = rng.uniform(0, 1, 300), rng.normal(size=(20, 300))
    gains = np.sort(np.maximum(c * (1 - x), -c * x), axis=1)
    for radius in (1, 2, 50, *range(100, 240), 299, 300):
        most = gains[:, 300 - radius :].sum(1)
        found = boxed(x, "l0", float(radius)).largest(c) - c @ x
        assert (found > most).all() and np.allclose(found, most, rtol=0, atol=1e-9)
