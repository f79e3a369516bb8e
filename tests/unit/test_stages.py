"""What stages declare, and what follows from it."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from advsparse.codedigest import CodeBase
from advsparse.config.loading import WORKFLOW, load
from advsparse.config.plan import Plan
from advsparse.errors import ConfigError
from advsparse.stages import _registry
from advsparse.stages._graph import Graph, jobs_in
from advsparse.stages._places import Places
from advsparse.stages._registry import sections, stages
from advsparse.stages._stage import Job, Stage
from advsparse.stages._wiring import Wiring
from advsparse.stages.dataset import published_files

ROOT = WORKFLOW.parent
SCRIPTS = sorted((WORKFLOW / "scripts").glob("*.py"))
DEFENDED = """
shards: {attack: 2, certificate: 2, transformed: 2}
settings:
  frecon2021:
    images: {unseen: {count: 300}}
    defenses: {jpeg: {method: {kind: jpeg}, dataset: cifar10}}
    models: {own: {dataset: cifar10, architecture: {kind: lenet}, defense: jpeg}}
    experiments: {carried: {attacks: [fgsm], models: [lenet, own]}}
"""
"""No paper has a defence yet, and no preset shards."""
EXPERIMENT = "settings: {frecon2021: {experiments: {%s}}}"


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def configured(tmp_path):
    def configured(text: str = "") -> Plan:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return Plan(load([path]))

    return configured


@pytest.fixture
def graph(configured) -> Graph:
    return Graph(configured(DEFENDED))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_job_imports_a_stage(script, graph):
    """Else an edit of one would rerun the jobs of all."""
    modules = {module for job in graph.reached for module in graph.modules(job)}
    read = CodeBase(WORKFLOW).files(script, *modules)
    assert not [name for name in read if "/stages/" in name or name.endswith("config/plan.py")]


def test_no_file_lists_the_stages():
    names = set(stages())
    for path in [*WORKFLOW.rglob("*.py"), *WORKFLOW.rglob("*.smk"), *ROOT.glob("profiles/*/*")]:
        text = path.read_text()
        found = {name for name in names if re.search(rf"[\"']{name}[\"']", text)}
        assert len(found) < len(names) / 2, f"{path} names {sorted(found)}"


def test_what_a_job_is_made_from_comes_before_it(graph):
    assert {job.stage for job in graph.reached} == set(stages())
    for job in graph.reached:
        before = graph.before(job)
        assert before[-1] == job and len(set(before)) == len(before)
        for index, other in enumerate(before):
            assert set(jobs_in(graph.needs(other))) <= set(before[:index])


def test_sections_come_after_those_whose_entries_theirs_name():
    order = list(sections())
    assert order.index("coders") < order.index("models") < order.index("attacks")
    assert {"figures", "tables"} < set(order)


def test_no_two_jobs_share_a_file(graph):
    places = Places("results/demo")
    files = [file for job in graph.reached for file in places.files(job)]
    files += [place(job) for job in graph.reached for place in (places.log, places.benchmark)]
    files += [places.record(job) for job in graph.reached if stages()[job.stage].computes]
    assert len(set(files)) == len(files)


class _First(Stage):
    name, folder, wildcard = "first", "somewhere", "first"


class _Second(Stage):
    name, folder, wildcard = "second", "somewhere", "second"


class _Logs(Stage):
    name, folder, wildcard = "logs", "logs", "logs"


class _Sort(Stage):
    name, folder, wildcard = "sort", "sorted", "sort"


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ([_First, _Second], "first and second both write to somewhere"),
        ([_Logs], "logs, which is taken"),
        ([_Sort], "needs another wildcard: 'sort'"),
    ],
)
def test_stages_that_clash_are_refused(classes, said):
    with pytest.raises(ImportError, match=said):
        _registry._refuse_what_clashes([cls() for cls in classes])


def test_a_module_must_hold_one_stage(tmp_path, monkeypatch):
    (tmp_path / "empty.py").write_text("from advsparse.stages._stage import Stage\n")
    monkeypatch.setattr(_registry.advsparse.stages, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "advsparse.stages.empty", raising=False)
    with pytest.raises(ImportError, match=r"empty\.py must define exactly one Stage, found 0"):
        _registry.stages.__wrapped__()


def test_a_job_that_a_paper_does_not_have_is_told_as_that(graph):
    """Wildcards match what any paper has."""

    def give_up(said):
        raise SystemExit(said)

    rule = Wiring(graph.plan, WORKFLOW, give_up, goes_on=lambda: True).rule(
        "attack", "run_attack.py"
    )
    with pytest.raises(SystemExit, match="weitzner2023 has no attack 'deepfool'"):
        rule.input(SimpleNamespace(paper="weitzner2023", repetition="", attack="deepfool"))


def test_an_attack_that_only_an_analysis_reads_is_in_the_table_of_warnings(configured):
    plan = configured("settings: {weitzner2023: {experiments: {specific: [pgd_linf]}}}")
    warnings = Graph(plan).needs(Job("table", "warnings", "weitzner2023"))["attacks"]
    names = [job.name for job in warnings]
    assert {"pgd_l2", "autoattack", "da_mnist", "pgd_linf"} <= set(names)
    assert len(names) == len(set(names))


def test_an_attack_that_nothing_reads_is_not_built(configured):
    plan = configured(
        "settings: {frecon2021: {attacks: {spare: {method: {kind: fgsm, eps: 0.1}, model: lenet,"
        " images: unseen}}}}"
    )
    spare = Job("attack", "spare", "frecon2021")
    graph = Graph(plan)
    assert spare in graph.known(stages()["attack"]) and spare not in graph.reached


# Experiments that judge images on other classifiers.

OTHER = "models: {other: {dataset: %s, architecture: {kind: lenet}}}"
TRANSFER = "settings: {frecon2021: {%s, experiments: {carried: {attacks: %s, models: %s}}}}"


def test_an_experiment_reads_the_classifiers_that_judge(configured):
    plan = configured(TRANSFER % (OTHER % "cifar10", "[deepfool]", "[lenet, other]"))
    job = Job("experiment", "carried", "frecon2021")
    needs = Graph(plan).needs(job)
    assert [need.name for need in needs["classifiers"]] == ["lenet", "other"]
    assert stages()["experiment"].settings(plan, job)["judges"] == ["lenet", "other"]
    plain = Job("experiment", "tradeoff", "frecon2021")
    assert stages()["experiment"].settings(plan, plain)["judges"] == []


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (
            TRANSFER % (OTHER % "cifar10", "[deepfool]", "[othr]"),
            "models[0]",
            "no classifier 'othr'",
        ),
        (TRANSFER % (OTHER % "cifar10", "[fool]", "[other]"), "attacks[0]", "no attack 'fool'"),
        (TRANSFER % (OTHER % "mnist", "[cw]", "[other]"), "models[0]", "other images than 'lenet'"),
        (TRANSFER % (OTHER % "mnist", "[cw]", "[lenet, lenet]"), "models[1]", "given twice"),
    ],
)
def test_judges_that_do_not_fit_are_refused(text, key, said, configured):
    with pytest.raises(ConfigError) as refused:
        configured(text)
    assert f"config.yaml:1: settings.frecon2021.experiments.carried.{key}: " in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "key", "said"),
    [
        ("{tradeoff: {attcks: [cw]}}", "tradeoff.attcks", "did you mean 'attacks'?"),
        ("{tradeoff: {models: [lenet]}}", "tradeoff", "the key 'attacks' is missing"),
        ("{tradeoff: []}", "tradeoff", "at least 1 item"),
        ("{tradeoff: [scada, scada]}", "tradeoff[1]", "'scada' is given twice"),
    ],
)
def test_mistakes_in_an_experiment_are_told_where_they_stand(entry, key, said, configured):
    with pytest.raises(ConfigError) as refused:
        configured(f"settings: {{frecon2021: {{experiments: {entry}}}}}")
    assert f"settings.frecon2021.experiments.{key}: " in str(refused.value)
    assert said in str(refused.value)


# Figures and tables: what they read.

FIGURE = "settings: {frecon2021: {figures: {mine: {title: Mine, function: %s, reads: {x: {%s}}}}}}"


@pytest.mark.parametrize(
    ("function", "reads", "key", "said"),
    [
        ("figuers.draw_loss", "fit: uap", "function", "there is no module workflow/papers/frecon"),
        ("figures.draw_los", "fit: uap", "function", "did you mean 'draw_loss'?"),
        ("figures.draw_loss", "fit: scada", "reads.x.fit", "'nearest' has to say which point"),
        ("figures.draw_loss", "fit: deepfool", "reads.x.fit", "learns nothing that could be read"),
        ("figures.draw_loss", "fit: scad", "reads.x.fit", "did you mean 'scada'?"),
        (
            "figures.draw_loss",
            "fit: scada, nearest: {lambda3: 1.0}",
            *("reads.x.nearest.lambda3", "no number of the attack"),
        ),
        ("figures.draw_loss", "attack: cw, of_kind: uap", "reads.x.attack", "of the kind 'uap'"),
        ("figures.draw_loss", "reference: value.csv", "reads.x.reference", "mean 'values.csv'?"),
        ("figures.draw_loss", "fit: uap, attack: uap", "reads.x", "not attack and fit"),
        ("figures.draw_loss", "of_kind: uap", "reads.x", "nothing here is"),
        ("figures.draw_loss", "fit: uap, nearest: {eps: .inf}", "reads.x.nearest.eps", "to inf"),
        ("figures.draw_loss", "fit: scada, nearest: {}", "reads.x.fit", "'nearest' has to say"),
        ("figures.draw_loss", "experiment: atoms, of_kind: uap", "reads.x.of_kind", "says nothing"),
        ("figures.draw_loss", "dataset: mnist, nearest: {}", "reads.x.nearest", "says nothing"),
        ("figures.draw_loss", "all: attak", "reads.x.all", "did you mean 'attack'?"),
        ("figures.draw_loss", "experiment: trade", "reads.x.experiment", "mean 'tradeoff'?"),
    ],
)
def test_a_figure_that_can_not_be_drawn_is_refused_before_any_job(
    function, reads, key, said, configured
):
    with pytest.raises(ConfigError) as refused:
        configured(FIGURE % (function, reads))
    assert f"config.yaml:1: settings.frecon2021.figures.mine.{key}: " in str(refused.value)
    assert said in str(refused.value)


def test_a_figure_of_a_role_that_no_dataset_plays_is_refused(configured, unplayed):
    unplayed("imagenet")
    text = FIGURE % ("figures.draw_loss", "dataset: imagenet") + "\npapers: [frecon2021]"
    with pytest.raises(ConfigError) as refused:
        configured(text)
    where = "config.yaml:1: settings.frecon2021.figures.mine.reads.x.dataset: "
    assert where in str(refused.value) and "no dataset for 'imagenet'" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("figures: {loss: {title: 'a {b}'}}", "figures.loss.title", "stands in braces"),
        ("figures: {loss: {reads: {items: {fit: uap}}}}", "figures.loss.reads.items", "is taken"),
        ("figures: {loss: {reads: {failure: {fit: uap}}}}", "reads.failure", "is taken"),
        (
            "tables: {loss: {title: L, function: tables.cost, reads: {}}}",
            *("tables.loss", "a figure is called so too"),
        ),
        (
            OTHER % "cifar10" + ", experiments: {tradeoff: {attacks: [scada], models: [other]}}",
            *("experiments.tradeoff.models", "need 'lenet', which 'scada' attacks"),
        ),
    ],
)
def test_products_that_would_fail_later_are_refused(text, key, said, configured):
    with pytest.raises(ConfigError) as refused:
        configured(f"settings: {{frecon2021: {{{text}}}}}")
    assert f"{key}: " in str(refused.value) and said in str(refused.value)


def test_a_caption_that_can_not_be_rendered_is_named(configured):
    """Of a figure whose template speaks of what it no longer reads."""
    plan = configured("settings: {frecon2021: {figures: {loss: {reads: {fit: null}}}}}")
    loss = Job("figure", "loss", "frecon2021")
    said = r"papers/frecon2021/captions/loss\.rst: no caption of 'Figure 3, left: training loss': "
    with pytest.raises(ConfigError, match=said):
        stages()["figure"].caption(plan, loss, {})


def test_a_published_dataset_that_only_a_figure_shows_is_fetched(configured):
    plan = configured(
        "datasets: {m: {kind: mnist}}\nroles: {mnist: m}\npapers: [frecon2021]\n"
        + FIGURE % ("figures.draw_loss", "dataset: mnist")
    )
    assert {kind for kind, _ in published_files(plan, Graph(plan).reached)} == {"mnist"}


@pytest.mark.parametrize(
    ("change", "key", "said"),
    [
        ("experiments: {atoms: null}", "experiments.atoms", "the paper's figures need 'atoms'"),
        (
            "experiments: {tradeoff: [cw]}",
            "experiments.tradeoff",
            "figures need the attack 'scada'",
        ),
    ],
)
def test_a_configuration_that_takes_away_what_figures_read_is_refused(
    change, key, said, configured
):
    with pytest.raises(ConfigError) as refused:
        configured(f"settings: {{frecon2021: {{{change}}}}}")
    assert f"config.yaml:1: settings.frecon2021.{key}" in str(refused.value)
    assert said in str(refused.value)


def test_figures_and_tables_can_be_dropped(configured):
    """And what they alone have read is not needed any more."""
    plan = configured(
        "settings: {frecon2021: {experiments: {atoms: null}, figures: {number_of_atoms: null},"
        " tables: {claims: null}}}"
    )
    reached = Graph(plan).reached
    assert Job("figure", "number_of_atoms", "frecon2021") not in reached
    assert Job("figure", "atoms", "frecon2021") in reached


def test_a_record_of_what_is_learned_does_not_change_with_who_learns_it(configured):
    """A figure of it is not drawn again for a setting of the attack that the fit does not know."""
    changed = "settings: {frecon2021: {attacks: {scada: {method: {coding_iterations: 3}}}}}"
    told = []
    for plan in (configured(), configured(changed)):
        (fit,) = jobs_in(Graph(plan).needs(Job("figure", "loss", "frecon2021")))
        told.append((fit, stages()["fit"].told(plan, fit)))
    assert told[0] == told[1]


def test_jobs_are_plain_values():
    assert dataclasses.astuple(Job("attack", "cw", "p")) == ("attack", "cw", "p", 0)
    assert Path(Places("results/demo").file(Job("attack", "cw", "p"))).suffix == ".npz"
