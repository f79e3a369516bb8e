"""What each kind of work does, on random images of its sizes: as the jobs do it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from advsparse import registry
from advsparse.attacks._base import MEMORY
from advsparse.coding._signals import Signals
from advsparse.coding._training import GeneratedSignals, UnlabelledSignals
from advsparse.estimate.kinds import Coding, Defending, Kind, Learning, Network, Pass, Training
from advsparse.estimate.learning import shortened, steps
from advsparse.lazy import torch
from advsparse.lots import ATTACKED, TRANSFORMED
from advsparse.models import _training
from advsparse.seeding import Random

_BATCHES = 4
"""Mini-batches of a training that is measured."""


class Workload(NamedTuple):
    """Something to be done again and again."""

    run: Callable[[], object]
    amount: float
    """How much of its kind of work it is."""
    batch: int
    """Images at once."""


class Variant(NamedTuple):
    """How networks run: as the preset has it where nothing is said."""

    precision: str = ""
    """float32, tf32 or bfloat16; of jobs that of their training, and float32 otherwise."""
    compiled: bool = False

    def __str__(self) -> str:
        return f"{self.precision}{', compiled' if self.compiled else ''}"


AS_IT_IS = Variant()


def workload(kind: Kind, device: str, variant: Variant = AS_IT_IS) -> Workload:
    """The work of a kind on a device; the largest part of an hour can go into preparing it."""
    if isinstance(kind, Training):
        return _training_of(kind, device, variant)
    if isinstance(kind, Coding):
        return _coding(kind, device)
    if isinstance(kind, Pass):
        return _pass(kind, device, variant)
    if isinstance(kind, Defending):
        return _defending(kind, device)
    return _learning(kind, device)


def images(count: int, shape: tuple[int, ...], device: str, seed: int = 0) -> Any:
    """Random images, float32 in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, *shape), generator=generator).to(device)


def built(network: Network, device: str) -> Any:
    """A network with random weights, in evaluation mode and without gradients of parameters."""
    architecture = registry.from_spec("models", json.loads(network.architecture))
    coder = None
    if network.coder:
        method = registry.from_spec("coding", json.loads(network.coder))
        coder = method.build(network.shape, 0, None)
    model = architecture.build(network.shape, network.classes, 0, coder).to(device).eval()
    if network.inside:
        method = registry.from_spec("defenses", json.loads(network.inside))
        model = method.wrap(model, {}).eval()
    return model


@contextmanager
def tf32(on: bool):
    """Whether GPUs round what they multiply to 10 bits: jobs have it off."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [backend.allow_tf32 for backend in backends]
    for backend in backends:
        backend.allow_tf32 = on
    try:
        yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.allow_tf32 = value


def _training_of(kind: Training, device: str, variant: Variant) -> Workload:
    precision = variant.precision or kind.precision
    count = _BATCHES * kind.batch_size
    # Small steps: what is trained on noise is to stay finite.
    training = _training.Training(
        epochs=1,
        batch_size=kind.batch_size,
        optimizer="sgd",
        learning_rate=1e-4,
        precision="bfloat16" if precision == "bfloat16" else "float32",
    )
    model = built(kind.network, device)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (count, *kind.network.shape), generator=generator, dtype=torch.uint8)
    y = torch.randint(kind.network.classes, (count,), generator=generator)
    examples = _training.labelled(training, x.to(device), y.to(device), device=device)
    # Only a network without a loss of its own is run as it is compiled.
    compiled = variant.compiled and not hasattr(model, "loss")
    run: Any = torch.compile(model) if compiled else model

    def train():
        with tf32(precision == "tf32"):
            _training.train_on(examples, training, run, seed=0)

    return Workload(train, count, kind.batch_size)


def _coding(kind: Coding, device: str) -> Workload:
    method = registry.from_spec("coding", json.loads(kind.coder))
    count = _BATCHES * kind.batch_size
    training = _training.Training(
        epochs=1, batch_size=kind.batch_size, examples=count, learning_rate=1e-6
    )
    if kind.atoms:
        signals = Signals(size=kind.shape[0], atoms=kind.atoms, sparsity=max(1, kind.atoms // 10))
        dictionary = signals.dictionary(0)
        examples: Any = GeneratedSignals(signals, dictionary.to(device))
    else:
        dictionary = None
        examples = UnlabelledSignals(images(count, kind.shape, device), device=device)
    network = method.build(kind.shape, 0, dictionary).to(device)
    run = lambda: _training.train_on(examples, training, network, seed=0)  # noqa: E731
    return Workload(run, count, kind.batch_size)


def _pass(kind: Pass, device: str, variant: Variant) -> Workload:
    model = built(kind.network, device)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    batch = at_once(model, kind.network, device)
    x = images(batch, kind.network.shape, device)
    run = torch.compile(model) if variant.compiled else model

    def ask():
        mixed = variant.precision == "bfloat16"
        with (
            tf32(variant.precision == "tf32"),
            torch.autocast(device, torch.bfloat16, enabled=mixed),
        ):
            if not kind.backward:
                with torch.no_grad():
                    return run(x)
            point = x.clone().requires_grad_()
            value = run(point).float().logsumexp(1).sum()
            return torch.autograd.grad(value, point)

    return Workload(ask, batch, batch)


def at_once(model: Any, network: Network, device: str) -> int:
    """How many images an attack passes at once: what its memory allows, within a lot."""
    from advsparse.attacks._asking import undisturbed
    from advsparse.attacks._first_look import bytes_per_image
    from advsparse.attacks.pgd import PGD

    x = images(1, network.shape, device)
    with undisturbed(model, x.device):
        need = PGD(eps=0.1)._need(bytes_per_image(model, x), x, network.classes)
    return max(1, min(ATTACKED, MEMORY // need))


@lru_cache(1)
def _learned(method: str, shape: tuple[int, ...], network: Network | None, device: str) -> Any:
    """A defence that has learned for as short as it can, from noise; kept for its derivative, which
    is measured next."""
    made = _shortest(registry.from_spec("defenses", json.loads(method)))
    x, y, model = _lesson(_largest(made), shape, network, device)
    return made, made.fit(x, y, model=model, rng=0), model


def _lesson(method: Any, shape: tuple[int, ...], network: Network | None, device: str) -> Any:
    """Noise that a defence learns from, as few images as it can; with the network that it asks,
    their labels: what tells attacked images from others needs some that attacks can lead away from.
    """
    _, count = shortened(method, 10**6)
    x = images(count, shape, device)
    if network is None:
        return x, None, None
    model = built(network, device)
    return x, model(x).argmax(1), model


def _largest(method: Any) -> Any:
    """Of a defence made of others the part that learns from most images."""
    if not method.of_parts:
        return method
    return max(map(_largest, method.parts), key=lambda part: shortened(part, 10**6)[1])


def _shortest(method: Any) -> Any:
    if method.of_parts:
        return replace(method, parts=[*map(_shortest, method.parts)])
    return shortened(method, 10**6)[0] if method.learns else method


def _defending(kind: Defending, device: str) -> Workload:
    method, learned, model = _learned(kind.method, kind.shape, kind.network, device)
    network = torch.nn.Flatten() if model is None else model
    wrapped = method.wrap(network, learned).to(device)
    if method.place == "in front of the network":
        backward = "exact" if method.backward == "exact" else "declared"
        seen = wrapped.adapted(backward, 1)
        numbers = (Random(1),) if method.stochastic else ()
        transform = lambda x: seen.transform(x, *numbers)  # noqa: E731
    else:
        transform = wrapped.excess
    batch = TRANSFORMED
    x = images(batch, kind.shape, device)

    def defend():
        if not kind.backward:
            with torch.no_grad():
                return transform(x)
        point = x.clone().requires_grad_()
        return torch.autograd.grad(transform(point).sum(), point)

    return Workload(defend, batch, batch)


def _learning(kind: Learning, device: str) -> Workload:
    method = registry.from_spec("defenses", json.loads(kind.method))
    x, y, model = _lesson(method, kind.shape, kind.network, device)
    count = len(x)
    return Workload(lambda: method.fit(x, y, model=model, rng=0), steps(method, count), count)
