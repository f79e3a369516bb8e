"""The plugins that CONTRIBUTING.md and the README tell one to write, word for word."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys

import pytest

from advsparse import registry
from advsparse.config.loading import WORKFLOW

GUIDE = (WORKFLOW.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLES = {
    (group, kind): text
    for group, kind, text in re.findall(
        r"`workflow/advsparse/(\w+)/(\w+)\.py`:\n\n```python\n(.*?)```", GUIDE, re.DOTALL
    )
}

USE = """
import json
import numpy as np
import torch
from pathlib import Path
from advsparse import registry
from advsparse.analyses._base import Attacked, Given
from advsparse.certify._network import ReluNetwork
from advsparse.coding._maps import Matrix
from advsparse.documentation.configuration import configuration_page
from advsparse.seeding import Random

made = lambda group, kind: registry.from_spec(group, {"kind": kind})
splits = made("data", "stripes").load(Path())
x, y = torch.from_numpy(splits.images("test")), torch.from_numpy(splits.labels("test"))
model = made("models", "linear").build((1, 32, 32), 2)
defended = made("defenses", "levels").wrap(model)
coded = made("coding", "thresholding").solve(Matrix(torch.eye(3)), torch.tensor([[1.0, 0.05, -2]]))
attacked = Attacked(x, x + 0.5, y, np.arange(len(x)))
sizes = made("analyses", "sizes").run(Given(rng=Random(0), attacks={"shift": attacked}))
net = ReluNetwork((np.eye(2), np.eye(2)), (np.zeros(2), np.zeros(2)), (None,))
sure = made("certify", "lipschitz").row(net, np.array([0.8, 0.3]))
grey = registry.load("attacks", "grey")(eps=1.0)(model, x, model(x).argmax(1))
print(json.dumps({
    "data": list(x.shape),
    "models": list(model(x).shape),
    "defenses": torch.equal(defended(x * 0.5), model((x * 7.5).round() / 15)),
    "coding": coded.code.tolist()[0],
    "analyses": sizes["shift"].tolist()[0],
    "certify": sure["lower"].tolist()[0],
    "attacks": grey.distance.max().item(),
    "page": configuration_page(),
}))
"""


@pytest.fixture(scope="module")
def used(tmp_path_factory) -> dict:
    """What comes of the examples in a copy of the workflow, where each is used once."""
    tree = tmp_path_factory.mktemp("guide")
    shutil.copytree(WORKFLOW, tree / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    readme = (WORKFLOW.parent / "README.md").read_text(encoding="utf-8")
    attack = re.search(r"```python\n(.*?)```", readme, re.DOTALL)[1]
    for (group, kind), text in (EXAMPLES | {("attacks", "grey"): attack}).items():
        path = tree / "workflow" / "advsparse" / group / f"{kind}.py"
        assert not path.exists(), "there is one that ships"
        path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=tree,
        env={"PYTHONPATH": str(tree / "workflow"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_is_an_example_of_each_group_but_attacks():
    assert {group for group, _ in EXAMPLES} == registry.GROUPS.keys() - {"attacks"}


def test_examples_do_what_they_say(used):
    assert used["data"] == [40, 1, 32, 32]
    assert used["models"] == [40, 2]
    assert used["defenses"] is True
    assert used["coding"] == pytest.approx([0.9, 0.0, -1.9])
    assert used["certify"] == pytest.approx(0.5 / 2**0.5)  # of a difference of two pixels
    assert used["analyses"] == pytest.approx(16.0)  # the norm of 1024 halves
    assert 0 < used["attacks"] <= 1.0


def test_examples_are_documented(used):
    documented = {kind for _, kind in EXAMPLES} | {"grey"}
    assert documented <= set(re.findall(r"### `kind: (\w+)`", used["page"]))


def test_examples_are_formatted(tmp_path):
    for (_, kind), text in EXAMPLES.items():
        (tmp_path / f"{kind}.py").write_text(text)
    configured = ["--config", str(WORKFLOW.parent / "pyproject.toml"), str(tmp_path)]
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, *configured], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_names_that_the_guide_gives_are_there():
    """Files, and the classes that a plugin is to derive from."""
    for name in re.findall(r"`((?:tests|docs|workflow)/[\w/.]+)`", GUIDE):
        if (name.split("/")[-2], name.split("/")[-1].removesuffix(".py")) not in EXAMPLES:
            assert (WORKFLOW.parent / name).exists(), name
    rows = re.findall(r"(?m)^\| \w+ \| `(\w+)/` \| (.*?) \| (.*?) \|", GUIDE)
    assert {row[0] for row in rows} == registry.GROUPS.keys()
    for row in rows:
        source = (WORKFLOW / "advsparse" / row[0] / "_base.py").read_text()
        for name in re.findall(r"`(\w+)`", row[1]):
            assert f"class {name}(" in source, name
        for name in re.findall(r"`(\w+)`", row[2]):
            assert f"def {name}(" in source, name
