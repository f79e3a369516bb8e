"""A digest of the code that a script runs: its modules and what they import, inside the project.

Snakemake notices an edited script, not an edited module that the script imports. A rule therefore
carries ``code_digest`` of its script as a parameter. Only what runs counts: comments, docstrings,
formatting and what stands under ``if TYPE_CHECKING:`` leave the digest as it is. Imports by a
computed name cannot be seen; name such modules, a plugin's say, along with the script.
"""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import ConfigError


def code_digest(*modules: str | Path, root: Path) -> str:
    """SHA-256 of the syntax trees of ``modules`` and of every project module that they import.

    A module is a dotted name under ``root``, or the path of a script: a :class:`Path` or a text
    that ends in ``.py``. ConfigError if one is missing or a file cannot be parsed.
    """
    entries = sorted((label, source.digest) for label, source in _sources(modules, root))
    return hashlib.sha256(repr(entries).encode()).hexdigest()


def imported_modules(*modules: str | Path, root: Path) -> tuple[str, ...]:
    """The files behind :func:`code_digest`, relative to ``root``, sorted.

    A script outside ``root`` is given by its name alone.
    """
    return tuple(sorted(label for label, _ in _sources(modules, root)))


class _Import(NamedTuple):
    """``from <level dots><module> import <names>``; no names for ``import <module>``."""

    level: int
    module: tuple[str, ...]
    names: tuple[str, ...]


class _Source(NamedTuple):
    """What counts of one file; ``exports`` is what ``__all__`` names."""

    digest: str
    imports: tuple[_Import, ...]
    exports: tuple[str, ...]


def _sources(modules: Iterable[str | Path], root: Path) -> list[tuple[str, _Source]]:
    project = _Project(Path(root).resolve())
    pending = [path for module in modules for path in project.named(module)]
    sources: dict[Path, _Source] = {}
    while pending:
        path = pending.pop()
        if path not in sources:
            sources[path] = _source(path)
            pending += (file for line in sources[path].imports for file in project.run(line, path))
    return [(project.label(path), source) for path, source in sources.items()]


class _Step(NamedTuple):
    """One name of a dotted name: its file, and its folder if it is a package.

    A namespace package has no file, a plain module no folder.
    """

    file: Path | None
    folder: Path | None


class _Project:
    """Finds the files behind the imports of one call; each folder is asked once for each name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bases = [root]
        self.find = functools.cache(_find)

    def holds(self, path: Path) -> bool:
        return path.is_relative_to(self.root)

    def label(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if self.holds(path) else path.name

    def named(self, module: str | Path) -> list[Path]:
        """The files that run when an argument of ``code_digest`` is imported."""
        if isinstance(module, str) and not module.endswith(".py"):
            parts = module.split(".")
            steps = self.walk(self.root, parts)
            if len(steps) < len(parts) or not steps[-1].file:
                raise ConfigError(f"no module {module} under {self.root} to take the digest of")
            return _files(steps)
        path = Path(module).resolve()
        if not path.is_file():
            raise ConfigError(f"no script {module} to take the digest of")
        if not self.holds(path):
            return [path]
        # Snakemake lets a script import what lies beside it.
        self.bases.append(path.parent)
        return [path, *_files(self.walk(self.root, path.relative_to(self.root).parts[:-1]))]

    def run(self, line: _Import, importer: Path) -> Iterator[Path]:
        """The files that run when ``importer`` runs the import ``line``."""
        bases = importer.parents[line.level - 1 : line.level] if line.level else self.bases
        for base in filter(self.holds, bases):
            steps = self.walk(base, line.module)
            if len(steps) == len(line.module):
                package = steps[-1] if steps else _Step(_init(base), base)
                names = set(line.names)
                if "*" in names and package.file:
                    names.update(_source(package.file).exports)
                for name in sorted(names) if package.folder else ():
                    yield from _files(self.walk(package.folder, (name,)))
            if steps:
                yield from _files(steps)
                return

    def walk(self, folder: Path, parts: Iterable[str]) -> list[_Step]:
        """The steps of a dotted name, up to the first that is not there."""
        steps = []
        for part in parts:
            step = self.find(folder, part) if folder else None
            if not step:
                break
            steps.append(step)
            folder = step.folder
        return steps


def _find(folder: Path, name: str) -> _Step | None:
    """What ``name`` is in ``folder``, in Python's order: package, module, namespace package."""
    below = folder / name
    is_folder = bool(name) and below.is_dir()
    if is_folder and (init := _init(below)):
        return _Step(init, below)
    if (file := folder / f"{name}.py").is_file():
        return _Step(file, None)
    return _Step(None, below) if is_folder else None


def _init(folder: Path) -> Path | None:
    init = folder / "__init__.py"
    return init if init.is_file() else None


def _files(steps: Iterable[_Step]) -> list[Path]:
    return [step.file for step in steps if step.file]


def _source(path: Path) -> _Source:
    status = path.stat()
    return _parse(path, status.st_mtime_ns, status.st_size)


@functools.cache
def _parse(path: Path, mtime_ns: int, size: int) -> _Source:
    """Read a file, once in each process unless it changes, which its time and size tell."""
    try:
        tree = ast.parse(path.read_bytes(), path)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise ConfigError(f"{path}:{line}: {getattr(error, 'msg', error)}") from error
    scan = _Scan()
    scan.add(tree)
    digest = hashlib.sha256("".join(scan.text).encode()).hexdigest()
    return _Source(digest, tuple(scan.imports), tuple(scan.exports))


class _Scan:
    """One pass over a syntax tree: its text without positions, its imports and its exports."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.imports: list[_Import] = []
        self.exports: list[str] = []

    def add(self, node: object) -> None:
        if isinstance(node, ast.AST):
            self._note(node)
            self.text.append(f"{type(node).__name__}(")
            for name in node._fields:
                # A load or a store shows in where it stands, the prefix in u"" is formatting.
                if name not in ("ctx", "kind", "type_comment"):
                    self.add(getattr(node, name, None))
            self.text.append(")")
        elif isinstance(node, list):
            self.text.append("[")
            for item in node:
                for part in _running(item):
                    self.add(part)
            self.text.append("]")
        else:
            self.text.append(f"{node!r},")

    def _note(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            names = (tuple(alias.name.split(".")) for alias in node.names)
            self.imports += (_Import(0, name, ()) for name in names)
        elif isinstance(node, ast.ImportFrom):
            module = tuple(node.module.split(".")) if node.module else ()
            names = tuple(alias.name for alias in node.names)
            self.imports.append(_Import(node.level, module, names))
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                self.exports += filter(None, map(_text, ast.walk(node.value)))


def _running(node: ast.AST) -> list[ast.AST]:
    """What of an item of a list of the tree runs; ``pass`` is what a docstring may stand for."""
    if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and _text(node.value) is not None):
        return []
    if isinstance(node, ast.If):
        negated = isinstance(node.test, ast.UnaryOp) and isinstance(node.test.op, ast.Not)
        test = node.test.operand if negated else node.test
        # TYPE_CHECKING or typing.TYPE_CHECKING, which is False at run time.
        if "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None)):
            return [
                part for item in (node.body if negated else node.orelse) for part in _running(item)
            ]
    return [node]


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
