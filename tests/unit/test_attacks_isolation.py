"""What an attack must not depend on, and must leave alone: tested on each that is registered."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from models_for_tests import (
    ALREADY,
    CASES,
    CLASSES,
    DEVICES,
    ROUNDING,
    assert_same,
    attacked,
    batch_sizes,
    build,
    in_a_norm,
    need,
    norms_of,
    predictions,
    run,
    setting,
    small_images,
    small_network,
)

from advsparse import registry
from advsparse.attacks._first_look import bytes_per_image

RANDOM = [kind for kind in registry.kinds("attacks") if registry.load("attacks", kind).randomness]
"""The attacks that draw random numbers, some of them while they learn."""

SEEDED = {"fab": {"steps": 1, "restarts": 3}} | {
    kind: {"steps": 2, "restarts": 2} for kind in ("alma", "ddn", "fmn", "pdpgd")
}
"""Settings with which a start that was drawn leads further than the first one, which was not."""

UNDRAWN = [
    *(("fmn", "l0"), ("pdpgd", "l0")),
    *(("nearest", norm) for norm in norms_of("nearest")),
]
"""What draws in other norms alone, or with more passes than here."""

each_attack = pytest.mark.parametrize(("kind", "norm"), CASES)


@pytest.mark.parametrize("device", DEVICES)
@each_attack
def test_images_do_not_feel_their_batch(kind, norm, device):
    _, x, y = setting(torch.float64, device)
    # Where numbers are drawn, three times: which starts and windows succeed is chance.
    for seed in range(3 if kind in RANDOM else 1):
        together = attacked(kind, norm, device=device, rng=seed)
        order = torch.tensor([6, 0, 5, 2, 4, ALREADY, 1])
        shuffled = attacked(kind, norm, device=device, x=x[order], y=y[order], rng=seed)
        assert_same(shuffled, together, order, **ROUNDING)
        for i in range(len(x)):
            if i != ALREADY:  # alone it has no trace
                one = {"x": x[i : i + 1], "y": y[i : i + 1]}
                alone = attacked(kind, norm, device=device, rng=seed, **one)
                assert_same(alone, together, slice(i, i + 1), **ROUNDING)


@in_a_norm("memory_bounds_the_batch_and_nothing_else")
def test_memory_bounds_the_batch_and_nothing_else(kind, norm):
    model, x, _ = setting(torch.float64)
    one = need(build(kind, norm), model, x)
    together = attacked(kind, norm)
    for memory, largest in ((1, 1), (2 * one + 1, 2), (3 * one, 3)):
        with batch_sizes(model) as seen:
            parts = attacked(kind, norm, memory=memory)
        assert max(seen) == largest
        assert_same(parts, together, **ROUNDING)


def test_memory_counts_what_a_backward_pass_keeps():
    x = torch.rand(1, 3, 8, 8)
    layer = torch.nn.Conv2d(3, 5, 3, padding=1)
    plain = torch.nn.Sequential(layer, torch.nn.Flatten())
    relu = torch.nn.Sequential(layer, torch.nn.ReLU(), torch.nn.Flatten())
    # The convolution keeps its input (and its weights, which don't count), the ReLU its output.
    assert bytes_per_image(plain, x) == x.nbytes + x.nbytes
    assert bytes_per_image(relu, x) == x.nbytes + x.nbytes + 5 * 8 * 8 * 4


@each_attack
def test_nothing_but_the_result_changes(kind, norm):
    x = small_images(5)
    model = small_network(x)
    y = predictions(model, x)
    target = (y + 1) % CLASSES
    parameters = list(model.parameters())
    parameters[1].requires_grad_(False)
    parameters[0].grad = torch.full_like(parameters[0], 3.0)

    def state():
        return (
            *(tensor.clone() for tensor in model.state_dict().values()),
            *(torch.zeros(()) if p.grad is None else p.grad.clone() for p in parameters),
            *(tensor.clone() for tensor in (x, y, target)),
            torch.get_rng_state(),
            torch.tensor([p.requires_grad for p in parameters]),
            torch.tensor([p.grad is None for p in parameters]),
            torch.tensor([module.training for module in model.modules()]),
            torch.from_numpy(np.random.get_state()[1].astype(np.int64)),  # noqa: NPY002
            torch.tensor(random.getstate()[1]),
            torch.tensor(torch.is_grad_enabled()),
        )

    assert any(module.training for module in model.modules())
    assert not all(module.training for module in model.modules())
    before = state()
    run(build(kind, norm), model, x, y)
    run(build(kind, norm), model, x, y, target)
    with pytest.raises(ValueError, match="x: "):
        run(build(kind, norm), model, x + 2, y)
    for was, now in zip(before, state(), strict=True):
        assert torch.equal(was, now)


@each_attack
def test_model_is_evaluated_without_gradients_of_its_parameters(kind, norm):
    x = small_images(4)
    model = small_network(x)
    y = predictions(model, x)
    seen = set()

    def look(module, _):
        wanted = any(parameter.requires_grad for parameter in module.parameters())
        seen.add((any(part.training for part in module.modules()), wanted))

    model.register_forward_pre_hook(look)
    run(build(kind, norm), model, x, y)
    assert seen == {(False, False)}


@in_a_norm("training_mode_makes_no_difference")
def test_training_mode_makes_no_difference(kind, norm):
    x = small_images(5)
    model = small_network(x)
    y = predictions(model, x)
    training = run(build(kind, norm), model, x, y)
    assert_same(run(build(kind, norm), model.eval(), x, y), training, rtol=0, atol=0)


@in_a_norm("callers_autograd_state_makes_no_difference")
def test_callers_autograd_state_makes_no_difference(kind, norm):
    model, x, y = setting(torch.float64)
    expected = run(build(kind, norm), model, x, y)
    with torch.no_grad():
        assert_same(run(build(kind, norm), model, x, y), expected, rtol=0, atol=0)
    watched = x.clone().requires_grad_()
    result = run(build(kind, norm), model, watched, y)
    assert watched.grad is None
    for tensor in (result.x, result.distance, *result.trace.values()):
        assert not tensor.requires_grad
    assert_same(result, expected, rtol=0, atol=0)


@in_a_norm("memory_layout_of_the_images_makes_no_difference")
def test_memory_layout_of_the_images_makes_no_difference(kind, norm):
    _, x, y = setting(torch.float64)
    expected = attacked(kind, norm)
    transposed = x.transpose(0, 3).contiguous().transpose(0, 3)
    every_other = torch.stack([x, x - 1], dim=1).flatten(0, 1)[::2]
    for given in (x.contiguous(memory_format=torch.channels_last), transposed, every_other):
        assert torch.equal(given, x) and given.stride() != x.stride()
        assert_same(attacked(kind, norm, x=given, y=y), expected, **ROUNDING)


@each_attack
def test_seed_decides(kind, norm):
    model, x, y = setting(torch.float32)
    drawn = kind in RANDOM and (kind, norm) not in UNDRAWN
    attack = build(kind, norm, **SEEDED.get(kind, {}) if drawn else {})
    one, again, other = (run(attack, model, x, y, rng=seed) for seed in (1, 1, 2))
    assert_same(again, one, rtol=0, atol=0)
    same = torch.equal(one.x, other.x) and torch.equal(one.queries, other.queries)
    assert same == (not drawn)


SCRIPT = """
import hashlib
import torch
from models_for_tests import CASES, attacked
torch.set_num_threads(1)
digest = hashlib.sha256()
for case in CASES:
    result = attacked(*case, torch.float32)
    for tensor in (result.x, result.distance, result.steps, *result.trace.values()):
        digest.update(tensor.contiguous().numpy().tobytes())
print(digest.hexdigest())
"""


def test_processes_agree_bit_for_bit():
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parents[1] / "workflow")])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
        )
        for seed in ("0", "1")
    ]
    one, other = (process.communicate(timeout=300)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0]
    assert len(one.strip()) == 64 and one == other
