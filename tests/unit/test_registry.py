"""Plugins: adding one is adding one module."""

import importlib
import json
import shutil
import subprocess
import sys

import pytest

from advsparse import registry
from advsparse.config.loading import WORKFLOW
from advsparse.settings import settings

ROOT = WORKFLOW.parent

MINE = '''"""An attack of my own."""

from __future__ import annotations

from advsparse.attacks._base import BudgetAttack, Candidate
from advsparse.lazy import torch
from advsparse.settings import PositiveInt, settings


class _Helper:
    """Not public: no plugin."""


@settings
class Mine(BudgetAttack):
    """Adds nothing, | many times."""

    rounds: PositiveInt = 3
    """How often nothing is added."""

    def perturb(self, oracle, x, y, target, rng):
        return Candidate(x.clone(), torch.zeros(len(x), dtype=torch.int64))
'''

ENTRY = "{method: {kind: mine, eps: 0.1, %s}, model: lenet, images: unseen}"
CONFIG = "preset: test\nsettings:\n  frecon2021:\n    attacks:\n      own: %s\n"


@pytest.fixture
def tree(tmp_path):
    """A copy of the workflow that a test may add modules to."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(WORKFLOW, tmp_path / "workflow", ignore=ignore)
    return tmp_path


def python(tree, code: str) -> subprocess.CompletedProcess:
    """Run ``code`` on the copied package, in the folder of the copied tree."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        env={"PYTHONPATH": str(tree / "workflow"), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


LOAD = """
import json
from pathlib import Path
import advsparse
from advsparse import registry
from advsparse.config.loading import load
from advsparse.config.schema import json_schema
from advsparse.documentation.configuration import configuration_page
from advsparse.errors import ConfigError
assert Path(advsparse.__file__).is_relative_to(Path.cwd()), advsparse.__file__

said = {}
for name in ("good", "unknown", "negative"):
    try:
        method = load([Path(name + ".yaml")]).settings["frecon2021"].attacks["own"].method
        said[name] = registry.spec_of(method)
    except ConfigError as error:
        said[name] = str(error)
said["schema"] = json_schema()["$defs"]["Mine"]
said["page"] = configuration_page()
print(json.dumps(said))
"""


def test_attack_in_one_file_is_configurable_checked_and_documented(tree):
    (tree / "workflow" / "advsparse" / "attacks" / "mine.py").write_text(MINE)
    for name, value in (("good", "rounds: 5"), ("unknown", "round: 5"), ("negative", "rounds: 0")):
        (tree / f"{name}.yaml").write_text(CONFIG % (ENTRY % value))
    done = python(tree, LOAD)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    good = {"kind": "mine", "passes": None, "norm": "l2", "eps": 0.1, "rounds": 5}
    assert said["good"] == good
    where = "settings.frecon2021.attacks.own.method"
    assert said["unknown"].startswith(f"unknown.yaml:5: {where}.round: unknown key 'round'; ")
    assert "did you mean 'rounds'?" in said["unknown"]
    assert said["negative"].startswith(f"negative.yaml:5: {where}.rounds: ")
    assert said["schema"]["properties"]["rounds"] == {
        "default": 3,
        "description": "How often nothing is added.",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 2**63,
        "title": "Rounds",
        "type": "integer",
    }
    assert said["schema"]["properties"]["eps"]["description"]  # inherited
    assert "eps" in said["schema"]["required"]
    page = said["page"]
    assert "### `kind: mine`\n\nAdds nothing, \\| many times.\n" in page
    assert "| `rounds` | integer > 0 | `3` | How often nothing is added. |" in page


def test_attack_in_one_file_attacks(tree):
    (tree / "workflow" / "advsparse" / "attacks" / "mine.py").write_text(MINE)
    code = """
import torch
from advsparse import registry
attack = registry.from_spec("attacks", {"kind": "mine", "eps": 0.1})
model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
x = torch.rand(3, 1, 2, 2)
assert torch.equal(attack(model, x, model(x).argmax(1)).x, x)
"""
    done = python(tree, code)
    assert done.returncode == 0, done.stderr


TWO = MINE + "\n\n@settings\nclass Yours(Mine):\n    pass\n"
NONE = "from advsparse.attacks.fgsm import FGSM\n"


@pytest.mark.parametrize(("text", "found"), [(TWO, 2), (NONE, 0), ("", 0)])
def test_module_without_exactly_one_public_class_is_named(text, found, tree):
    path = tree / "workflow" / "advsparse" / "attacks" / "mine.py"
    path.write_text(text)
    done = python(tree, "from advsparse.registry import load; load('attacks', 'mine')")
    assert done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"ImportError: {path} must define exactly one public Attack, found {found}"


def test_module_that_begins_with_an_underscore_is_no_plugin(tree):
    (tree / "workflow" / "advsparse" / "attacks" / "_mine.py").write_text(MINE)
    done = python(tree, "from advsparse.registry import kinds; print(*kinds('attacks'))")
    assert done.stdout.split() == list(registry.kinds("attacks"))


# The plugins that ship.

PLUGINS = [(group, kind) for group in registry.GROUPS for kind in registry.kinds(group)]


@pytest.mark.parametrize(("group", "kind"), PLUGINS)
def test_shipped_plugin(group, kind):
    cls = registry.load(group, kind)
    assert registry.kind_of(cls) == kind
    assert registry.module_name(group, kind) == cls.__module__
    assert cls.__doc__.partition("\n\n")[0].strip().endswith(".")
    assert "kind" not in cls.__dataclass_fields__
    # Its own settings are checked as the decorator checks them: a typo is refused.
    with pytest.raises(ValueError, match="nosuch"):
        cls(nosuch=1)


def test_spec_describes_a_plugin_completely():
    attack = registry.from_spec("attacks", {"kind": "pgd", "eps": 0.3, "norm": "l2"})
    spec = registry.spec_of(attack)
    assert spec["kind"] == "pgd"
    assert json.loads(json.dumps(spec)) == spec
    assert registry.from_spec("attacks", spec) == attack
    assert registry.kind_of(attack) == "pgd"
    assert spec == registry.spec_of(registry.from_spec("attacks", spec))


def test_spec_is_left_as_it_was():
    spec = {"kind": "fgsm", "eps": 0.1}
    registry.from_spec("attacks", spec)
    assert spec == {"kind": "fgsm", "eps": 0.1}


def test_unknown_kind_and_group():
    with pytest.raises(ImportError, match="nosuch"):
        registry.load("attacks", "nosuch")
    with pytest.raises(KeyError):
        registry.kinds("nosuch")


@pytest.mark.parametrize("group", registry.GROUPS)
def test_group_leads_to_a_package_and_a_base_class(group):
    package, module, name = registry.GROUPS[group]
    base = getattr(importlib.import_module(module), name)
    assert importlib.import_module(package).__path__
    assert all(issubclass(registry.load(group, kind), base) for kind in registry.kinds(group))


def test_settings_are_frozen_and_keyword_only():
    @settings
    class Two:
        a: int = 1

    with pytest.raises(AttributeError):
        Two().a = 2
    with pytest.raises((TypeError, ValueError)):
        Two(3)
    with pytest.raises(ValueError, match="int"):
        Two(a="3")
