"""Two hundred configurations with mistakes: each is refused with a message, or can be planned."""

from __future__ import annotations

import random
import re
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


@settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_mistakes_end_in_a_message_or_a_plan(tmp_path, seed):
    path = tmp_path / "config.yaml"
    path.write_bytes(mutated_configuration(seed, "demo"))
    accepted(path)


def test_mutations_are_refused_and_accepted(tmp_path):
    """Else the test above would show nothing."""
    path, found = tmp_path / "config.yaml", []
    for seed in range(20):
        path.write_bytes(mutated_configuration(seed, "demo"))
        found.append(accepted(path))
    assert 3 <= sum(found) <= 17


@settings(max_examples=40, derandomize=True, database=None, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_mistakes_on_the_command_line(seed):
    values = shipped("demo")
    mutate(values, random.Random(seed))
    accepted(WORKFLOW.parent / "config.yaml", values)
