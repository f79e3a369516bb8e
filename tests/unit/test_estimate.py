"""Work counted before it is done, and what it is estimated to take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from models_for_tests import predictions, small_images, small_network

from advsparse import registry, requests
from advsparse.config.loading import load
from advsparse.config.plan import Plan
from advsparse.errors import UserError
from advsparse.estimate import beside, passes
from advsparse.estimate.asked import asked
from advsparse.estimate.kinds import Coding, Defending, Network, Pass, Training
from advsparse.estimate.learning import learners, shortened, steps
from advsparse.estimate.passes import Counter, Declared, Once
from advsparse.estimate.report import Measured, cost, lines
from advsparse.estimate.sizes import PUBLISHED, size_of
from advsparse.estimate.work import Counting, Work
from advsparse.stages._places import Places
from advsparse.stages._stage import Job
from project import ROOT

PGD = {"kind": "pgd", "norm": "l2", "eps": 0.5, "steps": 5}
NETWORK = Network('{"kind": "lenet"}', (3, 32, 32), 10)


@pytest.fixture(scope="module")
def paper() -> Counting:
    """The work of the preset ``paper``, without passes of attacks."""
    plan = Plan(load([ROOT / "config.yaml"], {"preset": "paper"}))
    return Counting(plan, plan.configuration.papers, Once())


# Passes of attacks.


@pytest.mark.parametrize(
    "spec",
    [
        PGD,
        {"kind": "fgsm", "eps": 0.1},
        {"kind": "deepfool"},
        {"kind": "cw", "search_steps": 2, "iterations": 7},
        {"kind": "jsma"},
    ],
    ids=lambda spec: spec["kind"],
)
def test_passes_are_those_that_the_attack_says_it_took(spec, monkeypatch):
    """By ``Result.queries``, but for the first look, which says how much memory a pass takes."""
    results = []
    attack = type(registry.from_spec("attacks", spec))
    call = attack.__call__
    monkeypatch.setattr(
        attack, "__call__", lambda self, *given, **more: results.append(call(self, *given, **more))
    )
    found = Counter().count(spec, (3, 8, 8), 10)
    said = float(results[0].queries.sum()) / passes.IMAGES
    looked = 2 / passes.IMAGES
    assert found.forward + found.backward == pytest.approx(said + looked, abs=1 / passes.IMAGES)
    assert not found.at_least


def test_draws_and_transformations_are_counted():
    spec = {"kind": "adaptive", "samples": 3, "attack": PGD}
    declared = Declared("in front of the network", stochastic=True, backward="exact")
    found = Counter().count(spec, (3, 8, 8), 10, declared=declared)
    assert found.backward == found.defended_backward == 3 * 5
    # Of each step three, of the clean image and the result one each; and the first look.
    assert found.defended == pytest.approx(3 * 5 + 2, abs=3)
    identity = Declared("in front of the network", stochastic=True, backward="identity")
    found = Counter().count(spec, (3, 8, 8), 10, declared=identity)
    assert (found.backward, found.defended_backward) == (15, 0)
    ensemble = Declared("in front of the network", True, "identity", ensemble=4)
    assert Counter().count(spec, (3, 8, 8), 10, declared=ensemble).backward == 60


def test_a_detector_is_asked_in_each_pass():
    spec = {"kind": "adaptive", "attack": PGD}
    found = Counter().count(spec, (3, 8, 8), 10, declared=Declared("beside the network", False))
    assert found.backward == 5 and found.defended >= 5


def test_what_learns_is_counted_for_each_image():
    spec = {"kind": "uap", "norm": "l2", "eps": 0.1, "passes": 2}
    one = Counter().count(spec, (3, 8, 8), 10, learns=True)
    more = Counter().count({**spec, "passes": 4}, (3, 8, 8), 10, learns=True)
    assert 1.5 < more.backward / one.backward < 2.5


def test_counting_is_given_up_and_says_so(monkeypatch):
    monkeypatch.setattr(passes, "MOST", 20)
    found = Counter().count({"kind": "cw"}, (3, 8, 8), 10)
    assert found.at_least and 20 <= found.forward + found.backward < 40


def test_counts_are_kept_by_all_that_they_hang_on(tmp_path, monkeypatch):
    file = tmp_path / "below" / "passes.json"
    first = Counter(file).count(PGD, (3, 8, 8), 10)
    monkeypatch.setattr(passes, "_counted", lambda *about: passes.Count(forward=-1.0))
    again = Counter(file)
    assert again.count(PGD, (3, 8, 8), 10) == first
    assert again.count(PGD, (3, 8, 8), 10, code="another").forward == -1
    assert again.count({**PGD, "steps": 6}, (3, 8, 8), 10).forward == -1
    assert again.count(PGD, (3, 8, 8), 20).forward == -1


def test_what_the_small_network_is_not_for_is_not_counted():
    assert Counter().count({"kind": "dict_attack", "eps": 1.0}, (3, 8, 8), 10, learns=True) is None


# Sizes.


def test_published_sizes_are_those_of_their_publishers():
    sources = {kind: registry.from_spec("data", {"kind": kind}) for kind in PUBLISHED}
    found = {kind: size_of(source, Path("nowhere")) for kind, source in sources.items()}
    assert found["mnist"] == ((1, 28, 28), 10, 60000, 10000)
    assert found["cifar10"] == ((3, 32, 32), 10, 50000, 10000)
    assert found["tiny_imagenet"] == ((3, 64, 64), 200, 100000, 10000)
    assert found["imagenet"] == ((3, 224, 224), 1000, 1281167, 50000)
    assert found["imagenet10"] == ((3, 64, 64), 10, 80000, 20000)


def test_stand_ins_are_as_large_as_they_are():
    source = registry.from_spec("data", {"kind": "digits", "size": 9, "test_per_class": 7})
    splits = source.load(Path())
    found = size_of(source, Path())
    assert found == ((1, 9, 9), 10, len(splits.y_train), len(splits.y_test))
    assert found.of("test") == 70


# The work of jobs, beside the sizes that the papers state.


def amounts(counting, paper, stage, name):
    return counting.of(Job(stage, name, paper)).amounts


@pytest.mark.parametrize(
    ("paper_key", "stage", "name", "kind", "amount"),
    [
        ("frecon2021", "classifier", "lenet", Training, 20 * 50000),
        # The supplement: 100 epochs on CIFAR-10, MNIST and Tiny ImageNet.
        ("weitzner2023", "classifier", "wideresnet", Training, 100 * 50000),
        ("weitzner2023", "classifier", "resnet18", Training, 100 * 60000),
        ("weitzner2023", "classifier", "resnet50", Training, 100 * 100000),
        ("weitzner2023", "coder", "lista_a", Coding, 1000 * 200000),
        ("weitzner2023", "coder", "convlista_tiny_imagenet", Coding, 100 * 100000),
        # Section 4: 100 epochs, and a test set that is perturbed once.
        ("mitro2018", "classifier", "hrnn_cifar10", Training, 100 * 50000),
        # ImageNet as it is, and ten classes of it.
        ("sun2019", "classifier", "resnet_imagenet", Training, 90 * 1281167),
        ("sun2019", "classifier", "vgg_imagenet10", Training, 200 * 80000),
        ("sun2019", "transformed", "quilting_imagenet", Defending, 1281167),
        ("canu2021", "classifier", "lenet_trained", Training, 20 * 100000),
    ],
)
def test_the_preset_paper_has_the_papers_sizes(paper, paper_key, stage, name, kind, amount):
    found = amounts(paper, paper_key, stage, name)
    assert [n for k, n in found.items() if isinstance(k, kind)] == [amount]


def test_a_network_is_called_by_what_it_costs(paper):
    (kind,) = amounts(paper, "weitzner2023", "classifier", "wideresnet")
    assert kind.key == "train wideresnet, 3x32x32, 10 classes, batches of 128, bfloat16"
    (kind,) = amounts(paper, "sun2019", "classifier", "quilting_imagenet")
    assert kind.key == "train resnet50, 3x224x224, 1000 classes, batches of 256, float32"


def test_behind_another_ones_weights_nothing_is_trained(paper):
    assert amounts(paper, "sun2019", "classifier", "sap_cifar10") == {}
    found = amounts(paper, "sun2019", "attack", "adapted_sap_cifar10")
    assert all("with sap" in kind.key for kind in found)


def test_passes_behind_a_thermometer_are_of_its_channels(paper):
    found = amounts(paper, "sun2019", "classifier", "thermometer_cifar10")
    shapes = {kind.network.shape for kind in found if isinstance(kind, Training | Pass)}
    assert shapes == {(48, 32, 32)}
    assert any(isinstance(kind, Defending) and kind.backward for kind in found)


def test_an_experiment_judges_clean_images_and_each_attack_twice(paper):
    found = amounts(paper, "frecon2021", "experiment", "atoms")
    ((kind, amount),) = found.items()
    assert isinstance(kind, Pass) and amount == 10000 + 2 * 6 * 128


def test_on_another_network_each_attack_is_judged_once(paper):
    found = amounts(paper, "canu2021", "experiment", "transfer")
    # The clean test set; its own attack twice; two others once, with the clean images of both.
    assert [*found.values()] == 3 * [10000 + 2 * 128 + 2 * 128 + 128]


def test_parts_have_their_share():
    plan = Plan(load([ROOT / "config.yaml"], {"preset": "paper", "shards": {"attack": 20}}))
    counting = Counting(plan, ["sun2019"], Once())
    whole = counting.of(Job("attack", "bim_cifar10", "sun2019")).amounts
    part = counting.of(Job("attack_part", "bim_cifar10/3-of-20", "sun2019")).amounts
    assert part == {kind: pytest.approx(amount / 20) for kind, amount in whole.items()}


def test_images_that_a_job_holds_are_told(paper):
    work = paper.of(Job("attack", "fgsm_imagenet/eps=0.08", "sun2019"))
    assert work.held_mib == pytest.approx(50000 * 3 * 224 * 224 * 4 / 2**20)
    assert any("GiB  sun2019 attack fgsm_imagenet" in line for line in lines("p", [work], None))


# What defences learn.

LEARNERS = [kind for kind in registry.kinds("defenses") if registry.load("defenses", kind).learns]


@pytest.mark.parametrize("kind", LEARNERS)
def test_a_shortened_defence_takes_fewer_steps(kind):
    method = registry.from_spec("defenses", {"kind": kind})
    short, images = shortened(method, 10000)
    assert type(short) is type(method)
    assert 0 < steps(short, images) <= steps(method, 10000)


def test_of_one_that_is_made_of_others_these_learn():
    parts = [{"kind": "quilting"}, {"kind": "tvm"}]
    method = registry.from_spec("defenses", {"kind": "averaged", "parts": parts})
    assert [registry.kind_of(one) for one in learners(method)] == ["quilting"]


# Estimates.


def told(**more):
    about = {"device": {"name": "a card", "kind": "cuda"}, "attacks": []}
    rows = [(Pass(NETWORK), 0.002, False), (Pass(NETWORK, backward=True), 0.004, True)]
    measured = [
        {"key": kind.key, "seconds_each": each, "counts": True, "at_least": least, "host_mib": 1000}
        for kind, each, least in rows
    ]
    return about | {"measured": measured} | more


def read(tmp_path, **more):
    path = tmp_path / "throughput.json"
    path.write_text(json.dumps(told(**more)))
    return Measured.read(path)


@pytest.fixture
def work():
    found = Work(Job("attack", "pgd/eps=1", "p"), attack="pgd")
    found.add(Pass(NETWORK), 3000)
    found.add(Pass(NETWORK, backward=True), 1000)
    return found


def test_an_estimate_is_work_times_what_it_takes(tmp_path, work):
    found = cost(work, read(tmp_path))
    assert found.seconds == pytest.approx(3000 * 0.002 + 1000 * 0.004)
    assert found.at_least and not found.unmeasured


def test_attacks_that_were_measured_as_a_whole_take_their_own_time(tmp_path, work):
    attacks = [{"attack": "pgd", "ratio": 1.5}, {"attack": "cw", "ratio": 9.0}]
    assert cost(work, read(tmp_path, attacks=attacks)).seconds == pytest.approx(15.0)


def test_what_was_not_measured_is_not_in_the_hours(tmp_path, work):
    other = Pass(Network('{"kind": "lenet"}', (1, 28, 28), 10))
    work.add(other, 77)
    found = cost(work, read(tmp_path))
    assert found.seconds == pytest.approx(10.0) and found.unmeasured == [other.key]
    said = "\n".join(lines("paper", [work], read(tmp_path)))
    assert "a card" in said and f"{other.key} (passes)" in said
    assert "at least 0.00278 hours, and what was not measured of 1 jobs" in said


def test_without_a_measurement_work_is_told_and_how_to_measure(work):
    said = "\n".join(lines("paper", [work], None))
    assert "4e+03 passes" in said and "make gpu-check" in said and "hours" not in said


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"measured": 3}', '{"measured": [{}]}'])
def test_what_is_no_measurement_is_refused(tmp_path, text):
    path = tmp_path / "throughput.json"
    path.write_text(text)
    with pytest.raises(UserError, match="is not what make gpu-check writes"):
        Measured.read(path)
    with pytest.raises(UserError, match="make gpu-check writes it"):
        Measured.read(tmp_path / "none.json")


def test_requests_are_of_the_form_that_rules_read(tmp_path, work, monkeypatch):
    places = Places("results/paper")
    half = Work(Job("attack", "pgd/eps=2", "p"), amounts={Pass(NETWORK): 1e6}, held_mib=2000)
    costs = [cost(one, Measured("a card", "cuda", {Pass(NETWORK).key: 0.006})) for one in [half]]
    needs = asked(costs, places, host_mib=1000)
    # 2 x 6000 s are 200 minutes; 1.5 x (1000 + 3 x 2000) MiB are 11010 MB.
    assert needs == {"p/attacks/pgd": {"mem_mb": 11500, "runtime": 200}}
    monkeypatch.setattr(requests, "FILE", tmp_path / "requests.yaml")
    requests.write("paper", "cuda", needs)
    assert requests.read("paper", "cuda") == needs
    # Of what is not known to the end, nothing is asked.
    assert asked([cost(work, read(tmp_path))], places, 1000) == {}


def test_an_estimate_beside_what_jobs_took(tmp_path, work):
    log = tmp_path / "logs" / "p" / "attacks" / "pgd" / "eps=1.log"
    log.parent.mkdir(parents=True)
    log.write_text("said\n2026-01-01 00:00:00,000 done in 5.00 s, 1.00 s after its start\n")
    found = cost(work, read(tmp_path))
    pairs = beside.taken([found], Places(str(tmp_path)))
    assert pairs == [(found, 5.0)]
    assert "estimated over taken: 2.00 in all" in [*beside.lines(pairs)][-1]
    log.write_text("2026-01-01 00:00:00,000 done in 0.50 s, 1.00 s after its start\n")
    assert beside.taken([found], Places(str(tmp_path))) == []
    assert "no job" in next(beside.lines([]))


def test_the_counting_network_is_no_other_each_time():
    x = small_images(3)
    one, other = (passes._network(x, 4, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(one(x), other(x))
    assert len(set(predictions(small_network(x).eval(), x).tolist())) > 1
