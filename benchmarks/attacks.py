"""Each attack beside its peers: the same network, images, settings and threads, in one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from advsparse.attacks.autoattack import AutoAttack
from advsparse.attacks.cw import CW
from advsparse.attacks.deepfool import DeepFool
from advsparse.attacks.jsma import JSMA
from advsparse.attacks.pgd import PGD
from advsparse.attacks.square import Square
from advsparse.attacks.uap import UAP
from benchmarks.passes import bare_passes
from benchmarks.peers import (
    Attacked,
    art_attack,
    cleverhans_pgd,
    foolbox_attack,
    torchattacks_attack,
    torchattacks_autoattack,
)
from benchmarks.subject import CLASSES, Subject

OURS = "advsparse"
EPS = 2 / 255
STEPS = 40


@dataclass(frozen=True)
class Comparison:
    """One attack by several libraries."""

    title: str
    norm: str
    settings: str
    """What all of them were given."""
    contenders: dict[str, Callable[[], Attacked]]
    """By library; made only when measured."""
    runs: int
    """How often each is measured; the median counts."""
    goal: float
    """The ratio to reach: our time to the fastest peer's at equal or better strength."""
    within_budget: bool = False
    """Whether all norms up to eps are as good as another."""
    once: tuple[str, ...] = ()
    """Contenders that take minutes, and are measured once."""
    notes: dict[str, str] = field(default_factory=dict)


def comparisons(on: Subject) -> Iterator[Comparison]:
    """The comparisons, cheapest first."""
    yield _pgd(on)
    yield _deepfool(on)
    yield _square(on)
    yield _cw(on)
    yield _autoattack(on, steps=10, runs=2)
    yield _autoattack(on, steps=100, runs=1)
    yield _jsma(on)
    yield _uap(on)


def _ours(on: Subject, attack, target=None) -> Callable[[], Attacked]:
    return lambda: lambda: attack(on.model, on.x, on.y, target).x


def _pgd(on: Subject) -> Comparison:
    step = 2.5 * EPS / STEPS

    def bare():
        bare_passes(on, 2 * STEPS)
        return on.x

    return Comparison(
        "PGD, 40 steps",
        "linf",
        "eps 2/255, step 2.5 eps / 40, random start",
        {
            OURS: _ours(on, PGD(eps=EPS, steps=STEPS, step=step)),
            "foolbox": lambda: foolbox_attack(
                on, "LinfPGD", eps=EPS, steps=STEPS, abs_stepsize=step
            ),
            "torchattacks": lambda: torchattacks_attack(
                on, "PGD", eps=EPS, alpha=step, steps=STEPS
            ),
            "cleverhans": lambda: cleverhans_pgd(on, EPS, step, STEPS),
            "ART": lambda: art_attack(
                on,
                "ProjectedGradientDescentPyTorch",
                eps=EPS,
                eps_step=step,
                max_iter=STEPS,
                num_random_init=1,
                batch_size=len(on.x),
                verbose=False,
            ),
            "bare passes": lambda: bare,
        },
        runs=9,
        goal=1.0,
        within_budget=True,
        notes={"bare passes": "40 forward and input-backward passes and nothing else"},
    )


def _deepfool(on: Subject) -> Comparison:
    return Comparison(
        "DeepFool l2",
        "l2",
        "at most 50 steps, overshoot 0.02, all 10 classes",
        {
            OURS: _ours(on, DeepFool(steps=50, overshoot=0.02)),
            "foolbox": lambda: foolbox_attack(
                on, "L2DeepFoolAttack", steps=50, overshoot=0.02, candidates=CLASSES
            ),
            "torchattacks": lambda: torchattacks_attack(on, "DeepFool", steps=50, overshoot=0.02),
            "ART": lambda: art_attack(
                on,
                "DeepFool",
                max_iter=50,
                epsilon=0.02,
                nb_grads=CLASSES,
                batch_size=len(on.x),
                verbose=False,
            ),
        },
        runs=5,
        goal=0.5,
        once=("ART",),
    )


def _cw(on: Subject) -> Comparison:
    return Comparison(
        "CW l2, 5 x 200",
        "l2",
        "5 values of c from 0.01, 200 steps of Adam of 0.01 each, confidence 0",
        {
            OURS: _ours(
                on, CW(search_steps=5, iterations=200, learning_rate=0.01, initial_weight=0.01)
            ),
            "foolbox": lambda: foolbox_attack(
                on,
                "L2CarliniWagnerAttack",
                binary_search_steps=5,
                steps=200,
                stepsize=0.01,
                initial_const=0.01,
            ),
            "ART": lambda: art_attack(
                on,
                "CarliniL2Method",
                binary_search_steps=5,
                max_iter=200,
                learning_rate=0.01,
                initial_const=0.01,
                batch_size=len(on.x),
                verbose=False,
            ),
        },
        runs=3,
        goal=0.5,
        once=("ART",),
    )


def _square(on: Subject) -> Comparison:
    queries = 1000
    return Comparison(
        "Square linf",
        "linf",
        f"eps 2/255, {queries} queries, first windows of 0.8 of the pixels",
        {
            OURS: _ours(on, Square(eps=EPS, queries=queries)),
            "torchattacks": lambda: torchattacks_attack(
                on, "Square", eps=EPS, n_queries=queries, seed=0
            ),
        },
        runs=3,
        goal=0.7,
        within_budget=True,
    )


def _autoattack(on: Subject, steps: int, runs: int) -> Comparison:
    return Comparison(
        f"AutoAttack linf, {steps} steps",
        "linf",
        f"eps 2/255, 9 targets, 5000 queries, {steps} steps of APGD and FAB: "
        + {10: "what torchattacks runs", 100: "the standard version"}[steps],
        {
            OURS: _ours(on, AutoAttack(eps=EPS, steps=steps)),
            "torchattacks": lambda: torchattacks_autoattack(on, EPS, steps),
        },
        runs=runs,
        goal=0.7,
        within_budget=True,
    )


def _jsma(on: Subject) -> Comparison:
    theta, gamma = 0.1, 0.145
    target = (on.y + 1) % CLASSES
    return Comparison(
        "JSMA, theta 0.1",
        "l0",
        "at most 0.145 of the features, each image to the class after its own; pairs by the "
        "largest gradients of the target alone, as ART takes them",
        {
            OURS: _ours(
                on,
                JSMA(theta=theta, gamma=gamma, limit="features", space="probabilities"),
                target,
            ),
            "ART": lambda: art_attack(
                on,
                "SaliencyMapMethod",
                target,
                theta=theta,
                gamma=gamma,
                batch_size=len(on.x),
                verbose=False,
            ),
        },
        runs=3,
        goal=0.1,
        once=("ART",),
    )


def _uap(on: Subject) -> Comparison:
    eps, passes = 2.5, 5

    def ours():
        attack = UAP(eps=eps, passes=passes, fooling_rate=0.8)
        return lambda: attack(on.model, on.x, on.y, fit=attack.fit(on.model, on.x, on.y)).x

    return Comparison(
        "UAP l2",
        "l2",
        "eps 2.5, at most 5 passes, inner DeepFool of 10 steps, fooling rate 0.8",
        {
            OURS: ours,
            "ART": lambda: art_attack(
                on,
                "UniversalPerturbation",
                attacker="deepfool",
                attacker_params={"max_iter": 10, "epsilon": 0.02, "verbose": False},
                delta=0.2,
                max_iter=passes,
                eps=eps,
                norm=2,
                batch_size=len(on.x),
                verbose=False,
            ),
        },
        runs=3,
        goal=0.1,
        within_budget=True,
        once=("ART",),
    )
