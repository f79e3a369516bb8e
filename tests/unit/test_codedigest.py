"""The code digest: what runs changes it, what does not run leaves it as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from advsparse import codedigest
from advsparse.codedigest import code_digest, imported_modules
from advsparse.errors import ConfigError, UserError

WORKFLOW = Path(codedigest.__file__).parents[1]

PROJECT = {
    "lib/__init__.py": "",
    "lib/main.py": '''"""Main."""

from __future__ import annotations

import json
import lib.plain
import lib.deep.one as alias
import typing
from typing import TYPE_CHECKING

import numpy as np
from lib import attribute, submodule
from lib.star import *
from papers.sun import tables

from . import sibling
from .deep import two as second, nothing
from .relative import thing

if TYPE_CHECKING:
    from lib import typed
if typing.TYPE_CHECKING:
    import lib.typed
    from lib.gone import away
elif json:
    from lib import at_run_time
if not TYPE_CHECKING:
    import lib.untyped


class Settings:
    """Settings."""

    eps: float = 0.3
    """How far."""


@property
def attack(x, steps=10):
    """Attack."""
    from lib.inner import solver

    return solver(x, steps) * 2  # twice


try:
    import lib.missing.entirely
except ImportError:
    pass
''',
    "lib/plain.py": "A = 1",
    "lib/deep/__init__.py": "nothing = 0",
    "lib/deep/one.py": "from ..cycle import a",
    "lib/deep/two.py": "from .. import up",
    "lib/up.py": "",
    "lib/cycle/__init__.py": "",
    "lib/cycle/a.py": "from . import b",
    "lib/cycle/b.py": "from . import a\nimport lib.main",
    "lib/submodule.py": "",
    "lib/star/__init__.py": '__all__ = ["named"]\n__all__ += ("added",)',
    "lib/star/named.py": "",
    "lib/star/added.py": "",
    "lib/star/unnamed.py": "",
    "lib/sibling.py": "",
    "lib/relative.py": "from lib.far import *\nthing = 0",
    "lib/far.py": "FAR = 1",
    "lib/inner/__init__.py": "from .solver import solver",
    "lib/inner/solver.py": "solver = max",
    "lib/at_run_time.py": "",
    "lib/untyped.py": "",
    "lib/typed.py": "",
    "lib/unrelated.py": "UNRELATED = 1",
    "papers/sun/tables.py": "from papers.sun.figures import draw",
    "papers/sun/figures.py": "draw = 1",
    "papers/gu/tables.py": "",
    "scripts/train.py": "from _common import unpack\nimport lib.far",
    "scripts/_common.py": "unpack = 1",
    "scripts/evaluate.py": "",
}
UNUSED = {
    "lib/star/unnamed.py",
    "lib/typed.py",
    "lib/unrelated.py",
    "papers/gu/tables.py",
}
USED = sorted(name for name in PROJECT if name not in UNUSED and not name.startswith("scripts"))


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "workflow"
    for name, text in PROJECT.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def edit(root: Path, name: str, old: str, new: str) -> None:
    path = root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    # Edits that keep the size may fall into one tick of the file system's clock.
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


def test_every_form_of_import_is_followed(root):
    assert imported_modules("lib.main", root=root) == tuple(USED)


def test_arguments_add_up(root):
    both = imported_modules("lib.main", "lib.unrelated", root=root)
    assert set(both) == {*USED, "lib/unrelated.py"}
    assert code_digest("lib.main", "lib.unrelated", root=root) != code_digest("lib.main", root=root)
    assert code_digest("lib.far", "lib.up", root=root) == code_digest(
        "lib.up", "lib.far", root=root
    )


def test_ancestors_count(root):
    assert imported_modules("lib.deep.two", root=root) == (
        "lib/__init__.py",
        "lib/deep/__init__.py",
        "lib/deep/two.py",
        "lib/up.py",
    )
    assert imported_modules("papers.sun.figures", root=root) == ("papers/sun/figures.py",)
    assert imported_modules("lib.star", root=root) == ("lib/__init__.py", "lib/star/__init__.py")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# twice", "# two times"),
        ("  # twice", ""),
        ('"""Main."""', '"""Something else."""'),
        ('"""Main."""\n', ""),
        ('    """Attack."""\n', ""),
        ('"""Attack."""', "'''Attack.\n\n    More.\n    '''"),
        ('    """How far."""\n', ""),
        ('    """Settings."""\n', ""),
        ("import json\n", "import json\n\n\n"),
        ("solver(x, steps) * 2", "(\n        solver(\n x, steps,\n) * 2)"),
        ("eps: float = 0.3", "eps : float=.3_0"),
        ("    pass\n", '    "Not there."\n'),
        ("    from lib import typed\n", "    from lib import unrelated\n"),
        ("if TYPE_CHECKING:\n    from lib import typed\n", ""),
        ("if not TYPE_CHECKING:\n    import lib.untyped\n", "import lib.untyped\n"),
    ],
)
def test_edits_without_meaning_leave_the_digest(root, old, new):
    before = code_digest("lib.main", root=root)
    edit(root, "lib/main.py", old, new)
    assert code_digest("lib.main", root=root) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("lib/main.py", "eps: float = 0.3", "eps: float = 0.4"),
        ("lib/main.py", "eps: float = 0.3", "eps: int = 0.3"),
        ("lib/main.py", "eps: float = 0.3", "eps: float"),
        ("lib/main.py", "steps=10", "steps=20"),
        ("lib/main.py", "steps=10", "steps=10.0"),
        ("lib/main.py", "steps=10", "steps='10'"),
        ("lib/main.py", "steps=10", "*, steps=10"),
        ("lib/main.py", "@property\n", ""),
        ("lib/main.py", "solver(x, steps) * 2", "solver(x, steps) ** 2"),
        ("lib/main.py", "solver(x, steps)", "solver(steps, x)"),
        ("lib/main.py", "class Settings", "class Other"),
        ("lib/main.py", "numpy as np", "numpy as numpy"),
        ("lib/main.py", "elif json", "elif typing"),
        ("lib/plain.py", "A = 1", "A = 2"),
        ("lib/plain.py", "A = 1", "A = True"),
        ("lib/cycle/b.py", "import lib.main", "import lib.main\nx = 1"),
        ("lib/inner/solver.py", "max", "min"),
        ("lib/far.py", "FAR", "NEAR"),
        ("lib/deep/__init__.py", "0", "1"),
        ("papers/sun/figures.py", "1", "2"),
    ],
)
def test_edits_with_meaning_change_the_digest(root, name, old, new):
    before = code_digest("lib.main", root=root)
    edit(root, name, old, new)
    assert code_digest("lib.main", root=root) != before
    (root / name).write_text(PROJECT[name])
    assert code_digest("lib.main", root=root) == before


def test_edits_elsewhere_leave_the_digest(root):
    before = code_digest("lib.main", root=root)
    for name in UNUSED:
        (root / name).write_text("CHANGED = 1")
    (root / "lib/typed.py").write_text("no python at all")
    assert code_digest("lib.main", root=root) == before


def test_a_module_that_turns_into_a_package_is_found(root):
    (root / "lib/plain").mkdir()
    assert "lib/plain.py" in imported_modules("lib.main", root=root)
    (root / "lib/plain/__init__.py").write_text("A = 1")
    files = imported_modules("lib.main", root=root)
    assert "lib/plain/__init__.py" in files
    assert "lib/plain.py" not in files


def test_scripts(root, tmp_path, monkeypatch):
    script = root / "scripts/train.py"
    files = ("lib/__init__.py", "lib/far.py", "scripts/_common.py", "scripts/train.py")
    assert imported_modules(script, root=root) == files
    monkeypatch.chdir(root)
    assert imported_modules("scripts/train.py", root=Path()) == files
    assert code_digest("scripts/train.py", root=Path()) == code_digest(script, root=root)
    # A module, not a script: nothing beside it can be imported.
    assert "scripts/_common.py" not in imported_modules("scripts.train", root=root)

    outside = tmp_path / "elsewhere" / "run.py"
    outside.parent.mkdir()
    outside.write_text("import lib.far\nfrom . import no\nfrom ..... import never\nimport beside")
    (outside.parent / "beside.py").touch()
    assert imported_modules(outside, root=root) == ("lib/__init__.py", "lib/far.py", "run.py")
    before = code_digest(outside, root=root)
    assert code_digest(outside.rename(tmp_path / "run.py"), root=root) == before


def test_an_import_with_a_path_through_a_plain_module_stops_there(root):
    (root / "lib/odd.py").write_text("import lib.plain.below\nfrom lib.plain import A")
    assert imported_modules("lib.odd", root=root) == (
        "lib/__init__.py",
        "lib/odd.py",
        "lib/plain.py",
    )


def test_the_place_of_the_project_leaves_the_digest(root, tmp_path):
    before = code_digest("lib.main", root=root)
    moved = shutil.copytree(root, tmp_path / "clone" / "other")
    assert code_digest("lib.main", root=moved) == before
    (tmp_path / "link").symlink_to(moved)
    assert code_digest("lib.main", root=tmp_path / "link") == before
    assert code_digest(tmp_path / "link/lib/main.py", root=tmp_path / "link")


def test_hash_seeds_leave_the_digest(root):
    code = (
        "import sys, pathlib; from advsparse.codedigest import code_digest;"
        "print(code_digest('lib.main', root=pathlib.Path(sys.argv[1])))"
    )
    digests = set()
    for seed in "012":
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(WORKFLOW)}
        command = [sys.executable, "-c", code, str(root)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout.strip())
    assert digests == {code_digest("lib.main", root=root)}


@pytest.mark.parametrize("text", ["x = 1\ny = = 2\n", "x = 1\nif x:\n", 'x = 1\ny = "open'])
def test_a_syntax_error_names_file_and_line(root, text):
    (root / "lib/far.py").write_text(text)
    with pytest.raises(ConfigError, match=r"lib/far\.py:2: ") as caught:
        code_digest("lib.main", root=root)
    assert isinstance(caught.value, UserError)


@pytest.mark.parametrize("data", [b"x = 1\0", b"x = '\xff'", b"# coding: klingon\n"])
def test_a_file_that_is_no_text_is_named(root, data):
    (root / "lib/far.py").write_bytes(data)
    with pytest.raises(ConfigError, match=r"lib/far\.py"):
        code_digest("lib.main", root=root)


@pytest.mark.parametrize(
    "module",
    ["lib.nowhere", "lib.plain.A", "elsewhere", "papers", "lib..plain", "", "gone.py", Path("lib")],
)
def test_a_missing_module_is_named(root, module):
    with pytest.raises(ConfigError, match=f"no (module|script) {module} "):
        code_digest(module, root=root)


def test_a_file_is_parsed_once(root, monkeypatch):
    before = code_digest("lib.main", root=root)
    monkeypatch.setattr(codedigest.ast, "parse", None)
    assert code_digest("lib.main", root=root) == before


def test_the_real_project():
    files = imported_modules("advsparse.registry", root=WORKFLOW)
    assert {"advsparse/__init__.py", "advsparse/registry.py"} <= set(files)
    assert code_digest("advsparse.registry", root=WORKFLOW)


def test_sixty_files_are_quick(root):
    text = Path(codedigest.__file__).read_text()
    for number in range(60):
        following = f"import lib.module{number + 1}\n# the file after module {number}\n"
        (root / f"lib/module{number}.py").write_text(text + following)
    start = time.perf_counter()
    for _ in range(15):
        files = imported_modules("lib.module0", root=root)
    # A tenth of this on an idle machine; the limit leaves room for a busy one.
    assert time.perf_counter() - start < 5
    assert len(files) == 61
