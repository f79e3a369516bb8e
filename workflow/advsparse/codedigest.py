"""A digest of the code that a script runs: its modules and what they import, inside the project.

Snakemake notices an edited script, not an edited module that the script imports. A rule therefore
carries the digest of its script as a parameter. Only what runs counts: comments, docstrings,
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
    """:meth:`CodeBase.digest` of the modules under ``root`` as they are now."""
    return CodeBase(root).digest(*modules)


def imported_modules(*modules: str | Path, root: Path) -> tuple[str, ...]:
    """:meth:`CodeBase.files` of the modules under ``root`` as they are now."""
    return CodeBase(root).files(*modules)


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


class _Step(NamedTuple):
    """One name of a dotted name: its file, and its folder if it is a package.

    A namespace package has no file, a plain module no folder.
    """

    file: Path | None
    folder: Path | None


class CodeBase:
    """The modules under ``root``. Each is read once: what changes later is not seen."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()
        self._find = functools.cache(_find)
        self._read = functools.cache(_source)
        self._label = functools.cache(self._label)  # type: ignore[method-assign]
        self._imported_by = functools.cache(self._imported_by)  # type: ignore[method-assign]

    def digest(self, *modules: str | Path) -> str:
        """SHA-256 of the syntax trees of ``modules`` and of every project module that they import.

        A module is a dotted name under ``root``, or the path of a script: a :class:`Path` or a text
        that ends in ``.py``. ConfigError if one is missing or a file cannot be parsed.
        """
        read = self._sources(modules)
        entries = sorted((self._label(path), self._read(path).digest) for path in read)
        return hashlib.sha256(repr(entries).encode()).hexdigest()

    def files(self, *modules: str | Path) -> tuple[str, ...]:
        """The files behind :meth:`digest`, relative to ``root``, sorted.

        A script outside ``root`` is given by its name alone.
        """
        return tuple(sorted(map(self._label, self._sources(modules))))

    def _sources(self, modules: Iterable[str | Path]) -> set[Path]:
        # Snakemake lets a script import what lies beside it.
        scripts = [Path(module).resolve().parent for module in modules if _is_script(module)]
        bases = (self.root, *(folder for folder in scripts if self._holds(folder)))
        pending = [path for module in modules for path in self._named(module)]
        found: set[Path] = set()
        while pending:
            path = pending.pop()
            if path not in found:
                found.add(path)
                pending += self._imported_by(path, bases)
        return found

    def _imported_by(self, path: Path, bases: tuple[Path, ...]) -> tuple[Path, ...]:
        lines = self._read(path).imports
        return tuple(dict.fromkeys(file for line in lines for file in self._run(line, path, bases)))

    def _holds(self, path: Path) -> bool:
        return path.is_relative_to(self.root)

    def _label(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if self._holds(path) else path.name

    def _named(self, module: str | Path) -> list[Path]:
        """The files that run when an argument of :meth:`digest` is imported."""
        if not _is_script(module):
            parts = str(module).split(".")
            steps = self._walk(self.root, parts)
            if len(steps) < len(parts) or not steps[-1].file:
                raise ConfigError(f"no module {module} under {self.root} to take the digest of")
            return _files(steps)
        path = Path(module).resolve()
        if not path.is_file():
            raise ConfigError(f"no script {module} to take the digest of")
        if not self._holds(path):
            return [path]
        return [path, *_files(self._walk(self.root, path.relative_to(self.root).parts[:-1]))]

    def _run(self, line: _Import, importer: Path, bases: tuple[Path, ...]) -> Iterator[Path]:
        """The files that run when ``importer`` runs the import ``line``."""
        if line.level:
            bases = tuple(importer.parents[line.level - 1 : line.level])
        for base in filter(self._holds, bases):
            steps = self._walk(base, line.module)
            if len(steps) == len(line.module):
                package = steps[-1] if steps else _Step(_init(base), base)
                names = set(line.names)
                if "*" in names and package.file:
                    names.update(self._read(package.file).exports)
                for name in sorted(names) if package.folder else ():
                    yield from _files(self._walk(package.folder, (name,)))
            if steps:
                yield from _files(steps)
                return

    def _walk(self, folder: Path | None, parts: Iterable[str]) -> list[_Step]:
        """The steps of a dotted name, up to the first that is not there."""
        steps = []
        for part in parts:
            step = self._find(folder, part) if folder else None
            if not step:
                break
            steps.append(step)
            folder = step.folder
        return steps


def _is_script(module: str | Path) -> bool:
    return isinstance(module, Path) or module.endswith(".py")


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
            self.imports += (_Import(0, tuple(alias.name.split(".")), ()) for alias in node.names)
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
        test = node.test
        if negated := isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            test = test.operand
        # TYPE_CHECKING or typing.TYPE_CHECKING, which is False at run time.
        if "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None)):
            return [
                part for item in (node.body if negated else node.orelse) for part in _running(item)
            ]
    return [node]


def _text(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
