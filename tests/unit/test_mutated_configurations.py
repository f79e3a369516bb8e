"""Configurations with mistakes: each is refused with a message, or can be planned."""

from __future__ import annotations

import random
import re
from types import SimpleNamespace

import pytest

from advsparse.config.loading import WORKFLOW, load
from advsparse.config.plan import Plan
from advsparse.errors import ConfigError
from advsparse.stages._graph import Graph
from advsparse.stages._places import folder
from advsparse.stages._registry import stages
from advsparse.stages._wiring import Wiring
from advsparse.stages.dataset import published_files
from mutations import mutate, mutated_configuration, shipped

CULPRIT = re.compile(r"(\S+\.yaml(:\d+)?|the command line \(--config\)): \S")


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(WORKFLOW.parent)


def ask_everything(plan: Plan) -> None:
    """What the rules ask a plan for, of all of its jobs."""
    plan.described()
    graph = Graph(plan)
    published_files(plan, graph.reached)
    rules = Wiring(plan, WORKFLOW, pytest.fail, goes_on=lambda: True)
    for stage in stages().values():
        rule = rules.rule(stage.name, "draw_figure.py")
        for job in graph.known(stage):
            graph.modules(job), graph.before(job)
            named = {stage.wildcard: job.name, "paper": job.paper}
            wildcards = SimpleNamespace(**named, repetition=folder(job.repetition))
            assert repr([rule.input(wildcards), {k: v(wildcards) for k, v in rule.params.items()}])
    assert graph.reached


def accepted(path, given: dict | None = None) -> bool:
    """Whether a configuration can be planned; if not, the message names the culprit."""
    try:
        configuration = load([path], given)
    except ConfigError as error:
        said = str(error)
        assert "Traceback" not in said and "pydantic" not in said
        assert CULPRIT.match(said), said
        return False
    ask_everything(Plan(configuration))
    return True


def test_mistakes_end_in_a_message_or_a_plan(tmp_path, share):
    path, outcomes = tmp_path / "config.yaml", []
    for seed in share(range(200)):
        path.write_bytes(mutated_configuration(seed, "demo"))
        outcomes.append(accepted(path))
    # Else it would show nothing.
    assert 0.15 < sum(outcomes) / len(outcomes) < 0.85


def test_mistakes_on_the_command_line(share):
    for seed in share(range(40)):
        values = shipped("demo")
        mutate(values, random.Random(seed))
        accepted(WORKFLOW.parent / "config.yaml", values)
