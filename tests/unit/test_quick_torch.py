"""Torch without its tracer, in processes of their own."""

from __future__ import annotations

import subprocess
import sys

from project import ROOT

TRAINED = """
import sys
if {quick}:
    from advsparse.quick_torch import leave_out_tracing
    leave_out_tracing()
import torch
torch.manual_seed(0)
for optimizer in (torch.optim.Adam, torch.optim.SGD, torch.optim.LBFGS):
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    network = torch.nn.utils.parametrizations.weight_norm(network[0])
    steps = optimizer(network.parameters(), lr=0.1)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(steps, 10)
    def loss():
        steps.zero_grad()
        value = (network(torch.ones(5, 3)) - 1).square().sum()
        value.backward()
        return value
    for _ in range(10):
        steps.step(loss)
        rate.step()
    steps.load_state_dict(steps.state_dict())
    print([p.tolist() for p in network.parameters()])
print("tracer", "torch._dynamo.utils" in sys.modules, file=sys.stderr)
print("export", "torch.export.exported_program" in sys.modules, file=sys.stderr)
"""
COMPILED = """
from advsparse.quick_torch import leave_out_tracing
leave_out_tracing()
{first}
import torch
double = torch.compile(lambda x: x.sin() * 2, backend="eager")
assert torch.equal(double(torch.ones(3)), torch.ones(3).sin() * 2)
assert torch.empty(3, device="meta").sin().shape == (3,)
"""
EXPORTED = """
from advsparse.quick_torch import leave_out_tracing
leave_out_tracing()
import torch
{first}
network = torch.nn.Linear(3, 4)
program = torch.export.export(network, (torch.ones(2, 3),))
assert torch.equal(program.module()(torch.ones(2, 3)), network(torch.ones(2, 3)))
"""


def run(code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=ROOT / "workflow", capture_output=True, text=True, check=True, timeout=300
    )


def test_networks_are_trained_to_the_same_bits_without_the_tracer():
    quick, whole = (run(TRAINED.format(quick=quick)) for quick in (True, False))
    assert quick.stdout == whole.stdout and quick.stdout.count("[") > 6
    assert "tracer False" in quick.stderr and "export False" in quick.stderr


def test_who_compiles_gets_the_tracer():
    run(COMPILED.format(first=""))


def test_who_needs_what_needs_the_tracer_gets_it():
    run(COMPILED.format(first="import torchvision"))


def test_who_exports_gets_what_that_needs():
    run(EXPORTED.format(first=""))
    run(EXPORTED.format(first="from torch.export.exported_program import ExportedProgram"))
