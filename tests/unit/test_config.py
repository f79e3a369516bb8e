"""The configuration: its three descriptions in step, its merging, and what it says of mistakes."""

import copy
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from advsparse import registry
from advsparse.attacks.pgd import PGD as PGDAttack
from advsparse.codedigest import code_digest
from advsparse.config.expanded import expanded
from advsparse.config.loading import WORKFLOW, load
from advsparse.config.plan import Plan
from advsparse.config.schema import json_schema, subschema
from advsparse.config.sources import Place, Tree, read_yaml, scalar
from advsparse.documentation.__main__ import GENERATED
from advsparse.documentation._markdown import COMMAND
from advsparse.documentation.configuration import configuration_page
from advsparse.errors import ConfigError
from advsparse.figures.origin import data_used
from advsparse.settings import settings
from advsparse.stages._graph import Graph
from advsparse.stages._points import fit_of, points_of
from advsparse.stages._registry import stages
from advsparse.stages._stage import Job
from advsparse.stages.attack import _impossible
from advsparse.stages.dataset import fetch_settings, published_files

ROOT = WORKFLOW.parent
CONFIG = ROOT / "config.yaml"
PRESETS = sorted((WORKFLOW / "presets").glob("*.yaml"))
PAPERS = sorted((WORKFLOW / "papers").glob("*/paper.yaml"))

by_name = pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)  # messages name files relative to the working directory


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "config.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def shipped(preset: Path) -> Tree:
    """What ``load`` validates for the shipped config.yaml and ``preset``."""
    tree = Tree()
    for path in PAPERS:
        tree = tree.overlay(read_yaml(path).below(("settings", path.parent.name)))
    tree = expanded(tree.overlay(read_yaml(preset)).overlay(read_yaml(CONFIG)))
    tree.values["preset"] = preset.stem
    return tree


def refusal(*args, **kwargs) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*args, **kwargs)
    return str(caught.value)


# The model, the schema, the page and the files that ship.


@pytest.mark.parametrize(("path", "text"), GENERATED.items())
def test_generated_file_is_in_step_with_the_model(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text():
        pytest.fail(f"{path.relative_to(ROOT)} is out of date; run: {COMMAND}", pytrace=False)


def test_page_has_every_key_and_survives_pipes():
    page = configuration_page()
    for definition in (json_schema(), *json_schema()["$defs"].values()):
        for name in definition["properties"]:
            assert name == "kind" or f"| `{name}` |" in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    anchors = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in page.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= anchors


def test_every_key_has_a_meaning():
    for name, definition in json_schema()["$defs"].items():
        assert definition.get("description"), name
        for key, value in definition["properties"].items():
            assert key == "kind" or value.get("description"), f"{name}.{key}"


@by_name
def test_shipped_configuration_is_valid(preset):
    configuration = load([CONFIG], {"preset": preset.stem})
    assert configuration.preset == preset.stem
    assert configuration.papers


@by_name
def test_schema_accepts_what_is_shipped(preset):
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(shipped(preset).values, json_schema(), jsonschema.Draft202012Validator)


SCADA = ("settings", "frecon2021", "attacks", "scada")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("presett",), "demo"),
        (("threads",), 0),
        (("device",), "gpu"),
        (("roles", "cifar11"), "photos"),
        (("datasets", "photos", "epochs"), 3),
        (("datasets", "photos", "kind"), "photo"),
        (("datasets", "bad name!"), {"kind": "digits"}),
        ((*SCADA, "method", "lambda3"), 1),
        ((*SCADA, "method", "lambda1"), "0.1"),
        ((*SCADA, "grid", "lambda1"), []),
        ((*SCADA, "images"), None),
    ],
)
def test_schema_refuses_what_the_model_refuses(key, value, write):
    values = copy.deepcopy(shipped(WORKFLOW / "presets" / "demo.yaml").values)
    below = values
    for part in key[:-1]:
        below = below[part]
    below[key[-1]] = value
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(values)
    assert str(key[-1]) in refusal([write(yaml.safe_dump(values))])


def commented(text: str) -> list[str]:
    """The blocks of settings that are commented out: those that begin with a key of the top."""
    keys = "|".join(json_schema()["properties"])
    start = re.compile(rf"# (?:{keys}):(?:\s|$)")
    blocks: list[str] = []
    inside = False
    for line in text.splitlines():
        inside = bool(start.match(line)) or (inside and bool(re.match(r"#\s{2,}\S", line)))
        if inside:
            blocks.append(line.removeprefix("# "))
    return blocks


def leaves(values, key=()):
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from leaves(value, (*key, name))
    else:
        yield key


def test_every_key_of_the_shipped_file_is_in_the_model(write):
    text = CONFIG.read_text(encoding="utf-8")
    examples = read_yaml(write("\n".join(commented(text))))
    assert {"datasets", "roles", "settings"} <= examples.values.keys()
    merged = shipped(WORKFLOW / "presets" / "demo.yaml").overlay(examples)
    for key in [*leaves(examples.values), *leaves(read_yaml(CONFIG).values)]:
        if key[-1] != "kind":
            assert subschema(key, merged.values), key
    jsonschema.validate(merged.values, json_schema(), jsonschema.Draft202012Validator)


def test_every_key_of_the_top_is_in_the_shipped_file():
    text = CONFIG.read_text(encoding="utf-8")
    for key in json_schema()["properties"]:
        assert re.search(rf"^(?:# )?{key}:", text, re.MULTILINE), key


# Fields that set the size of the work. A preset may change these and the data, nothing else: what
# it says about a method would make its results another method's.
_ADAPTED, _ADVERSARIAL = ("attacks", "*", "method"), ("models", "*", "training", "adversarial")
SCALE = {
    *(
        (section, "*", "training", field)
        for section in ("coders", "models")
        # A shorter training takes longer steps, or it would leave a network as it was.
        # Lower precision is for devices that it is faster on; test_training.py bounds its effect.
        for field in ("batch_size", "epochs", "examples", "learning_rate", "precision")
    ),
    *(("models", "*", "architecture", field) for field in ("blocks", "depth", "hidden", "width")),
    ("models", "*", "training_images"),
    *(("coders", "*", "method", field) for field in ("filters", "layers", "size")),
    *(("signals", "*", field) for field in ("atoms", "size", "sparsity")),
    *(
        ("analyses", "*", "method", field)
        for field in ("budgets", "columns", "count", "extremes", "sparsity", "steps", "weights")
    ),
    ("analyses", "*", "method", "submatrices"),
    *(("certificates", "*", "method", field) for field in ("nodes", "seconds")),
    ("images", "*", "start"),
    ("images", "*", "count"),
    *(
        ("attacks", "*", "method", field)
        for field in (
            *("coding_iterations", "inner_steps", "iterations", "passes", "restarts"),
            *("queries", "samples", "search_steps", "steps"),
        )
    ),
    *((*within, "attack", "steps") for within in (_ADAPTED, _ADVERSARIAL)),
    *(
        (*_ADAPTED, "attack", field)
        for field in (
            *("generations", "iterations", "passes", "population", "queries", "restarts"),
            *("search_steps", "total"),
        )
    ),
    *(
        ("defenses", "*", "method", field)
        for field in (
            # As of networks: what learns for less long takes longer steps.
            *(
                "atoms",
                "batch_size",
                "candidates",
                "draws",
                "epochs",
                "filters",
                "hidden",
                "images",
            ),
            *("iterations", "learning_rate", "max_iterations", "neighbours", "passes", "patches"),
            *("reference", "steps"),
        )
    ),
    ("attacks", "*", "grid", "*"),
}


@by_name
def test_preset_changes_scale_and_data_only(preset):
    values = read_yaml(preset).values
    assert values.keys() <= {"datasets", "roles", "settings"}
    for key in leaves(values["settings"]) if "settings" in values else ():
        paper, section, _, *rest = key
        if section == "experiments":
            # A part of a study that judges no claims of a paper.
            folder = WORKFLOW / "papers" / paper
            assert not (folder / "reference" / "claims.yaml").exists(), key
            whole = read_yaml(folder / "paper.yaml").values[section][key[2]]
            given = values["settings"][paper][section][key[2]]
            assert {*given["attacks"]} <= {*whole["attacks"]}
            assert {*given["for_each"]["model"]} <= {*whole["for_each"]["model"]}
            continue
        if section == "attacks" and rest[0] == "grid":
            # A coarser grid of the same parameters, never a sweep that the paper doesn't have.
            grid = read_yaml(WORKFLOW / "papers" / paper / "paper.yaml").values
            assert rest[1] in grid["attacks"][key[2]]["grid"], key
            rest[1] = "*"
        if section == "defenses" and rest[-1] == "parts":
            method = read_yaml(WORKFLOW / "papers" / paper / "paper.yaml").values[section][key[2]]
            given = values["settings"][paper][section][key[2]]["method"]["parts"]
            rest = list(_resized(method["method"]["parts"], given))
            assert {(section, "*", "method", field) for field in rest} <= SCALE, key
            continue
        assert (section, "*", *rest) in SCALE, f"{preset.name}: {'.'.join(key)} is no scale"


def _resized(parts, given):
    """The fields in which parts of a defence differ from others of the same kinds."""
    assert [part["kind"] for part in parts] == [part["kind"] for part in given]
    for part, other in zip(parts, given, strict=True):
        if "parts" in part:
            yield from _resized(part["parts"], other["parts"])
        names = {*part, *other} - {"kind", "parts"}
        yield from (name for name in names if part.get(name) != other.get(name))


# Merging.


def overlaid(*texts: str, write) -> Tree:
    tree = Tree()
    for number, text in enumerate(texts, 1):
        tree = tree.overlay(read_yaml(write(text, f"{number}.yaml")))
    return tree


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (("a: {b: 1, c: 2}", "a: {c: 3, d: 4}"), {"a": {"b": 1, "c": 3, "d": 4}}),
        (("a: [1, 2, 3]", "a: [4]"), {"a": [4]}),
        (("a: {b: 1}", "a: 2"), {"a": 2}),
        (("a: 2", "a: {b: 1}"), {"a": {"b": 1}}),
        (("a: 2", "a: null"), {"a": None}),
        (("a: {b: 1}\nc: 1", "a: null"), {"c": 1}),
        (("a: {b: 1}", "a: null", "a: {c: 2}"), {"a": {"c": 2}}),
        (("a: {b: 1}", "a: {}"), {"a": {"b": 1}}),
        (("m: {kind: pgd, steps: 3}", "m: {steps: 4}"), {"m": {"kind": "pgd", "steps": 4}}),
        (("m: {kind: pgd, steps: 3}", "m: {kind: fgsm}"), {"m": {"kind": "fgsm"}}),
        (("m: {kind: pgd, a: 1}", "m: {kind: pgd, b: 2}"), {"m": {"kind": "pgd", "a": 1, "b": 2}}),
    ],
)
def test_merging(texts, values, write):
    assert overlaid(*texts, write=write).values == values


def test_places_survive_merges(write):
    tree = overlaid("a:\n  b: 1\n  c: [1,\n    2]", "# first\n\na: {c: [3], d: 4}", write=write)
    places = {key: f"{Path(place.file).name}:{place.line}" for key, place in tree.places.items()}
    assert places["a", "b"] == "1.yaml:2"
    assert places["a", "c"] == places["a", "c", 0] == places["a", "d"] == "2.yaml:3"
    assert tree.place(("a", "b", "not", "written")) == tree.places["a", "b"]
    assert tree.place(("nowhere",)) is None


def test_places_of_what_another_kind_replaces_are_forgotten(write):
    tree = overlaid("m: {kind: a, x: 1}", "m:\n  kind: b", write=write)
    assert ("m", "x") not in tree.places
    assert tree.places["m", "kind"].line == 2


def test_overlay_leaves_both_trees_as_they_were(write):
    bottom, top = read_yaml(write("a: {b: 1}", "1")), read_yaml(write("a: {b: 2}", "2"))
    before = copy.deepcopy((bottom, top))
    bottom.overlay(top)
    assert (bottom, top) == before


def attack(configuration, name):
    return configuration.settings["frecon2021"].attacks[name]


PGD = "settings: {frecon2021: {attacks: {pgd_l2: {method: %s}}}}"


def test_later_files_win_over_earlier_ones_and_the_command_line_over_all(write):
    first, second = write("seed: 1\nthreads: 2", "1.yaml"), write("threads: 3", "2.yaml")
    configuration = load([first, second])
    assert (configuration.seed, configuration.threads) == (1, 3)
    assert load([first, second], {"threads": 4}).threads == 4


def test_preset_lies_below_the_files_and_above_the_paper(write):
    named = load([CONFIG], {"preset": "test"}).settings["frecon2021"]
    assert named.models["lenet"].training.epochs == 6
    text = "preset: test\nsettings: {frecon2021: {models: {lenet: {training: {epochs: 7}}}}}"
    mine = load([write(text)]).settings["frecon2021"].models["lenet"].training
    assert (mine.epochs, mine.optimizer) == (7, "adam")


def test_null_in_a_later_file_removes_what_an_earlier_file_and_the_paper_have(write):
    entry = "settings: {frecon2021: {attacks: {cw: %s}}}\n"
    first = write(entry % "{method: {confidence: 1.0}}", "1.yaml")
    others = "experiments: {tradeoff: [scada]}"
    second = write(f"settings: {{frecon2021: {{attacks: {{cw: null}}, {others}}}}}\n", "2.yaml")
    loaded = load([first, second]).settings["frecon2021"]
    assert "cw" not in loaded.attacks
    again = write("settings: {frecon2021: {attacks: {cw: null}}}", "3.yaml")
    assert load([first, second, again]).settings["frecon2021"] == loaded
    handed = {"settings": {"frecon2021": {"attacks": {"cw": "null"}}}}
    assert load([first, second], handed).settings["frecon2021"] == loaded


def test_files_are_laid_one_by_one_over_the_paper(write):
    # The second file names the kind that the paper has: it must not drop the first one's keys.
    files = [write(PGD % "{steps: 3}", "1.yaml"), write(PGD % "{kind: pgd}", "2.yaml")]
    assert attack(load(files), "pgd_l2").method.steps == 3


def test_another_kind_forgets_the_papers_keys(write):
    method = attack(load([write(PGD % "{kind: noise, eps: 1.0}")]), "pgd_l2").method
    assert type(method).__name__ == "Noise"
    assert method.norm == "l2"


def test_another_kind_of_an_attack_in_an_attack_forgets_the_keys_of_the_former(write):
    first = write(WRAP % "kind: pgd, eps: 1, steps: 3", "1.yaml")
    second = write(IN % "own: {method: {attack: {eps: 2}}}", "2.yaml")
    third = write(IN % "own: {method: {attack: {kind: fgsm, eps: 3}}}", "3.yaml")
    inner = attack(load([first, second]), "own").method.attack
    assert (type(inner).__name__, inner.eps, inner.steps) == ("PGD", 2, 3)
    inner = attack(load([first, third]), "own").method.attack
    assert (type(inner).__name__, inner.eps) == ("FGSM", 3)


def test_job_of_an_attack_in_an_attack_is_told_everything_about_it(write):
    plan = Plan(load([write(WRAP % "kind: pgd, eps: 1")]))
    job = Job("attack", "own", "frecon2021")
    told = stages()["attack"].settings(plan, job)["method"]
    assert told["attack"] == registry.spec_of(PGDAttack(eps=1.0))
    assert registry.from_spec("attacks", json.loads(json.dumps(told))).attack.eps == 1
    modules = set(Graph(plan).modules(job))
    kinds = {"advsparse.attacks.adaptive", "advsparse.attacks.pgd"}
    assert modules == {*kinds, "advsparse.models.lenet"}
    assert plan.described()["settings"]["frecon2021"]["attacks"]["own"]["method"] == told


def test_grid_over_settings_beside_an_attack_in_an_attack(write):
    entry = OWN.replace("}, model", "}, grid: {samples: [1, 5]}, model")
    plan = Plan(load([write(IN % ("own: " + entry % "attack: {kind: pgd, eps: 1}"))]))
    one, five = points_of(plan, "frecon2021", "own")
    assert (one.id, one.method.samples, five.method.samples) == ("own/samples=1", 1, 5)
    assert five.method.attack == PGDAttack(eps=1.0)


def test_points_of_a_grid_over_eps_learn_once_where_learning_has_a_radius(write):
    every = Plan(load([write(IN % "uap: {}", "1.yaml")]))
    once = Plan(load([write(IN % "uap: {method: {learning_eps: 3}}", "2.yaml")]))
    for plan, expected in ((every, [1.0, 2.0, 4.0]), (once, [3.0])):
        points = points_of(plan, "frecon2021", "uap")
        fits = {Job("fit", fit_of(plan, "frecon2021", p.id), "frecon2021") for p in points}
        told = [stages()["fit"].settings(plan, fit)["method"] for fit in fits]
        assert sorted(method["eps"] for method in told) == expected
        assert all(registry.spec_of(registry.from_spec("attacks", one)) == one for one in told)


def test_digest_of_an_attack_in_an_attack_changes_with_both(write, tmp_path):
    plan = Plan(load([write(WRAP % "kind: pgd, eps: 1")]))
    modules = Graph(plan).modules(Job("attack", "own", "frecon2021"))
    copied = tmp_path / "workflow"
    shutil.copytree(WORKFLOW, copied, ignore=shutil.ignore_patterns("__pycache__"))

    def digest():
        return code_digest(copied / "scripts" / "run_attack.py", *modules, root=copied)

    before = digest()
    for name in ("attacks/adaptive", "attacks/pgd", "attacks/_eot", "defenses/_defended"):
        path = copied / "advsparse" / f"{name}.py"
        text = path.read_text()
        path.write_text(text + "\nchanged = 1\n")
        assert digest() != before, name
        path.write_text(text)
    other = copied / "advsparse" / "attacks" / "deepfool.py"
    other.write_text(other.read_text() + "\nchanged = 1\n")
    assert digest() == before


def test_modules_of_a_classifier_are_those_of_the_attack_that_it_is_trained_on(write):
    wrapped = "{kind: adaptive, attack: {kind: pgd, eps: 0.1}}"
    training = "settings: {frecon2021: {models: {lenet: {training: {adversarial: {attack: %s}}}}}}"
    plan = Plan(load([write(training % wrapped)]))
    job = Job("classifier", "lenet", "frecon2021")
    modules = {f"advsparse.{name}" for name in ("models.lenet", "attacks.adaptive", "attacks.pgd")}
    assert set(Graph(plan).modules(job)) == modules
    told = stages()["classifier"].settings(plan, job)["training"]["adversarial"]
    assert told["attack"]["attack"]["kind"] == "pgd"


def test_no_papers_are_all_papers(write):
    every = [path.parent.name for path in PAPERS]
    for text in ("", "papers:", "papers: []"):
        assert sorted(load([write(text)]).papers) == every


# Grids.

IN_GRID = "settings: {frecon2021: {attacks: {pgd_linf: {%s}}}}"
AT_MOST = "step and relative_step: at most one of them can be given"


def test_values_of_a_grid_that_clash_are_told_with_their_place(write):
    path = write(IN_GRID % "grid: {steps: [1, 2], step: [0.1], relative_step: [0.2]}")
    message = refusal([path])
    key = "settings.frecon2021.attacks.pgd_linf.grid.step[0]"
    assert message.startswith(f"{path}:1: {key}: step=0.1 and relative_step=0.2 clash: {AT_MOST}\n")
    assert message.count("clash") == 1  # whatever the number of steps


def test_every_point_of_a_grid_is_looked_at(write):
    message = refusal([write(IN_GRID % "grid: {step: [0.1, 0.2], relative_step: [0.3, 0.4]}")])
    for step in (0.1, 0.2):
        for relative in (0.3, 0.4):
            assert f"step={step} and relative_step={relative} clash" in message


def test_a_value_of_a_grid_that_clashes_with_the_attacks_own_is_told_alone(write):
    path = write(IN_GRID % "method: {step: 0.1}, grid: {steps: [1, 2], relative_step: [0.2]}")
    message = refusal([path])
    assert f".grid.relative_step[0]: {AT_MOST}, got 0.2" in message
    assert "clash" not in message


def test_a_clash_is_told_at_the_value_that_the_user_has_written(write):
    first = write(IN_GRID % "grid: {step: [0.1]}", "1.yaml")
    second = write(IN_GRID % "grid: {relative_step: [0.2]}", "2.yaml")
    assert AT_MOST in refusal([first, second])
    assert refusal([second, first]).startswith(f"{second}:1: ")


@settings
class Between:
    """Settings whose values have to fit one another."""

    least: int = 1
    most: int = 2

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError("least is more than most")


def test_what_fits_at_every_point_of_a_grid_need_not_fit_the_attacks_own():
    assert [*_impossible(Between(), {"least": [3], "most": [4, 5]})] == []
    (mistake,) = _impossible(Between(), {"least": [3], "most": [4, 0]})
    assert mistake.key == ("grid", "least", 0) or mistake.key == ("grid", "most", 1)
    assert "least is more than most" in mistake.text


# The command line.


def test_command_line_is_named(write):
    message = refusal([write("seed: 1")], {"threads": 0})
    assert message == "the command line (--config): threads: input should be greater than 0, got 0"


def test_command_line_is_named_for_what_it_leaves_out(write):
    overrides = {"settings": {"frecon2021": {"attacks": {"mine": {"model": "lenet"}}}}}
    message = refusal([write("seed: 1")], overrides)
    assert "the command line (--config): settings.frecon2021.attacks.mine: " in message
    assert "'method'" in message
    assert ".yaml" not in message


def test_what_snakemake_hands_over_as_words_is_read_as_in_a_file(write):
    # Below the top level of --config, snakemake takes numbers, truth and null for words.
    attacks = {
        "fgsm": {"method": {"eps": "1e-2"}, "grid": {"eps": ["0.5", "1"]}},
        "cw": {"method": {"abort_early": "false"}},
    }
    images = {"unseen": {"count": "12"}}
    handed = {"settings": {"frecon2021": {"attacks": attacks, "images": images}}}
    text = "settings: {frecon2021: {attacks: {fgsm: {method: {eps: 1e-2}, grid: {eps: [0.5, 1]}}, "
    text += "cw: {method: {abort_early: false}}}, images: {unseen: {count: 12}}}}"
    assert load([write("seed: 1")], handed) == load([write(f"seed: 1\n{text}")])


def test_another_kind_on_the_command_line_keeps_all_that_it_says(write):
    """Also what the files say of the former kind, whose keys are forgotten."""
    text = "settings: {frecon2021: {attacks: {pgd_linf: {method: "
    path = write(f"{text}{{kind: pgd, norm: linf, eps: 0.1, steps: 77}}}}}}}}}}")
    method = {"kind": "bim", "norm": "linf", "eps": "0.2", "steps": "77"}
    handed = {"frecon2021": {"attacks": {"pgd_linf": {"method": method}}}}
    found = load([path], {"settings": handed}).settings["frecon2021"].attacks["pgd_linf"].method
    assert (type(found).__name__, found.eps, found.steps) == ("BIM", 0.2, 77)


def test_an_item_from_the_command_line_is_not_blamed_on_a_file(write):
    path = write("papers: [frecon2021]")
    message = refusal([path], {"papers": ["nope"]})
    assert message.startswith("the command line (--config): papers[0]: no paper 'nope'")
    grid = {"frecon2021": {"attacks": {"fgsm": {"grid": {"eps": ["0.1", "x"]}}}}}
    message = refusal([path], {"settings": grid})
    assert message.startswith("the command line (--config): settings.frecon2021.attacks.fgsm.grid")


def test_words_in_place_of_numbers_on_the_command_line_count(write):
    assert load([write("threads: '2'")], {"threads": 2}).threads == 2


def test_published_datasets_are_fetched_for_the_papers_that_use_them(write):
    """They need not be there before, and mirrors decide on nothing that is built."""
    datasets = "datasets: {a: {kind: mnist}, b: {kind: cifar10}, c: {kind: mnist}}\n"
    roles = "roles: {mnist: a, cifar10: b, tiny_imagenet: c}\n"
    data = "data: {directory: nowhere, mirrors: ['http://localhost/data']}\n"
    config = write(datasets + roles + data)
    plan = Plan(load([config], {"papers": ["frecon2021"]}))
    assert published_files(plan, Graph(plan).reached) == [("cifar10", "cifar-10-binary.tar.gz")]
    plan = Plan(load([config]))
    kinds = [kind for kind, _ in published_files(plan, Graph(plan).reached)]
    assert kinds == ["cifar10"] + ["mnist"] * 4
    dataset, a = stages()["dataset"], Job("dataset", "a")
    assert "nowhere/mnist" in dataset.absent(plan, a)
    assert dataset.absent(plan, Job("dataset", "photos")) is None
    assert "mirrors" not in json.dumps(dataset.settings(plan, a))
    assert fetch_settings(plan, "mnist", "x")["mirrors"] == ["http://localhost/data"]


def test_note_on_a_local_copy_reaches_tables_and_figures(write):
    copy = write("", "copy.npz")
    datasets = f"datasets: {{b: {{kind: npz, path: {copy}, note: lossy}}}}\nroles: {{cifar10: b}}"
    plan = Plan(load([write(datasets)]))
    assert data_used(plan.origin("cifar10")) == "b, in the role of CIFAR-10 (lossy)"
    plan = Plan(load([CONFIG]))
    said = data_used(plan.origin("cifar10"))
    assert said == "photos, a stand-in for CIFAR-10"


# Times, dates and numbers.

NOTE = "datasets: {mine: {kind: npz, path: x, note: %s}}"
WORDS = ["12:30:00", "12:30", "12:30.5", "2024-05-01", "2024-05-01T12:00:00Z", "-1:30", "1:2:3"]
WORDS += ["2024-05-01 12:00:00", "2024-13-45", "0o17", "08", "09.04.2024", "190:20:30", "yes", "1e"]


@pytest.mark.parametrize("word", WORDS)
def test_times_and_dates_are_words_wherever_they_stand(word, write):
    first = load([write(NOTE % word)])
    assert first.datasets["mine"].note == word
    assert load([write(NOTE % f"'{word}'")]) == first
    entry = {"kind": "npz", "path": "x", "note": word}
    assert load([write("seed: 0")], {"datasets": {"mine": entry}}) == first


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("+10", 10), ("0", 0), ("1_000", 1000), ("0x1F", 31), ("0b11", 3)],
)
def test_numbers(text, value, write):
    assert load([write(f"seed: {text}")]).seed == value


@pytest.mark.parametrize(
    ("text", "decimal"),
    [("010", "10"), ("0010", "10"), ("-010", "-10"), ("+07", "7"), ("00", "0"), ("0_7", "7")],
)
def test_a_number_with_leading_zeros_is_told_as_ambiguous(text, decimal, write):
    said = f"{text} is ambiguous, as some read leading zeros as octal: write {decimal}, or '{text}'"
    path = write(f"seed: {text}")
    assert refusal([path]).startswith(f"{path}:1: seed: {said} for text\n")
    for explicit in (f"!!int {text}", f'!!int "{text}"'):
        assert said in refusal([write(f"seed: {explicit}")])
    assert said in refusal([write(NOTE % text)])
    assert said in refusal([write(IN % f"fgsm: {{grid: {{eps: [1, {text}]}}}}")])
    assert load([write(NOTE % f"'{text}'")]).datasets["mine"].note == text


@pytest.mark.parametrize("text", ["08", "0189"])
def test_leading_zeros_of_what_is_no_octal_number_either_are_told(text, write):
    assert "a number has no leading zeros" in refusal([write(f"seed: {text}")])


@pytest.mark.parametrize("text", ["010", "08", "-010"])
def test_leading_zeros_on_the_command_line_are_told(text, write):
    handed = {"frecon2021": {"models": {"lenet": {"training": {"epochs": text}}}}}
    message = refusal([write("seed: 1")], {"settings": handed})
    assert f"got {text!r}: a number has no leading zeros" in message


# Mistakes.

ATTACK = "settings.frecon2021.attacks"
MODEL = "settings.frecon2021.models.lenet"
IN = "settings: {frecon2021: {attacks: {%s}}}"
OF = "settings: {frecon2021: {models: {lenet: {%s}}}}"
OWN = "{method: {kind: adaptive, %s}, model: lenet, images: unseen}"
WRAP = IN % ("own: " + OWN % "attack: {%s}")
NPZ = "datasets: {mine: {kind: npz, path: %s}}"

CODES = "settings.weitzner2023"
IN_CODES = "settings: {weitzner2023: {%s}}"
CHANGE = IN_CODES % "analyses: {change: {%s}}"
ABOUT_CODES = [
    (CHANGE % "coders: []", f"{CODES}.analyses.change.coders", "code_change takes 1, not 0"),
    (CHANGE % "attacks: []", f"{CODES}.analyses.change.attacks", "takes one or more, not 0"),
    (CHANGE % "coders: [lista]", f"{CODES}.analyses.change.coders[0]", "did you mean 'lista_"),
    (CHANGE % "coders: [lista_a]", f"{CODES}.analyses.change.coders[0]", "from other images"),
    (
        CHANGE % "attacks: [pgd_linf, pgd_l2]",
        f"{CODES}.analyses.change.attacks[1]",
        "attacks other images or another classifier than 'pgd_linf'",
    ),
    (
        IN_CODES % "analyses: {signals: {coders: [convlista_mnist]}}",
        f"{CODES}.analyses.signals.coders[0]",
        "signal_attacks codes signals",
    ),
    (
        IN_CODES % "attacks: {pgd_linf: {grid: {steps: [1, 2]}}}",
        f"{CODES}.analyses.change.attacks[0]",
        "is a grid",
    ),
    (
        IN_CODES % "attacks: {da_mnist: {surrogate: codes_cifar10}}",
        f"{CODES}.attacks.da_mnist.surrogate",
        "classifies other images than 'resnet18'",
    ),
    (
        IN_CODES % "models: {resnet18: {starts_from: resnet50}}",
        f"{CODES}.models.resnet18.starts_from",
        "'resnet50' is of another architecture, or of other codes",
    ),
    (
        IN_CODES % "models: {codes_mnist: {starts_from: codes_cifar10}}",
        f"{CODES}.models.codes_mnist.starts_from",
        "'codes_cifar10' is of another architecture, or of other codes",
    ),
    (
        IN_CODES % "models: {resnet18: {starts_from: resnet81}}",
        f"{CODES}.models.resnet18.starts_from",
        "no classifier 'resnet81'; did you mean 'resnet18'?",
    ),
    (
        IN_CODES % "models: {resnet18: {starts_from: resnet18}}",
        f"{CODES}.models.resnet18.starts_from",
        "'resnet18' would start from itself",
    ),
    (
        IN_CODES % "models: {resnet18: {starts_from: resnet50, weights: {path: w}}}",
        f"{CODES}.models.resnet18",
        "starts_from: weights are given, so that nothing is trained",
    ),
    (
        IN_CODES % "models: {resnet18: {weights: {path: w, sha256: abc}}}",
        f"{CODES}.models.resnet18.weights.sha256",
        "",
    ),
    (
        IN_CODES % "coders: {lista_a: {training: {augmentation: {flip: true}}}}",
        f"{CODES}.coders.lista_a.training.augmentation",
        "is of classifiers alone",
    ),
    (
        IN_CODES % "coders: {lista_a: {training: {label_smoothing: 0.1}}}",
        f"{CODES}.coders.lista_a.training.label_smoothing",
        "is of classifiers alone",
    ),
    (
        IN_CODES % "models: {resnet18: {training: {adversarial: {attack: {kind: uap, eps: 1}}}}}",
        f"{CODES}.models.resnet18.training.adversarial",
        "uap learns from many images",
    ),
    (
        IN_CODES % "models: {resnet18: {training: {adversarial: {attack: {kind: fgms, eps: 1}}}}}",
        f"{CODES}.models.resnet18.training.adversarial.attack.kind",
        "did you mean 'fgsm'?",
    ),
    (
        IN_CODES % "coders: {lista_a: {training: {adversarial: {attack: {kind: fgsm, eps: 1}}}}}",
        f"{CODES}.coders.lista_a.training.adversarial",
        "unknown key 'adversarial'",
    ),
    (
        IN_CODES % "models: {resnet18: {training: {schedule: cosine}}}",
        f"{CODES}.models.resnet18.training",
        "decay_at: a cosine has no steps",
    ),
    (
        IN_CODES % "attacks: {pgd_l2: {surrogate: codes_cifar10}}",
        f"{CODES}.attacks.pgd_l2.surrogate",
        "pgd learns nothing",
    ),
    (
        IN_CODES % "models: {codes_mnist: {coder: mine}}",
        f"{CODES}.models.codes_mnist.coder",
        "there is no 'mine'",
    ),
    (
        IN_CODES % "coders: {lista_a: {signals: gauss}}",
        f"{CODES}.coders.lista_a.signals",
        "did you mean 'gaussian'?",
    ),
    (
        IN_CODES % "coders: {lista_a: {dataset: mnist}}",
        f"{CODES}.coders.lista_a",
        "exactly one of dataset and signals",
    ),
]

MISTAKES = [
    ("papers: [frecon2021, frecon2021]", 1, "papers[1]", "'frecon2021' is given twice"),
    (
        "datasets: {m: {kind: npz, path: 'a{b}.npz'}}",
        1,
        "datasets.m.path",
        "snakemake takes what stands in braces for a wildcard",
    ),
    ("data: {directory: 'x{y}'}", 1, "data.directory", "snakemake takes what stands in braces"),
    # the file, the line, the full key, and what must be in the message
    ("presett: demo", 1, "presett", "did you mean 'preset'?"),
    ("preset: dmo", 1, "preset", "did you mean 'demo'?"),
    ("preset: [demo]", 1, "preset", "no preset ['demo']"),
    ("preset:", 1, "preset", "known are demo, "),
    ("preset: ../presets/demo", 1, "preset", "no preset"),
    ("seed: 1\n\npapers: [frecon2012]", 3, "papers[0]", "did you mean 'frecon2021'?"),
    ("papers: frecon2021", 1, "papers", "valid array"),
    ("papers: ''", 1, "papers", "valid array"),
    ("papers: 0", 1, "papers", "valid array"),
    ("papers: [[a]]", 1, "papers[0]", "no paper ['a']"),
    ("device: gpu", 1, "device", "did you mean 'cpu'?"),
    ("device: yes", 1, "device", "expected 'cpu' or 'cuda', got 'yes'"),
    ("threads: 0", 1, "threads", "greater than 0, got 0"),
    ("threads: '2'", 1, "threads", "valid integer, got '2'"),
    ("threads: .nan", 1, "threads", "valid integer, got nan"),
    ("threads: true", 1, "threads", "valid integer, got True"),
    ("seed: -1", 1, "seed", "greater than or equal to 0, got -1"),
    ("seed: 1e400", 1, "seed", "got inf"),
    ("seed: 2024-01-01", 1, "seed", "got '2024-01-01'"),
    ("seed: 1.5", 1, "seed", "valid integer"),
    ("data: {directory: 3}", 1, "data.directory", "valid string, got 3"),
    ("data: {mirrors: [ftp://x]}", 1, "data.mirrors[0]", "should match pattern"),
    ("data: null", 1, "data", "expected a mapping of keys to values, got None"),
    ("data: {dir: x}", 1, "data.dir", "did you mean 'directory'?"),
    ("settings: 3", 1, "settings", "mapping of keys to values, got 3"),
    ("settings: {other: {}}", 1, "settings.other", "known are canu2021, frecon2021"),
    ("settings:", 1, "settings", "null removes it"),
    ("settings: {frecon2021: null}", 1, "settings.frecon2021", "null removes it"),
    ("roles:\n\n  cifar11: photos", 3, "roles.cifar11", "did you mean 'cifar10'?"),
    ("roles: {cifar10: photo}", 1, "roles.cifar10", "did you mean 'photos'?"),
    (f"roles: {{cifar10: mine}}\n{NPZ % 'no.npz'}", 2, "datasets.mine.path", "data/no.npz"),
    (f"roles: {{cifar10: mine}}\n{NPZ % ('x' * 5000)}", 2, "datasets.mine.path", "there is no"),
    ("datasets: {mine: {kind: npz}}", 1, "datasets.mine", "the key 'path' is missing"),
    ("datasets: {mine: {path: x}}", 1, "datasets.mine", "the key 'kind' is missing"),
    ("datasets: {mine: {kind: nps}}", 1, "datasets.mine.kind", "did you mean 'npz'?"),
    ("datasets: {mine: {kind: [1]}}", 1, "datasets.mine.kind", "known are cifar10, digits, "),
    ("datasets: {photos: {photos: 3}}", 1, "datasets.photos.photos", "known are kind, "),
    ("datasets: 3", 1, "datasets", "mapping of keys to values"),
    (IN % "fgsm: {method: {eps: -1}}", 1, f"{ATTACK}.fgsm.method.eps", "got -1"),
    (IN % "fgsm: {method: {eps: '1'}}", 1, f"{ATTACK}.fgsm.method.eps", "valid number, got '1'"),
    (IN % "fgsm: {method: {eps: .inf}}", 1, f"{ATTACK}.fgsm.method.eps", "finite"),
    (IN % "fgsm: {method: {norm: l1}}", 1, f"{ATTACK}.fgsm.method.norm", "did you mean 'l2'?"),
    (IN % "fgsm: {method: {kind: fgms}}", 1, f"{ATTACK}.fgsm.method.kind", "mean 'fgsm'?"),
    (IN % "fgsm: {method: {kind: pgd}}", 1, f"{ATTACK}.fgsm.method", "the key 'eps' is missing"),
    (
        "settings:\n  frecon2021:\n    attacks:\n      fgsm:\n        method:\n          epz: 1",
        *(6, f"{ATTACK}.fgsm.method.epz", "did you mean 'eps'?"),
    ),
    (IN % "scada: {method: {atoms: 0}}", 1, f"{ATTACK}.scada.method.atoms", "greater than 0"),
    (
        IN % "scada: {method: {kind: uap, norm: l2, eps: 1.0}, grid: null}",
        *(1, f"{ATTACK}.scada.method.kind", "need 'scada' to be of the kind 'scada'"),
    ),
    (
        "settings: {weitzner2023: {analyses: {change: null}}}",
        *(1, "settings.weitzner2023.analyses.change", "the paper's figures need 'change'"),
    ),
    (IN % "scada: {method: null}", 1, f"{ATTACK}.scada.method", "null removes it"),
    (IN % "scada: {gird: {}}", 1, f"{ATTACK}.scada.gird", "did you mean 'grid'?"),
    (IN % "scada: {grid: {lambda3: [1]}}", 1, f"{ATTACK}.scada.grid.lambda3", "did you mean"),
    (IN % "scada: {grid: {lambda1: []}}", 1, f"{ATTACK}.scada.grid.lambda1", "at least 1"),
    (IN % "scada: {grid: {lambda1: 1}}", 1, f"{ATTACK}.scada.grid.lambda1", "valid array"),
    (IN % "scada: {grid: {lambda1: [1, -1]}}", 1, f"{ATTACK}.scada.grid.lambda1[1]", "got -1"),
    (IN % "scada: {grid: {lambda1: [1, 1.0]}}", 1, f"{ATTACK}.scada.grid.lambda1", "given twice"),
    (
        IN % "scada: {grid: {lambda1: [{a: 1}]}}",
        *(1, f"{ATTACK}.scada.grid.lambda1[0]", "boolean, integer, number or string, got {'a': 1}"),
    ),
    (IN % "scada: {learn_from: null}", 1, f"{ATTACK}.scada", "'learn_from' is missing"),
    (IN % "deepfool: {images: unsen}", 1, f"{ATTACK}.deepfool.images", "did you mean 'unseen'?"),
    (IN % "deepfool: {model: lent}", 1, f"{ATTACK}.deepfool.model", "did you mean 'lenet'?"),
    (IN % "deepfool: {learn_from: learning}", 1, f"{ATTACK}.deepfool.learn_from", "no images"),
    (IN % "uap: {learn_from: unseen}", 1, f"{ATTACK}.uap.learn_from", "shares images"),
    (IN % "bad name!: {model: lenet}", 1, f"{ATTACK}.bad name!", "begins with a letter"),
    # an attack in an attack
    (WRAP % "kind: pgd, eps: 1, epz: 1", 1, f"{ATTACK}.own.method.attack.epz", "mean 'eps'?"),
    (WRAP % "kind: pgd", 1, f"{ATTACK}.own.method.attack", "the key 'eps' is missing"),
    (WRAP % "kind: pgd, eps: -1", 1, f"{ATTACK}.own.method.attack.eps", "got -1"),
    (WRAP % "kind: fgms, eps: 1", 1, f"{ATTACK}.own.method.attack.kind", "you mean 'fgsm'?"),
    (WRAP % "kind: adaptive", 1, f"{ATTACK}.own.method.attack.kind", "unknown kind 'adaptive'"),
    (WRAP % "kind: uap, eps: 1", 1, f"{ATTACK}.own", "the key 'learn_from' is missing"),
    (WRAP % "kind: fgsm, eps: 1, norm: l1", 1, f"{ATTACK}.own.method.attack.norm", "mean 'l2'?"),
    (IN % f"own: {OWN % 'attack: pgd'}", 1, f"{ATTACK}.own.method.attack", "a mapping"),
    (
        IN % f"own: {OWN % 'attack: {kind: fgsm, eps: 1}, sample: 3'}",
        1,
        f"{ATTACK}.own.method.sample",
        "mean 'samples'?",
    ),
    (OF % "dataset: cifra10", 1, f"{MODEL}.dataset", "did you mean 'cifar10'?"),
    (OF % "training: {epoch: 3}", 1, f"{MODEL}.training.epoch", "did you mean 'epochs'?"),
    (OF % "architecture: {width: 3}", 1, f"{MODEL}.architecture.width", "known are kind"),
    ("settings: {frecon2021: {models: 3}}", 1, "settings.frecon2021.models", "mapping"),
    (
        "settings: {frecon2021: {experiments: {tradeoff: [scda]}}}",
        *(1, "settings.frecon2021.experiments.tradeoff[0]", "did you mean 'scada'?"),
    ),
    # what is wrong with the text itself
    ("seed: 1\nseed: 2", 2, "seed", "given twice"),
    ("data: {directory: a, directory: b}", 1, "data.directory", "given twice"),
    ("seed: !!int x", 1, "seed", "cannot be read as int"),
    ("seed: " + "1" * 5000, 1, "seed", "cannot be read as int"),
    ("device: !!binary aGk=", 1, "device", "expected a word, a number"),
    ('device: "\\ud800"', 1, "device", "cannot be read as str"),
]


@pytest.mark.parametrize(("text", "key", "said"), ABOUT_CODES)
def test_coders_analyses_and_surrogates_that_do_not_fit_are_refused(text, key, said, write):
    message = refusal([write(text)])
    assert f"{key}: " in message
    assert said in message
    assert "Traceback" not in message


@pytest.mark.parametrize(
    "text",
    ["a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}", "a: &a {x: 1, y: 2}\nb: {x: 3, <<: *a}"],
)
def test_a_mapping_overrides_what_it_merges(text, write):
    assert read_yaml(write(text)).values["b"] == {"x": 3, "y": 2}


def test_a_merged_mapping_can_be_merged_again_and_of_several_the_first_counts(write):
    text = "a: &a {x: 1}\nb: &b {<<: *a, x: 3, z: 0}\nc: [*b, *b]\nd: {<<: [*b, *a]}"
    values = read_yaml(write(text)).values
    assert values["c"] == [{"x": 3, "z": 0}] * 2
    assert values["d"] == {"x": 3, "z": 0}


@pytest.mark.parametrize(
    ("text", "line", "key", "said"), MISTAKES, ids=[repr(m[0])[:60] for m in MISTAKES]
)
def test_mistake_is_named_with_file_line_key_and_remedy(text, line, key, said, write):
    path = write(text)
    message = refusal([path])
    assert message.startswith(f"{path}:{line}: {key}: ") or (
        message.startswith(f"{path}:{line}: {key} ") and "twice" in said
    )
    assert said in message
    assert "Traceback" not in message
    excerpt, caret = message.splitlines()[1:3]
    assert excerpt == f"{line:5d} | {text.splitlines()[line - 1]}"
    assert re.fullmatch(r" +\| +\^", caret)


def test_a_role_that_no_dataset_plays_is_named_with_the_preset(write, unplayed):
    unplayed("imagenet")
    path = write(OF % "dataset: imagenet" + "\npapers: [frecon2021]")
    message = refusal([path])
    assert message.startswith(f"{path}:1: {MODEL}.dataset: ")
    assert "workflow/presets/demo.yaml" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", ":1: not valid YAML: "),
        ("\t- x", ":1: not valid YAML: found character '\\t'"),
        ("- 1", ":1: expected keys with values at the top level"),
        ("3", ":1: expected keys"),
        ("~: 1", ":1: a key must be a word"),
        ("? [a, b]\n: 1", ":1: a key must be a word"),
        ("? {a: b}\n: 1", ":1: a key must be a word"),
        ('"\\ud800": 1', ":1: cannot be read"),
        ("device: !!python/object:os.system x", ":1: not valid YAML"),
        ("--- {}\n--- {}", ":2: not valid YAML"),
        ("preset: demo\x00", ": not valid YAML"),
        ("a: &a [*a]", ": is nested too deeply, or refers to itself"),
        ("a: " + "[" * 200 + "]" * 200, ": is nested too deeply"),
        ("a: " + "[" * 9000 + "]" * 9000, ": is nested too deeply"),
        ("a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n"
                                    for i in range(20)), ": has more than"),
    ],
    ids=lambda text: repr(text)[:40],
)  # fmt: skip
def test_unreadable_file_is_named(text, said, write):
    path = write(text)
    assert f"{path}{said}" in refusal([path])


def test_file_that_is_not_there_and_file_that_is_no_text(tmp_path):
    missing = tmp_path / "missing.yaml"
    assert refusal([missing]).startswith(f"{missing}: cannot be read: ")
    assert refusal([tmp_path]).startswith(f"{tmp_path}: cannot be read: ")
    missing.write_bytes(b"\xff\xfe\xff")
    assert f"{missing}: is not UTF-8 text" in refusal([missing])


def test_removed_attack_that_an_experiment_names_is_reported_there(write):
    message = refusal([write(IN % "deepfool: null")])
    assert (
        ":1: settings.frecon2021.attacks.deepfool: null removes what is still needed: " in message
    )
    assert "experiments.tradeoff[6]: no attack 'deepfool'" in message
    assert message.count("settings.") == 2, "and no line that only follows from it"


def test_all_mistakes_are_said_at_once_but_not_without_end(write):
    two = refusal([write("threads: 0\nseed: -1")])
    assert "threads" in two
    assert "seed" in two
    many = refusal([write("".join(f"key{i}: 1\n" for i in range(35)))])
    assert many.count("unknown key") == 20
    assert many.endswith("and 15 more")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("attacks: {scada: {grid: {lambda2: [0.1, 1e-3x]}}}", ["lambda2[1]: input should be"]),
        ("attacks: {scada: {grid: {lambda2: [true, x]}}}", ["lambda2[0]: ", "lambda2[1]: "]),
        ("models: {lenet: null}", ["models.lenet: null removes what is still needed: "]),
    ],
)
def test_what_only_follows_from_what_the_user_wrote_is_not_told(text, said, write):
    """The figures read an attack's grid, whose points none of them can find any more."""
    path = write(f"settings: {{frecon2021: {{{text}}}}}")
    message = refusal([path])
    told = [line for line in message.splitlines() if line.startswith(f"{path}:1: settings.")]
    assert [part in line for part, line in zip(said, told, strict=True)] == [True] * len(said)
    assert "paper.yaml" not in message


def test_a_dataset_that_null_removed_is_named_where_the_null_stands(write):
    message = refusal([write("preset: test\ndatasets: {photos: null}")])
    assert ":2: datasets.photos: null removes what is still needed: roles.cifar10: no d" in message


@pytest.mark.parametrize("word", ["=", "<<"])
def test_signs_are_words_where_they_are_values(word, write):
    path = write(f"a: {word}\nb: &b {{x: 1}}\nc:\n  <<: *b")
    assert read_yaml(path).values == {"a": word, "b": {"x": 1}, "c": {"x": 1}}
    assert scalar(word) == word


def test_no_text_on_the_command_line_is_text():
    assert scalar("") == ""


ENTRY = "{method: {kind: noise, norm: l2, eps: %s}, model: %s, images: unseen}"
TOGETHER = [
    # what is written, and what is told of it at once
    ("preset: dmo\nthreads: 0", ["no preset 'dmo'", "threads: "]),
    ("papers: [frecon2012]\nseed: -1", ["no paper 'frecon2012'", "seed: "]),
    (
        f"preset: dmo\npapers: [nope]\n{IN % ('own: ' + ENTRY % (-1, 'lenet'))}",
        ["no preset 'dmo'", "no paper 'nope'", "own.method.eps: "],
    ),
    (
        f"preset: dmo\n{IN % ('own: ' + ENTRY % (1, 'lent'))}",
        ["no preset 'dmo'", "own.model: there is no 'lent'"],
    ),
    (
        IN % f"a: {ENTRY % (-1, 'lenet')}, b: {ENTRY % (1, 'lent')}",
        ["a.method.eps: ", "b.model: there is no 'lent'"],
    ),
    (
        "papers: [nope, frecon2021, frecon2021]\nthreads: 0",
        ["papers[0]: no paper 'nope'", "papers[2]: 'frecon2021' is given twice", "threads: "],
    ),
    (
        f"papers: [frecon2012]\n{IN % ('own: ' + ENTRY % (1, 'lent'))}",
        ["no paper 'frecon2012'", "own.model: there is no 'lent'"],
    ),
    ("roles: {cifar10: nope}\nthreads: 0\nseed: 1\nseed: 2", ["'nope'", "threads: ", "twice"]),
    ("seed: !!int x\nseed: 1\nthreads: 0\ndevice: 010", ["as int", "twice", "threads", "010 is"]),
    ("datasets: {a: {kind: npz}, b: {kind: nps}}\nroles: {mnist: c}", ["'path'", "'nps'", "'c'"]),
]


@pytest.mark.parametrize(("text", "told"), TOGETHER)
def test_mistakes_of_several_kinds_are_told_at_once(text, told, write):
    message = refusal([write(text)])
    for said in told:
        assert said in message, message
    assert len(re.findall(r"(?m)^\S*\.yaml:\d+: ", message)) == len(told), message


NO_MORE = [
    # Mistakes in entries that others name, of which no more is told.
    (IN % "deepfool: {method: {overshot: 1}}", "overshot"),
    (IN % "scada: {method: {atoms: 0}}", "atoms"),
    (OF % "training: {epochs: 0}", "epochs"),
    ("datasets: {photos: {size: 0}}", "size"),
    ("datasets: {mine: {kind: npz}}\nroles: {cifar10: mine}", "'path' is missing"),
    ("datasets: {mine: {kind: npz, path: !!int x}}\nroles: {cifar10: mine}", "as int"),
    (IN_CODES % "coders: {lista_a: {signals: 3}}", "signals"),
    (IN_CODES % "analyses: {change: {coders: 3}}", "coders"),
    (IN_CODES % "models: {codes_mnist: 3}", "codes_mnist"),
    ("preset: mni", "no preset"),
    ("preset: mni\ndatasets: {photos: {train_per_class: 3}}", "no preset"),
    ("preset: mni\nroles: {cifar10: photos}", "no preset"),
    ("roles: {cifar10: 3}", "cifar10"),
    ("papers: [frecon2021]\nsettings: {frecon2012: {attacks: {x: 3}}}", "did you mean 'frecon2021"),
    ("settings: {weitzner2023: {models: 3}}", "models"),
]


@pytest.mark.parametrize(("text", "said"), NO_MORE)
def test_what_only_follows_from_a_mistake_is_not_told(text, said, write):
    message = refusal([write(text)])
    assert said in message
    assert len(re.findall(r"(?m)^\S*\.yaml:\d+: ", message)) == 1, message


def test_files_that_can_not_be_read_are_told_together(write, tmp_path):
    files = [write("a: [", "1.yaml"), write("b: {", "2.yaml"), tmp_path / "3.yaml"]
    files.append(write("seed: 1\nseed: 2", "4.yaml"))
    message = refusal(files)
    for number in range(1, 5):
        assert f"{number}.yaml:" in message


def test_long_values_are_cut(write):
    message = refusal([write(f"threads: [{', '.join(['1'] * 500)}]")])
    assert max(map(len, message.splitlines()[:1])) < 300


def test_place_says_where():
    assert str(Place(None)) == "the command line (--config)"
    assert str(Place(ROOT / "config.yaml", 3)) == "config.yaml:3"


# What a process that only reads the configuration must not pay for.


def test_configuration_is_read_without_heavy_imports():
    code = """
import sys
import advsparse
import advsparse.config.loading
from pathlib import Path
advsparse.config.loading.load([Path("config.yaml")])
heavy = {"torch", "pandas", "matplotlib", "sklearn", "skimage", "scipy", "torchvision"}
print(sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(WORKFLOW), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"


def test_classifiers_that_start_from_one_another_in_a_circle_are_refused(write):
    entry = "{dataset: mnist, architecture: {kind: resnet18}, starts_from: %s}"
    others = ", ".join(f"{a}: {entry % b}" for a, b in (("a", "b"), ("b", "c"), ("c", "a")))
    message = refusal([write(IN_CODES % f"models: {{{others}, d: {entry % 'a'}}}")])
    for name in "abc":
        assert f"{CODES}.models.{name}.starts_from: '{name}' would start from itself" in message
    assert f"{CODES}.models.d" not in message
