"""Certificates against what nobody here wrote: enumeration with linear and quadratic programs."""

from __future__ import annotations

import itertools

import cvxpy
import numpy as np
import pytest

from advsparse.certify import _search
from advsparse.certify._ball import NORMS, Ball, distance, nearest
from advsparse.certify._certified import OPEN, REPLAYED, SOLVER, Certified, Target, replayed
from advsparse.certify._milp import Formulation, program
from advsparse.certify._network import ReluNetwork
from advsparse.certify._proof import Proof
from advsparse.certify._question import Question
from advsparse.certify._search import _radius, _settled
from advsparse.certify._solver import INFEASIBLE, OPTIMAL, Solver
from advsparse.certify._tree import Answer, Effort, answer
from advsparse.certify._witness import _pulled, ascended, nearest_found, shrunk
from advsparse.certify.nearest import Nearest
from advsparse.errors import CertificateError
from advsparse.seeding import stable_seed

ALPHA = 1e-4


def network(*sizes, seed=0):
    """A network with weights of ordinary size."""
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(sizes))
    return ReluNetwork(
        tuple(rng.normal(0, 1.5 / np.sqrt(n), (m, n)) for n, m in pairs),
        tuple(rng.normal(0, 0.3, m) for _, m in pairs),
        (None,) * (len(sizes) - 2),
    )


def image(net, seed=0):
    return np.random.default_rng(1000 + seed).uniform(0, 1, net.pixels).round(3)


def enumerated(net, x, norm, target=None):
    """The distance to the nearest adversarial image: a convex program for each pattern of ReLUs
    (Clarabel), the least of all."""
    label = int(net.logits(x[None])[0].argmax())
    others = [t for t in range(net.classes) if t != label] if target is None else [target]
    best = np.inf
    for pattern in itertools.product((0, 1), repeat=sum(net.hidden)):
        a = cvxpy.Variable(len(x))
        constraints, w, b = [a >= 0, a <= 1], net.weights[0], net.biases[0]
        for layer in range(len(net.hidden)):
            on = np.array(pattern[net.units(layer)], dtype=float)
            constraints.append(cvxpy.multiply(2 * on - 1, w @ a + b) >= 0)
            following = net.weights[layer + 1] * on
            w, b = following @ w, following @ b + net.biases[layer + 1]
        size = {"linf": cvxpy.norm_inf, "l1": cvxpy.norm1, "l2": cvxpy.norm2}[norm](a - x)
        for t in others:
            wins = (w[t] - w[label]) @ a + b[t] - b[label] >= ALPHA
            problem = cvxpy.Problem(cvxpy.Minimize(size), [*constraints, wins])
            problem.solve(solver=cvxpy.CLARABEL)
            if problem.status in ("optimal", "optimal_inaccurate"):
                best = min(best, float(problem.value))
    return best


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("sizes", [(4, 6, 3), (4, 4, 3, 3)])
def test_the_distance_is_that_of_enumeration(sizes, norm):
    net = network(*sizes, seed=5)
    x = image(net)
    found = Nearest(norm=norm, confidence=ALPHA).certify(net, x)
    exact = enumerated(net, x, norm)
    assert found.status == REPLAYED
    assert found.lower <= exact * (1 + 1e-6) and exact <= found.upper * (1 + 1e-6)
    assert found.upper - found.lower <= 2e-5 * found.upper
    assert found.upper == pytest.approx(float(distance(found.nearest.witness - x, norm)))


def test_the_number_of_pixels_is_that_of_enumeration():
    """Each set of pixels at corners of their range is tried, which is where few pixels do most."""
    net = network(5, 8, 3)
    x = image(net, 3)
    found = Nearest(norm="l0", confidence=ALPHA).certify(net, x)
    label, least = int(net.logits(x[None])[0].argmax()), np.inf
    grid = np.linspace(0, 1, 21)
    for count in range(1, 4):
        for chosen in itertools.combinations(range(5), count):
            values = np.array(list(itertools.product(grid, repeat=count)))
            trials = np.tile(x, (len(values), 1))
            trials[:, chosen] = values
            logits = net.logits(trials)
            if (np.delete(logits, label, 1).max(1) - logits[:, label] >= ALPHA).any():
                least = min(least, count)
    assert found.upper <= least and found.lower == found.upper - 1


@pytest.mark.parametrize("norm", NORMS)
def test_all_formulations_find_the_same(norm):
    """HiGHS, and SCIP where the distance is squared."""
    net = network(6, 8, 3, seed=1)
    x = image(net, 1)
    label = int(net.logits(x[None])[0].argmax())
    target = int(np.argsort(-net.logits(x[None])[0])[1])
    found = Nearest(norm=norm, targets="second", confidence=ALPHA).certify(net, x)
    question = Question(net, Ball(x, norm, found.upper * 1.001), label, target, ALPHA)
    pattern = net.values(found.nearest.witness[None])[1][0][0] > 0
    values = {}
    with Solver("scip" if norm == "l2" else "highs") as solver:
        for name, formulation in {
            "symmetric": Formulation(bounds="symmetric"),
            "interval": Formulation(),
            "ball": Formulation(within="ball"),
            "relaxed": Formulation(within="ball", relaxed=True),
            "pattern": Formulation(pattern=pattern),
        }.items():
            solved = solver.solve(program(question, formulation)[0].arrays(), 60, gap=1e-7)
            assert solved.status == OPTIMAL, name
            values[name] = np.sqrt(max(solved.value, 0)) if norm == "l2" else solved.value
        inside = question.at(found.lower * (1 - 1e-6) if norm != "l0" else found.lower)
        made, _ = program(inside, Formulation("verification", within="ball"))
        assert solver.solve(made.arrays(), 60).status == INFEASIBLE
    for name in ("symmetric", "interval", "ball", "pattern"):
        assert values[name] == pytest.approx(found.upper, rel=1e-4), name
    assert values["relaxed"] <= found.upper * (1 + 1e-6)


def test_the_largest_loss_within_a_radius():
    """Minus the optimum of the program is the margin that no image of the ball exceeds."""
    net = network(6, 8, 3, seed=1)
    x = image(net, 1)
    logits = net.logits(x[None])[0]
    label, target = (int(k) for k in np.argsort(-logits)[:2])
    question = Question(net, Ball(x, "linf", 0.1), label, target, ALPHA)
    with Solver("highs") as solver:
        made, pixels = program(question, Formulation("loss", within="ball"))
        solved = solver.solve(made.arrays(), 60)
    margin = -solved.value + question.objective[1]
    assert question.margin(solved.point[pixels])[0] == pytest.approx(margin, abs=1e-6)
    above = Question(net, question.ball, label, target, margin + 1e-3)
    assert answer(above).proof is not None
    below = Question(net, question.ball, label, target, margin - 1e-3)
    assert answer(below).witness is not None


@pytest.mark.parametrize("norm", NORMS)
def test_linear_functions_over_the_ball(norm):
    """The largest values against linear and quadratic programs, and no sample exceeds them."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 7).round(1)  # some pixels at their ends
    radius = {"linf": 0.2, "l2": 0.4, "l1": 0.7, "l0": 2}[norm]
    c = rng.normal(size=(5, 7))
    c[0, :3] = 0
    ball = Ball(x, norm, radius)
    values, a = ball.largest(c)
    assert np.allclose(values, ball.support(c)) and np.allclose(values, (c * a).sum(1))
    assert (a >= 0).all() and (a <= 1).all() and (ball.distance(a) <= radius + 1e-9).all()
    if norm == "l0":
        gains = np.sort(np.maximum(c * (1 - x), -c * x), axis=1)[:, -2:].sum(1)
        assert np.allclose(values, c @ x + gains)
        return
    for row, value in zip(c, values, strict=True):
        v = cvxpy.Variable(7)
        size = {"linf": cvxpy.norm_inf, "l1": cvxpy.norm1, "l2": cvxpy.norm2}[norm](v - x)
        problem = cvxpy.Problem(cvxpy.Maximize(row @ v), [v >= 0, v <= 1, size <= radius])
        assert value == pytest.approx(problem.solve(solver=cvxpy.CLARABEL), abs=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_the_nearest_point_that_gains_enough(norm):
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 6).round(1)
    c = rng.normal(size=(4, 6))
    reach = np.maximum(c * (1 - x), -c * x).sum(1)
    for share in (0.2, 0.7):
        found = nearest(Ball(x, norm, 1.0), c, share * reach)
        assert (((found - x) * c).sum(1) >= share * reach - 1e-9).all()
        for row, point, need in zip(c, found, share * reach, strict=True):
            v = cvxpy.Variable(6)
            size = {"linf": cvxpy.norm_inf, "l1": cvxpy.norm1, "l2": cvxpy.norm2}[norm](v - x)
            problem = cvxpy.Problem(cvxpy.Minimize(size), [v >= 0, v <= 1, row @ (v - x) >= need])
            least = problem.solve(solver=cvxpy.CLARABEL)
            assert distance(point - x, norm) == pytest.approx(least, abs=1e-6)
    too_much = nearest(Ball(x, norm, 1.0), c, reach * 2)
    assert np.allclose(((too_much - x) * c).sum(1), reach)


def test_no_attack_of_the_library_is_nearer_than_the_certificate():
    torch = pytest.importorskip("torch")
    from advsparse.attacks.deepfool import DeepFool
    from advsparse.attacks.fab import FAB

    net = network(16, 12, 4, seed=5)
    layers = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(16, 12), torch.nn.ReLU(), torch.nn.Linear(12, 4)
    )
    with torch.no_grad():
        for layer, w, b in zip((layers[1], layers[3]), net.weights, net.biases, strict=True):
            layer.weight.copy_(torch.from_numpy(w)), layer.bias.copy_(torch.from_numpy(b))
    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = layers(x).argmax(1)
    for norm in ("linf", "l2"):
        lower = [Nearest(norm=norm).certify(net, one.flatten().double().numpy()).lower for one in x]
        for attack in (DeepFool(norm=norm), FAB(norm=norm, steps=20, targets=3)):
            result = attack(layers, x, y, rng=0)
            reached = result.distance[result.success].numpy()
            # The certificate's margin is 1e-4, an attack's 0.
            assert (reached >= np.array(lower)[result.success.numpy()] * 0.998 - 1e-3).all()


def test_pooling_is_certified_by_the_solver():
    rng = np.random.default_rng(2)
    net = ReluNetwork(
        (rng.normal(0, 0.7, (8, 9)), rng.normal(0, 0.7, (3, 4))),
        (rng.normal(0, 0.2, 8), rng.normal(0, 0.2, 3)),
        (np.arange(8).reshape(4, 2),),
    )
    x = image(net, 4)
    found = Nearest(confidence=ALPHA).certify(net, x)
    assert found.status == SOLVER and found.lower <= found.upper * (1 - 0.9e-5)
    assert found.upper - found.lower < 1e-4 * found.upper
    label = found.label
    trials = np.clip(x + rng.uniform(-1, 1, (20_000, 9)) * found.lower, 0, 1)
    logits = net.logits(trials)
    assert (np.delete(logits, label, 1).max(1) - logits[:, label] < ALPHA).all()


def test_a_class_that_the_network_never_gives_is_out_of_reach():
    net = network(4, 5, 3)
    biases = (net.biases[0], net.biases[1] - np.array([0, 0, 1e3]))
    net = ReluNetwork(net.weights, biases, net.pools)
    x = image(net)
    found = Nearest(confidence=ALPHA).certify(net, x)
    never = next(one for one in found.targets if one.target == 2)
    assert never.witness is None and never.upper == np.inf and never.status == REPLAYED


@pytest.mark.parametrize("norm", NORMS)
def test_units_without_weights_are_no_obstacle(norm):
    net = network(4, 6, 3, seed=1)
    weight = net.weights[0].copy()
    weight[2] = 0
    net = ReluNetwork((weight, net.weights[1]), net.biases, net.pools)
    found = Nearest(norm=norm, confidence=ALPHA).certify(net, image(net))
    assert found.status == REPLAYED and found.lower > 0


def test_one_class_by_its_number():
    """The distance to it is one of those of all classes; of the image's own it is 0."""
    net = network(6, 10, 4, seed=1)
    x = image(net, 1)
    every = Nearest(confidence=ALPHA).certify(net, x)
    exact = {t: enumerated(net, x, "linf", t) for t in (every.nearest.target,)}
    for target, distance_to in exact.items():
        one = Nearest(confidence=ALPHA, target=target).certify(net, x)
        assert [t.target for t in one.targets] == [target] and one.status == REPLAYED
        assert one.lower <= distance_to * (1 + 1e-6) and distance_to <= one.upper * (1 + 1e-6)
    own = Nearest(confidence=ALPHA, target=every.label).certify(net, x)
    assert (own.lower, own.upper, own.status) == (0.0, 0.0, REPLAYED)
    with pytest.raises(CertificateError, match="there is no class 4, the network has 4"):
        Nearest(target=4).certify(net, x)


def test_time_that_does_not_suffice_ends_in_honest_bounds():
    net = network(30, 60, 60, 5, seed=3)
    x = image(net, 5)
    found = Nearest(seconds=0.3, nodes=50).certify(net, x)
    assert 0 <= found.lower <= found.upper
    times, lower, upper = np.array(found.events).T
    assert (np.diff(times) >= 0).all()
    assert (np.diff(lower) >= 0).all() and (np.diff(upper[np.isfinite(upper)]) <= 0).all()
    longer = Nearest(seconds=20).certify(net, x)
    assert found.lower <= longer.upper and longer.lower <= found.upper


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_branching_is_replayed(norm):
    """Questions that bounds alone do not answer: trees, whose proofs the replay accepts."""
    net = network(12, 40, 3, seed=7)
    branched = 0
    for seed in range(4):
        x = image(net, seed)
        logits = net.logits(x[None])[0]
        label, target = (int(k) for k in np.argsort(-logits)[:2])
        question = Question(net, Ball(x, norm, 1.0), label, target, ALPHA)
        _, least = nearest_found(question, np.random.default_rng(0))
        question = question.at(least * 0.999)
        found = answer(question, Effort(rounds=1, nodes=5000))
        if found.proof is None:
            continue
        branched += found.nodes > 1
        assert replayed(question, found.proof)
        # Just beyond a witness there is none to be had.
        assert not replayed(question.at(least * 1.0001), found.proof)
    assert branched >= 1


def summing():
    """Two pixels whose sum less 0.5 is the margin of class 1."""
    return ReluNetwork(
        (np.array([[1.0, 1.0]]), np.array([[0.0], [1.0]])),
        (np.zeros(1), np.array([0.0, -0.5])),
        (None,),
    )


@pytest.mark.parametrize(
    ("a", "radius", "right"),
    [
        ([0.5, 0.25 + 2e-9], 0.25, True),
        ([0.5, 0.25], 0.25, False),  # the confidence, and no more
        ([0.5, 0.25 + 5e-10], 0.25, False),
        ([0.5 + 1e-14, 0.5], 0.25, True),  # which is rounding
        ([0.5 + 1e-11, 0.5], 0.25, False),
        ([0.5, 0.5], 0.24, False),
        ([1.0, 0.0], 1.0, True),
        ([0.0, 1.0], 1.0, True),
        ([1.0 + 1e-9, 0.0], 1.0, False),
        ([0.9, -1e-9], 1.0, False),
    ],
)
def test_a_witness_is_near_an_image_and_wins(a, radius, right):
    asked = Question(summing(), Ball(np.array([0.25, 0.25]), "linf", radius), 0, 1, 0.25)
    assert asked.wanted == 0.25 + 1e-9
    assert asked.witness(np.array(a)) is right
    assert asked.at(5.0).ball.radius == 5.0 and asked.at(5.0).confidence == 0.25
    assert asked.margin(np.array([a, [0.5, 1.0]])) == pytest.approx([sum(a) - 0.5, 1.0])


def known(*bounds, x=(0.25, 0.25)):
    """What a search has found: lower and upper bounds of classes from 1 on."""
    targets = [Target(n, lower, upper=upper) for n, (lower, upper) in enumerate(bounds, 1)]
    return Certified(np.array(x), 0, targets)


@pytest.mark.parametrize(
    ("norm", "upper", "share", "radius"),
    [
        ("linf", 0.5, 0.8, 0.5 * 0.8 * (1 - 0.125)),
        ("l2", 0.5, 1.0, 0.5 * (1 - 0.125)),
        ("linf", np.inf, 0.8, 0.8),
        ("l2", np.inf, 0.5, 2**0.5 * 0.5),
        ("l1", np.inf, 0.5, 1.0),
        ("l0", np.inf, 0.9, 1.0),
        ("l0", np.inf, 1.0, 2.0),
        ("l0", 5.0, 0.9, 3.0),
        ("l0", 5.0, 1.0, 4.0),
    ],
)
def test_the_radius_to_be_proven_is_a_share_of_the_distance(norm, upper, share, radius):
    found = known((0.0, np.inf), (0.0, upper))
    asked = _radius(Nearest(norm=norm, gap=0.125), found, share)
    assert asked == pytest.approx(radius, rel=1e-15) and isinstance(asked, float)


def settled(found, said, *, radius=0.5, confidence=0.25):
    """What is made of an answer; whether the question is asked again, and what was asked."""
    asked = []

    def ask(question, effort):
        asked.append((question, effort))
        return said

    question = Question(summing(), Ball(np.array([0.25, 0.25]), "linf", np.inf), 0, 1, confidence)
    again = _settled(Nearest(), found, found.targets[0], {1: question}, radius, 7, 123.0, ask)
    return again, asked


def test_an_answer_is_asked_for_with_its_radius_and_effort():
    found = known((0.0, 1.0))
    again, ((question, effort),) = settled(found, Answer(nodes=3))
    assert not again and question.ball.radius == 0.5
    assert (effort.nodes, effort.deadline) == (7, 123.0)
    assert (found.targets[0].nodes, found.targets[0].status) == (3, OPEN)
    settled(found, Answer(nodes=4))
    assert found.targets[0].nodes == 7 and len(found.events) == 1


def test_a_witness_makes_the_distance_smaller():
    """The nearest has (0.25 + 1e-9) / 2 more in both pixels."""
    found = known((0.0, 1.0))
    again, _ = settled(found, Answer(witness=np.array([0.5, 0.5])))
    assert again and found.upper == pytest.approx(0.125, abs=1e-8)
    assert found.targets[0].witness == pytest.approx([0.375, 0.375], abs=1e-8)
    assert [event[2] for event in found.events] == [found.upper]
    # Where another class has a nearer one, or this one a nearer one already, all is as it was.
    found = known((0.0, 1.0), (0.0, 0.01))
    assert settled(found, Answer(witness=np.array([0.5, 0.5])))[0] is False
    found = known((0.0, 0.01))
    assert settled(found, Answer(witness=np.array([0.5, 0.5])))[0] is False
    assert found.upper == 0.01 and found.targets[0].witness is None and found.events == []
    assert settled(known((0.0, 1.0)), Answer(witness=np.array([0.5, 0.5])), radius=0.0)[0] is False


def test_a_proof_that_does_not_convince_is_dropped(caplog):
    right, wrong = Proof(), Proof()
    nothing = np.zeros(0)
    right.line(nothing.astype(int), nothing, nothing.astype(int), nothing)
    right.close()
    wrong.close()
    found = known((0.0, 1.0))
    settled(found, Answer(proof=wrong), radius=0.1)
    assert (found.lower, found.status) == (0.0, OPEN)
    assert caplog.messages == ["a proof for class 1 did not convince: it is dropped"]
    settled(found, Answer(proof=right), radius=0.1)
    assert (found.lower, found.status, found.targets[0].proof) == (0.1, REPLAYED, right)
    assert [event[1] for event in found.events] == [0.0, 0.1] and len(caplog.messages) == 1


def test_a_bound_below_the_confidence_is_the_solvers_word():
    for bound, status in ((0.25, OPEN), (0.25 - 1e-12, SOLVER), (-np.inf, SOLVER), (np.inf, OPEN)):
        found = known((0.0, 1.0))
        assert settled(found, Answer(bound=bound), radius=0.1)[0] is False
        assert (found.status, found.lower) == (status, 0.1 if status else 0.0)


def test_the_nearest_witness_of_a_plane():
    """Where the margin is a1 + a2 - 0.5, the nearest image is as far as the plane in each norm."""
    need = 0.25 + 1e-9
    for norm, expected in (("linf", need / 2), ("l2", need / 2**0.5), ("l1", need), ("l0", 1.0)):
        asked = Question(summing(), Ball(np.array([0.25, 0.25]), norm, 1.0), 0, 1, 0.25)
        a, least = nearest_found(asked, np.random.default_rng(0))
        assert asked.margin(a)[0] >= asked.wanted
        assert least == pytest.approx(expected, rel=1e-8) == float(asked.ball.distance(a))
        # One that is farther away shrinks to it.
        b, less = shrunk(asked, np.array([1.0, 0.75]))
        assert asked.margin(b)[0] >= asked.wanted and isinstance(less, float)
        assert less == pytest.approx(expected, rel=1e-3) == float(asked.ball.distance(b))
    impossible = Question(summing(), Ball(np.array([0.25, 0.25]), "linf", 1.0), 0, 1, 1.6)
    assert nearest_found(impossible, np.random.default_rng(0)) == (None, np.inf)


@pytest.mark.parametrize(
    ("norm", "radius", "step"),
    [
        ("linf", 0.25, [0.25, -0.25, 0.125]),
        ("l1", 0.5625, [0.25, -0.25, 0.0625]),
        ("l1", 5.0, [0.5, -0.5, 0.125]),
        ("l0", 2.0, [0.5, -0.5, 0.0]),
        ("l0", 0.0, [0.0, 0.0, 0.0]),
        ("l2", 0.75**0.5 / 2, None),
    ],
)
def test_a_step_is_pulled_into_a_smaller_ball(norm, radius, step):
    ball, d = Ball(np.full(3, 0.5), norm, radius), np.array([0.5, -0.5, 0.125])
    found = _pulled(d, ball)
    expected = d * (radius / np.linalg.norm(d)) if step is None else np.array(step)
    assert found == pytest.approx(expected, abs=1e-15)
    assert (_pulled(0 * d, ball) == 0).all()


def test_an_ascent_ends_at_the_largest_margin_of_a_ball():
    x = np.array([0.25, 0.5])
    asked = Question(summing(), Ball(x, "l1", 1.0), 0, 1, 9.0)
    for norm, radius, most in (("linf", 0.25, 0.75), ("l1", 0.25, 0.5), ("l0", 1, 1.0)):
        found = ascended(asked, Ball(x, norm, radius), np.zeros(2))
        assert asked.margin(found)[0] == pytest.approx(most)
        assert Ball(x, norm, radius).distance(found) <= radius


def test_an_image_lies_in_its_box_and_a_norm_is_known():
    for x in ([-1.0, 2.0], [0.5, 0.5]):
        Ball(np.array(x), "l1", 1.0, -1.0, 2.0)
    for x in ([-1.001, 0.5], [0.5, 2.001]):
        with pytest.raises(ValueError, match=r"^an image must lie within \[-1, 2\]$"):
            Ball(np.array(x), "l1", 1.0, -1.0, 2.0)
    with pytest.raises(ValueError, match=r"^no certificate is defined for the norm 'l3'$"):
        Ball(np.zeros(2), "l3", 1.0)


@pytest.mark.parametrize(
    ("norm", "expected"), [("linf", 4.0), ("l2", 5.0), ("l1", 7.0), ("l0", 2.0)]
)
def test_distances_are_norms(norm, expected):
    d = np.array([3.0, 0.0, -4.0])
    assert distance(d, norm) == expected
    assert distance(np.stack([d, 0 * d]), norm).tolist() == [expected, 0.0]
    ball = Ball(np.full(3, 0.5), norm, 1.0)
    found = ball.distance(np.stack([d + 0.5]))
    assert found.tolist() == [expected] and found.dtype == np.float64


@pytest.mark.parametrize("norm", NORMS)
def test_what_other_rows_reach_at_the_maximisers_of_rows(norm):
    rng = np.random.default_rng(4)
    radius = {"linf": 0.25, "l2": 0.5, "l1": 0.75, "l0": 2.5}[norm]
    ball = Ball(rng.uniform(-1, 2, 6), norm, radius, -1.0, 2.0)
    c, rows = rng.normal(size=(5, 6)), rng.normal(size=(5, 6))
    values, a = ball.largest(rows)
    assert np.allclose(ball.slopes(c)(rows), (c * a).sum(1), atol=1e-12)
    assert np.allclose(ball.support(rows), values, atol=1e-12)
    assert ((a >= -1) & (a <= 2)).all() and (ball.distance(a) <= radius * (1 + 1e-12)).all()
    down, up = ball.rooms
    most = radius if norm == "linf" else np.inf
    assert (down == np.minimum(ball.x + 1, most)).all() and (
        up == np.minimum(2 - ball.x, most)
    ).all()


def test_the_largest_of_few_digits():
    """Pixels that cannot go where it is of use, and radii that are spent exactly."""
    x, c = (
        np.array([0.0, 0.25, 1.0, 0.5]),
        np.array([[4.0, -3.0, 2.0, 0.0], [-1.0, 2.0, -4.0, 8.0]]),
    )
    for norm, radius, steps in (
        ("l1", 1.25, [[1, -0.25, 0, 0], [0, 0, -0.75, 0.5]]),
        ("l1", 0.5, [[0.5, 0, 0, 0], [0, 0, 0, 0.5]]),
        ("l0", 1, [[1, 0, 0, 0], [0, 0, 0, 0.5]]),
        ("l0", 2.9, [[1, -0.25, 0, 0], [0, 0, -1, 0.5]]),
        ("l0", 0, [[0] * 4, [0] * 4]),
        ("l2", 9.0, [[1, -0.25, 0, 0], [0, 0.75, -1, 0.5]]),
        ("linf", 0.125, [[0.125, -0.125, 0, None], [0, 0.125, -0.125, 0.125]]),
    ):
        _, a = Ball(x, norm, radius).largest(c)
        for found, expected in zip(a - x, steps, strict=True):
            for one, other in zip(found, expected, strict=True):
                assert other is None or one == other, (norm, radius)


def test_the_fewest_pixels_that_gain_enough():
    """Each pixel that is changed goes all the way, those that gain most first."""
    x, c = np.array([0.0, 0.25, 1.0, 0.5]), np.array([[4.0, -8.0, 2.0, 2.0]])  # gains 4, 2, 0, 1
    ball = Ball(x, "l0", 0.0)
    for need, expected in (
        (-1.0, [0.0, 0.25, 1.0, 0.5]), (0.0, [0.0, 0.25, 1.0, 0.5]), (0.5, [1.0, 0.25, 1.0, 0.5]),
        (4.0, [1.0, 0.25, 1.0, 0.5]), (4.5, [1.0, 0.0, 1.0, 0.5]), (6.5, [1.0, 0.0, 1.0, 1.0]),
        (99.0, [1.0, 0.0, 1.0, 1.0]),
    ):  # fmt: skip
        assert nearest(ball, c, np.array([need])).tolist() == [expected]


def test_a_proof_is_replayed_in_the_box_of_its_question():
    """The margin a1 + a2 - 0.5 is 1.5 at most in [0, 1], and 0.5 - a1 - a2 is -0.5 at least."""
    proof, nothing = Proof(), np.zeros(0)
    proof.line(nothing.astype(int), nothing, nothing.astype(int), nothing)
    proof.close()
    x, net = np.array([0.25, 0.25]), summing()
    for low, high, right in ((0.0, 1.0, True), (0.0, 1.125, False), (-1.0, 1.0, True)):
        asked = Question(net, Ball(x, "l0", 2, low, high), 0, 1, 1.5 + 1e-9)
        assert replayed(asked, proof) == right
    down = ReluNetwork((-net.weights[0], net.weights[1]), net.biases, net.pools)
    for low, right in ((0.0, True), (-0.125, False)):
        assert (
            replayed(Question(down, Ball(x, "l0", 2, low, 1.0), 0, 1, -0.5 + 1e-9), proof) == right
        )


def test_attacks_of_each_class_have_their_own_numbers(monkeypatch):
    drawn = []

    def nearest_of(question, rng):
        drawn.append((question.target, question.ball.radius, rng.random()))
        return None, np.inf

    monkeypatch.setattr(_search, "nearest_found", nearest_of)
    net = network(4, 5, 3)
    found = Nearest().certify(net, image(net), seed=7)
    others = [one.target for one in found.targets]
    assert drawn == [(t, np.inf, np.random.default_rng(stable_seed(7, t)).random()) for t in others]
    assert 0 < found.seconds < 60


def asked_for(monkeypatch, ask_all, found, method, answers):
    """What is asked of which class with what limit, while a search of 100 s has 80 s left."""
    asked = []

    def settled_of(given, kept, one, questions, radius, nodes, limit, ask):
        assert given is method and kept is found and questions == "questions" and ask == "ask"
        asked.append((one.target, radius, nodes, limit))
        return next(answers)

    monkeypatch.setattr(_search, "_settled", settled_of)
    monkeypatch.setattr(_search.time, "monotonic", lambda: 20.0)
    ask_all(method, found, "questions", 100.0, "ask")
    return asked


def test_each_class_is_asked_for_quickly_and_the_nearest_first(monkeypatch):
    found = known((0.0, 0.5), (0.0, 0.25))
    method = Nearest(gap=0.5, nodes=1000)
    answers = iter([True, False, False])
    asked = asked_for(monkeypatch, _search._quickly, found, method, answers)
    assert asked == [(2, 0.125, 200, 100.0)] * 2 + [(1, 0.125, 200, 100.0)]
    asked = asked_for(monkeypatch, _search._quickly, found, Nearest(nodes=9), iter([False] * 2))
    assert [nodes for *_, nodes, _ in asked] == [9, 9] and len(found.events) == 1


def test_larger_and_larger_shares_are_asked_for(monkeypatch):
    found = known((0.45, 0.5), (0.0, 1.0))
    method = Nearest(gap=0.1, nodes=1000)
    answers = iter([True, *[False] * 20])
    asked = asked_for(monkeypatch, _search._by_steps, found, method, answers)
    # The first class is proven as far as the whole; the other is asked again after a witness.
    shares = [0.5, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0]
    assert [target for target, *_ in asked] == [2] * 10
    assert [radius for _, radius, *_ in asked] == pytest.approx([0.45 * s for s in shares])
    assert [limit for *_, limit in asked] == [60.0] * 9 + [100.0]
    assert {nodes for *_, nodes, _ in asked} == {1000}
