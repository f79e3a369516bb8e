"""``make gpu-check``, on the CPU: each part of it, small."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from advsparse import registry
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.estimate.kinds import Coding, Defending, Learning, Network, Pass, Training
from advsparse.estimate.learning import of_learning
from advsparse.gpu_check import __main__ as command
from advsparse.gpu_check import throughput
from advsparse.gpu_check.agreement import agreement, compare, measures, rows
from advsparse.gpu_check.clock import Took, TooLong, at_most, taken
from advsparse.gpu_check.jobs_again import Example, examples, scripts
from advsparse.gpu_check.page import write_page
from advsparse.gpu_check.tests import run_tests
from advsparse.gpu_check.throughput import Measuring, brief, in_order
from advsparse.gpu_check.workloads import AS_IT_IS, Variant, Workload, at_once, built, workload
from advsparse.lazy import torch as lazy_torch
from advsparse.stages._registry import stages
from advsparse.stages._stage import Job
from project import ROOT

NETWORK = Network('{"kind": "mlp"}', (1, 28, 28), 10)
SMALL = (3, 16, 16)


@pytest.fixture
def plan() -> Plan:
    return Plan(load([ROOT / "config.yaml"], {"preset": "test"}))


# Without a GPU.


def test_without_a_gpu_it_says_so_in_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(lazy_torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu_check", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        command.main()
    said = capsys.readouterr()
    assert ended.value.code == command.NO_GPU == 2
    assert said.out == "" and said.err.count("\n") == 1 and "no GPU" in said.err
    assert not (tmp_path / "out").exists()


# The clock.


def test_what_takes_too_long_is_stopped():
    began = time.monotonic()
    with pytest.raises(TooLong, match=r"took more than 0\.05 s"), at_most(0.05):
        while True:
            torch.ones(10).sum()
    assert time.monotonic() - began < 5
    with at_most(0.05):
        pass
    time.sleep(0.1)  # the alarm is off


def test_the_first_time_is_told_apart():
    waits = iter([0.2, *[0.01] * 20])
    found = taken(lambda: time.sleep(next(waits)), "cpu", seconds=0.05, limit=5.0)
    assert found.first >= 0.2 and 0.01 <= found.seconds < 0.1
    assert found.runs >= 2 and found.host_mib > 10 and found.gpu_mib == 0


# Workloads.


def defended(spec):
    return json.dumps(registry.spec_of(registry.from_spec("defenses", spec)))


ENSEMBLE = {
    "kind": "averaged",
    "parts": [{"kind": "quilting", "patches": 50}, {"kind": "tvm", "iterations": 2}],
}


@pytest.mark.parametrize(
    ("kind", "amount"),
    [
        (Training(NETWORK, 8, "float32"), 32),
        (Training(NETWORK, 8, "bfloat16"), 32),
        (Pass(NETWORK), 256),
        (Pass(NETWORK, backward=True), 256),
        (Coding('{"kind": "lista", "layers": 2}', 4, (10,), 20), 16),
        (Coding('{"kind": "convlista", "filters": 3, "size": 3}', 4, SMALL), 16),
        (Defending(defended({"kind": "tvm", "iterations": 2}), SMALL), 64),
        (Defending(defended({"kind": "thermometer"}), SMALL, backward=True), 64),
        (Defending(defended({"kind": "mean_filter"}), SMALL, backward=True), 64),
        (Defending(defended(ENSEMBLE), SMALL), 64),
    ],
    ids=lambda value: getattr(value, "key", ""),
)
def test_work_is_as_much_as_it_says(kind, amount):
    work = workload(kind, "cpu")
    work.run()
    assert work.amount == amount


def test_a_training_trains_as_many_images_as_it_counts(monkeypatch):
    seen = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self: (seen.append(1), step(self))[1])
    workload(Training(NETWORK, 8, "float32"), "cpu").run()
    assert len(seen) == 4  # mini-batches of eight


def test_what_a_defence_learns_is_cut_short():
    method = registry.from_spec("defenses", {"kind": "magnet_reformer", "batch_size": 16})
    kind = Learning(json.dumps(of_learning(method)), SMALL)
    work = workload(kind, "cpu")
    work.run()
    assert work.amount == work.batch == 32  # one pass over so many images


def test_passes_are_of_as_many_images_as_attacks_ask_about_at_once():
    large = Network('{"kind": "mlp"}', (3, 224, 224), 10)
    assert at_once(built(NETWORK, "cpu"), NETWORK, "cpu") == 256
    assert 1 <= at_once(built(large, "cpu"), large, "cpu") < 256


def test_precision_is_put_back():
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    workload(Pass(NETWORK), "cpu", Variant("tf32")).run()
    workload(Training(NETWORK, 8, "float32"), "cpu", Variant("bfloat16")).run()
    assert [backend.allow_tf32 for backend in backends] == before
    assert str(AS_IT_IS) == "" and str(Variant("tf32", True)) == "tf32, compiled"


# Throughput.


@pytest.fixture
def measuring(monkeypatch) -> Measuring:
    monkeypatch.setattr(throughput, "SECONDS", 0.0)
    monkeypatch.setattr(throughput, "VARIED", 0)  # to compile takes half a minute
    return Measuring("cpu", time.monotonic() + 60, lambda line: None)


def test_a_way_back_is_what_it_takes_besides_the_way_there(measuring):
    there, back = Pass(NETWORK), Pass(NETWORK, backward=True)
    assert in_order({back: 9.0}) == [there, back]
    measuring.kind(there)
    measuring.kind(back)
    one, both = measuring.found.measured
    assert one["seconds_each"] > 0
    assert both["seconds_each"] >= 0 and both["counts"]
    assert measuring.found.seconds(back) == both["seconds_each"]


def test_trainings_and_passes_come_first_then_what_there_is_most_of():
    slow, some, most = Defending(defended({"kind": "tvm"}), SMALL), Pass(NETWORK), NETWORK
    trained = Training(most, 8, "float32")
    assert in_order({slow: 1e9, some: 5.0, trained: 50.0}) == [trained, some, slow]


def test_what_fails_or_takes_too_long_is_told_and_the_rest_is_measured(measuring, monkeypatch):
    monkeypatch.setattr(throughput, "LIMIT", 1.0)
    work = throughput.workload

    def sometimes(kind, device, variant):
        if kind == Pass(NETWORK):
            raise RuntimeError("CUDA out of memory")
        if isinstance(kind, Training):
            return work(Pass(NETWORK), device)._replace(run=lambda: time.sleep(9), amount=4.0)
        return work(kind, device, variant)

    monkeypatch.setattr(throughput, "workload", sometimes)
    other = Pass(Network('{"kind": "mlp"}', (1, 8, 8), 10))
    found = measuring.all({Pass(NETWORK): 3.0, Training(NETWORK, 8, "float32"): 2.0, other: 1.0})
    why = {row["key"]: row["why"] for row in found.skipped}
    assert "CUDA out of memory" in why[Pass(NETWORK).key]
    assert "took more than" in why[Training(NETWORK, 8, "float32").key]
    at_least = {row["key"]: row["at_least"] for row in found.measured if row["counts"]}
    assert at_least == {Training(NETWORK, 8, "float32").key: True, other.key: False}
    assert found.seconds(Training(NETWORK, 8, "float32")) == pytest.approx(1.0 / 4)


def test_once_the_time_is_over_nothing_more_is_measured(measuring):
    measuring.until = time.monotonic()
    found = measuring.all({Pass(NETWORK): 1.0})
    assert not found.measured
    assert [row["why"] for row in found.skipped] == ["the time was over"]


def test_a_whole_attack_is_measured_beside_its_passes(measuring):
    for back in (False, True):
        measuring.kind(Pass(NETWORK, back))
    measuring.attack({"kind": "pgd", "norm": "l2", "eps": 0.5, "steps": 40}, NETWORK)
    (row,) = measuring.found.attacks
    # Cut to twenty steps, for which the gradients; and looks without.
    assert row["backward"] == 20 * 256 and row["forward"] >= 22 * 256
    assert row["ratio"] == pytest.approx(row["seconds"] / row["passes_seconds"])
    other = Network('{"kind": "mlp"}', (1, 8, 8), 10)
    measuring.attack({"kind": "fgsm", "eps": 0.1}, other)
    assert "its passes were not measured" in measuring.found.skipped[-1]["why"]


def test_attacks_are_cut_short_where_they_repeat():
    spec = {"kind": "cw", "iterations": 1000, "search_steps": 9, "confidence": 3.0}
    assert brief(spec) == {**spec, "iterations": 20, "search_steps": 1}


def test_other_precisions_do_not_count(measuring):
    measuring.kind(Training(NETWORK, 8, "float32"), Variant("bfloat16"))
    (row,) = measuring.found.measured
    assert row["variant"] == "bfloat16" and not row["counts"]
    assert measuring.found.seconds(Training(NETWORK, 8, "float32")) is None


# Agreement.


def test_every_stage_that_runs_networks_has_an_example(plan):
    found = examples(plan)
    assert {example.job.stage for example in found} == {
        stage.name
        for stage in stages().values()
        # Parts of jobs do what whole ones do.
        if stage.gpu and not stage.shared and not stage.name.endswith("_part")
    }
    attacks = {example.kind for example in found if example.job.stage == "attack"}
    assert {"scada", "deepfool", "adaptive pgd", "dict_attack"} <= attacks
    assert set(scripts()) == set(stages())


def example(stage, kind=""):
    return Example(Job(stage, "one", "frecon2021"), kind)


ATTACKED = {
    "success": np.array([True] * 8 + [False] * 2),
    "distance": np.linspace(1, 2, 10),
    "queries": np.full(10, 50),
}
LEARNED = {"atoms": np.random.default_rng(0).normal(size=(8, 3, 4, 4))}
RESULTS = {
    "attack": ATTACKED,
    "classifier": {"weight": LEARNED["atoms"], "running_var": np.ones(3)},
    "fit": LEARNED | {"loss": np.array([3.0, 2.0, 1.0])},
    "defense": LEARNED,
    "transformed": {"x_train": np.full((4, 3, 8, 8), 100, np.uint8)},
    "experiment": {"m:a:accuracy": np.array([1, 1, 0, 0, 1]), "m:a:distance": np.ones(5)},
    "analysis": {"numbers": np.linspace(0, 1, 9)},
}


def altered(stage):
    """Results that no rounding explains, each in one way."""
    result = RESULTS[stage]
    other = np.random.default_rng(1).normal(size=(8, 3, 4, 4))
    ways = {
        "attack": [
            {"success": ~ATTACKED["success"]},
            {"distance": 1.1 * ATTACKED["distance"]},
            {"queries": 2 * ATTACKED["queries"]},
        ],
        "classifier": [{"weight": other}, {"weight": 1.5 * LEARNED["atoms"]}],
        "fit": [{"atoms": other}, {"loss": np.array([3.0, 2.0, 1.2])}],
        "defense": [{"atoms": other}],
        "transformed": [{"x_train": result.get("x_train", np.zeros(1, np.uint8)) + np.uint8(3)}],
        "experiment": [{"m:a:accuracy": np.array([1, 1, 1, 1, 1])}],
        "analysis": [{"numbers": np.linspace(0, 1, 9)[::-1]}],
    }
    return [result | way for way in ways[stage]]


@pytest.mark.parametrize("stage", sorted(RESULTS))
def test_what_is_the_same_agrees_and_what_is_altered_does_not(stage):
    one, result = example(stage), RESULTS[stage]
    assert all(each.agrees for each in compare(one, result, result))
    assert len(compare(one, result, result)) == len(measures(one))
    nearly = {
        name: array * (1 + 1e-6) if array.dtype.kind == "f" else array
        for name, array in result.items()
    }
    assert all(each.agrees for each in compare(one, result, nearly))
    for other in altered(stage):
        assert not all(each.agrees for each in compare(one, result, other))


@pytest.mark.parametrize(
    "other",
    [{}, {"weight": LEARNED["atoms"] * np.nan}, {"weight": LEARNED["atoms"][:4]}],
    ids=["missing", "not finite", "another shape"],
)
def test_what_is_missing_or_not_finite_on_one_side_does_not_agree(other):
    found = compare(example("classifier"), {"weight": LEARNED["atoms"]}, other)
    assert not any(each.agrees for each in found)


def test_of_layers_that_draw_the_length_of_steps_is_compared():
    drawn = {"weight": LEARNED["atoms"], "drawn": np.array(True)}
    other = np.random.default_rng(1).permuted(LEARNED["atoms"].ravel()).reshape(8, 3, 4, 4)
    (found,) = compare(example("classifier"), drawn, drawn | {"weight": other})
    assert found.agrees and "length" in found.measure
    for wrong in (2 * other, np.full_like(other, np.nan)):
        (found,) = compare(example("classifier"), drawn, drawn | {"weight": wrong})
        assert not found.agrees


def test_every_tolerance_has_a_reason():
    for stage in RESULTS:
        for measure in measures(example(stage)):
            assert measure.why and 0 < measure.tolerance < 0.5


def chosen(stage, kind):
    return lambda one: (one.job.stage, one.kind) == (stage, kind)


def test_jobs_run_again_as_they_do_and_leave_nothing_behind(plan, tmp_path):
    level, handlers = logging.root.level, logging.root.handlers[:]
    found, left = agreement(plan, tmp_path, "cpu", chosen=chosen("attack", "fgsm"))
    assert left == [] and {one.measure for one in found} == {
        measure.name for measure in measures(example("attack"))
    }
    assert all(one.agrees for one in found), rows(found)
    assert (logging.root.level, logging.root.handlers) == (level, handlers)


def test_a_device_that_computes_something_else_is_found_out(plan, tmp_path, monkeypatch):
    """A sign that is wrong on the second device alone."""
    from advsparse.gpu_check import jobs_again

    fgsm = registry.load("attacks", "fgsm")
    run, perturb = jobs_again.Runner.run, fgsm.perturb

    def wrong(self, job, device, again=False, rate=None):
        def other(attack, oracle, x, *more):
            found = perturb(attack, oracle, x, *more)
            return dataclasses.replace(found, x=2 * x - found.x)

        with pytest.MonkeyPatch.context() as patch:
            if again:
                patch.setattr(fgsm, "perturb", other)
            return run(self, job, device, again, rate)

    monkeypatch.setattr(jobs_again.Runner, "run", wrong)
    found, _ = agreement(plan, tmp_path, "cpu", chosen=chosen("attack", "fgsm"))
    assert not all(one.agrees for one in found)


def test_a_job_that_fails_on_a_device_is_told(plan, tmp_path, monkeypatch):
    from advsparse.gpu_check import jobs_again

    run = jobs_again.Runner.run

    def failing(self, job, device, again=False, rate=None):
        if again:
            raise RuntimeError("no kernel image is available for execution on the device")
        return run(self, job, device, again, rate)

    monkeypatch.setattr(jobs_again.Runner, "run", failing)
    (found,), _ = agreement(plan, tmp_path, "cpu", chosen=chosen("classifier", "lenet"))
    assert not found.agrees and found.found is None and "no kernel image" in found.said


def test_once_the_time_is_over_what_is_left_is_told(plan, tmp_path):
    found, left = agreement(plan, tmp_path, "cpu", until=lambda: True)
    assert found == [] and len(left) == len(examples(plan))


# What is written.


def test_the_tests_are_run_and_their_end_is_told():
    found = run_tests(ROOT, "cpu", 120, words="test_random_numbers_are_the_same_on_every_device")
    assert found["passed"] and "3 passed" in found["said"]


def test_the_page_tells_what_was_found(tmp_path):
    one = example("attack", "pgd <b>")
    other = altered("attack")[0]
    compared = rows(compare(one, ATTACKED, other))
    work = Workload(lambda: None, 256, 256)
    took = Took(256 * 0.002, 3, 1.0, 17.0, 100.0)
    measured = [throughput._row(Pass(NETWORK), took.seconds, work, took)]
    tf32 = Variant("tf32")
    measured.append(throughput._row(Pass(NETWORK), took.seconds, work, took, variant=tf32))
    slow = Training(NETWORK, 8, "float32")
    measured.append(throughput._row(slow, 20.0, work, None, least=True))
    told = {
        "written": "2026-01-01T00:00:00+00:00",
        "commit": {"commit": "0123456789abcdef", "clean": True},
        "machine": {"processor": "a <processor>", "cores": 2, "memory_gib": 24.0},
        "device": {"name": "a card", "kind": "cuda", "torch": "2", "memory_mib": 81920.0},
        "preset": "paper",
        "papers": ["p"],
        "tests": {"passed": True, "said": "7 passed"},
        "agreement": compared,
        "not_compared": ["p attack late"],
        "measured": measured,
        "attacks": [],
        "skipped": [{"key": "slow", "why": "took more than 20 s"}],
        "seconds": 100.0,
        "stopped": "",
        "estimate": ["in all: 12 hours"],
    }
    page = write_page(tmp_path, told)
    text = page.read_text(encoding="utf-8")
    for part in (
        "a card",
        "7 passed",
        "differs",
        "500",
        "tf32",
        "took more than 20 s",
        "12 hours",
        "at most",
    ):
        assert part in text
    assert "<b>" not in text and "a &lt;processor&gt;" in text and "p attack late" in text
    assert (tmp_path / "page.css").is_file() and 'href="page.css"' in text
    assert "check of the check" not in text


def test_a_check_writes_what_an_estimate_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(throughput, "SECONDS", 0.0)
    monkeypatch.setattr(throughput, "VARIED", 0)
    monkeypatch.setattr(command, "COUNTED", tmp_path / "passes.json")
    monkeypatch.setattr(command, "wholes", lambda plan, papers: [])
    # Passes are counted in a process of its own otherwise, which takes half a minute.
    done = types.SimpleNamespace(wait=lambda *seconds: 0, kill=lambda: None)
    monkeypatch.setattr(command, "_count", lambda given, papers: done)
    monkeypatch.setattr(command, "Counter", lambda file: command.Once())
    arguments = ["--device", "cpu", "--preset", "test", "--papers", "frecon2021"]
    arguments += ["--only", "throughput", "--minutes", "1", "--out", str(tmp_path / "out")]
    monkeypatch.setattr("sys.argv", ["gpu_check", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 0
    told = json.loads((tmp_path / "out" / "throughput.json").read_text())
    assert {row["what"] for row in told["measured"]} == {"training", "pass"}
    assert told["device"]["kind"] == "cpu" and not told["skipped"]
    requests = (tmp_path / "out" / "requests.yaml").read_text()
    assert "frecon2021/classifiers/lenet" in requests and "cpu:" in requests
    page = (tmp_path / "out" / "index.html").read_text()
    assert "check of the check" in page and "train lenet" in page
    assert "requests.yaml, " not in capsys.readouterr().out  # the rules' own file is left alone


def test_it_is_in_the_makefile():
    text = (ROOT / "Makefile").read_text()
    assert "python -m advsparse.gpu_check" in text and "make gpu-check" in text
    assert Path(ROOT / "docs" / "cluster.md").read_text().count("make gpu-check") >= 1
