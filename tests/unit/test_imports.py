"""No module of the library imports another that imports it, be it lazily or for its types alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from advsparse.config.loading import WORKFLOW

Graph = dict[str, set[str]]


def modules(root: Path, package: str) -> dict[str, Path]:
    """All modules of a package under ``root``, by their dotted names."""
    found = {}
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, name: str, known: dict[str, Path]) -> Iterator[str]:
    """The modules that the module ``name`` imports, wherever in it the import stands.

    The packages that an imported module lies in are left out: a package that gathers names of its
    modules would import every module that imports another of them.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes(), path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(above if node.level else []), *filter(None, [node.module])]
            module = ".".join(parts)
            for alias in node.names:
                below = f"{module}.{alias.name}"
                if found := next((m for m in (below, module) if m in known), None):
                    yield found


def graph(root: Path, package: str) -> Graph:
    known = modules(root, package)
    return {name: set(imported(path, name, known)) for name, path in known.items()}


def circles(edges: Graph) -> list[list[str]]:
    """A shortest circle through each module that is on one, none of them twice."""
    found: dict[frozenset[str], list[str]] = {}
    for start in sorted(edges):
        ends, seen = {start: [start]}, set()
        while ends and start not in seen:
            ends = {n: [*trail, n] for end, trail in ends.items() for n in edges[end] - seen}
            seen |= ends.keys()
        if ends:
            found.setdefault(frozenset(ends[start]), ends[start])
    return list(found.values())


def test_no_module_imports_one_that_imports_it():
    found = circles(graph(WORKFLOW, "advsparse"))
    said = "\n".join(" -> ".join(circle) for circle in found)
    if found:
        pytest.fail(f"modules import each other:\n{said}", pytrace=False)


def test_the_graph_is_that_of_the_library():
    edges = graph(WORKFLOW, "advsparse")
    assert "advsparse.coding._lista" in edges["advsparse.coding.lista"], "in a function"
    assert "advsparse.coding._base" in edges["advsparse.models._base"], "TYPE_CHECKING"
    assert "advsparse.artifacts.arrays" in edges["advsparse.artifacts"], "of a package"
    assert "advsparse.registry" in edges["advsparse.models._base"], "a module by its name"


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        ({"a": "import p.b", "b": "from p.a import x"}, "p.a -> p.b -> p.a"),
        ({"a": "from p import b", "b": "def f():\n    from p import a"}, "p.a -> p.b -> p.a"),
        ({"a": "from . import b", "b": "if T:\n    from .a import x"}, "p.a -> p.b -> p.a"),
        ({"a": "import p.b", "b": "import p.c", "c": "import p.a"}, "p.a -> p.b -> p.c -> p.a"),
        ({"__init__": "from p.a import x", "a": "from p import x"}, "p -> p.a -> p"),
        ({"__init__": "from p.a import x", "a": "from p.b import y", "b": ""}, None),
        ({"a": "import p.b, p.c", "b": "import p.c", "c": "import os"}, None),
    ],
)
def test_circles_are_found_and_named(files, circle, tmp_path):
    (tmp_path / "p").mkdir()
    for name, text in ({"__init__": ""} | files).items():
        (tmp_path / "p" / f"{name}.py").write_text(text)
    found = [" -> ".join(names) for names in circles(graph(tmp_path, "p"))]
    assert found == ([circle] if circle else [])
