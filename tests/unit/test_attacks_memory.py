"""The memory that an attack takes is bounded, however many images there are."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from models_for_tests import build, need, predictions, small_images, small_network

from advsparse import registry
from advsparse.config.loading import WORKFLOW

BUDGET = 24 * 2**20
IMAGES = 5_000

SCRIPT = """
import json
import sys
import warnings
import torch
from advsparse import registry

warnings.simplefilter("ignore")
torch.set_num_threads(1)
torch.manual_seed(0)
spec, learns, budget, count = json.loads(sys.argv[1])
nn = torch.nn
model = nn.Sequential(
    nn.Conv2d(1, 8, 5, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 12 * 12, 10)
).eval()
x = torch.rand(count, 1, 28, 28)
with torch.no_grad():
    y = torch.cat([model(part).argmax(1) for part in x.split(100)])
attack = registry.from_spec("attacks", spec)
options = {"fit": attack.fit(model, x[:2], y[:2])} if hasattr(attack, "fit") else {}
attack(model, x[:2], y[:2], **options)  # loads what is loaded once

def memory(name):
    # Not ru_maxrss of the module resource, which a child inherits from its parent.
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith(name))

before = memory("VmRSS")
if learns:
    arrays = attack.fit(model, x, y, memory=budget).arrays
    assert arrays.get("codes", arrays.get("perturbation")).any(), "nothing was learned"
    found = list(arrays.values())
else:
    result = attack(model, x, y, memory=budget, **options)
    assert len(result.x) == count and (result.x != x).flatten(1).any(1).float().mean() > 0.5
    found = [result.x, result.success, result.distance, result.queries, result.steps]
    found += result.trace.values()
print(memory("VmHWM") - before - sum(values.nbytes for values in found))
"""


def growth(spec, learns=False, budget=BUDGET):
    """Bytes by which a process grows that attacks the images, or learns, without the outputs."""
    here = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([spec, learns, budget, IMAGES])],
        env=os.environ | {"PYTHONPATH": str(here / "workflow")},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=300,
    )
    return int(done.stdout)


SPECS = {
    "fgsm": {"kind": "fgsm", "eps": 1e-3},
    "pgd": {"kind": "pgd", "norm": "l2", "eps": 1e-2, "steps": 3},
    "deepfool": {"kind": "deepfool", "steps": 3},
    "lbfgs": {"kind": "lbfgs", "search_steps": 1, "iterations": 4},
    "scada": {"kind": "scada", "lambda1": 0.0, "iterations": 3, "coding_iterations": 3},
    "uap": {"kind": "uap", "eps": 0.1, "passes": 1, "inner": "fgsm"},
}
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@linux
@pytest.mark.parametrize("name", sorted(SPECS.keys() - {"uap"}))
def test_thousands_of_images_are_attacked_within_the_budget(name):
    assert growth(SPECS[name]) <= BUDGET


@linux
@pytest.mark.parametrize("name", ["scada", "uap"])
def test_thousands_of_images_are_learned_from_within_the_budget(name):
    assert growth(SPECS[name], learns=True) <= BUDGET


@linux
def test_growth_is_what_a_budget_is_for():
    """Where it is needed: an attack takes a lot of images at once at most, learning all of them."""
    assert growth(SPECS["scada"], learns=True, budget=2**31) > 2 * BUDGET


LEARNERS = {
    "scada": {},
    "sadil": {"scheme": "stochastic", "batch_size": 5, "iterations": 4},
    "uap": {},
    "targeted_uap": {},
}


@pytest.mark.parametrize("name", LEARNERS)
def test_memory_makes_no_difference_to_what_is_learned(name):
    x = small_images(11, torch.float64)
    model = small_network(x)
    y = predictions(model, x)
    attack = build(name if name != "sadil" else "scada", "l2", **LEARNERS[name])
    one = need(attack, model, x, learning=True)
    whole = attack.fit(model, x, y)
    assert whole.arrays.keys()
    for memory in (1, 3 * one):
        seen = []
        handle = model.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        parts = attack.fit(model, x, y, memory=memory)
        handle.remove()
        assert max(map(len, seen)) == max(1, memory // one)
        for key, values in whole.arrays.items():
            torch.testing.assert_close(parts.arrays[key], values, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("settings", [{"kind": "fgsm", "norm": "linf", "eps": 0.1},
                                      {"kind": "square", "norm": "linf", "eps": 0.1, "queries": 5}],
                         ids=["gradients", "none"])  # fmt: skip
def test_no_attack_imports_torchs_compiler(settings):
    """Counting what a pass writes did, which took each such job a second or two."""
    code = (
        "import sys, torch\n"
        "from advsparse import registry\n"
        "network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))\n"
        f"attack = registry.from_spec('attacks', {settings!r})\n"
        "attack(network, torch.rand(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64))\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(WORKFLOW)}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 0


def test_nothing_of_a_call_stays_once_it_has_ended():
    """A training attacks each mini-batch: what one leaves behind adds up."""
    x = small_images(8)
    model = torch.nn.Sequential(small_network(x), torch.nn.ReLU())  # which keeps its own result
    attack = registry.from_spec("attacks", SPECS["pgd"])
    y = predictions(model, x)

    def alive():
        gc.collect()
        return sum(isinstance(one, torch.Tensor) for one in gc.get_objects())

    attack(model, x, y)
    before = alive()
    for _ in range(3):
        attack(model, x, y)
    assert alive() == before
