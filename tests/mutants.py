"""``python tests/mutants.py [--again] [word ...]``: does a test fail for every change of the code?

mutmut changes one place of one function at a time, a number, a comparison, an argument or a
message, and runs the tests that reach the function. It does so in a copy of the project (.mutants),
which keeps what it has found. The words choose modules by their paths, among those that
pyproject.toml names; none means all. ``--again`` tries only what survived last time.

A change that no test can notice stands in mutants.yaml, with the reason; one of where tensors lie
alone is spared as well. What survives besides is shown, and the exit status is 1. mutmut leaves
alone what stands outside of functions, and functions with other decorators than ``staticmethod``
and ``classmethod``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
COPY = ROOT / ".mutants"
SPARED = ROOT / "tests/mutants.yaml"
# mutmut's statuses are exit codes of pytest, or of what ended it.
SURVIVED, UNTESTED, UNTRIED = 0, 33, None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--again", action="store_true", help="only what survived last time")
    parser.add_argument("words", nargs="*", metavar="word")
    arguments = parser.parse_args()
    copy_project()
    chosen = [path for path in mutated() if not arguments.words or named(path, arguments.words)]
    if not chosen:
        return complain(
            f"no module among those of pyproject.toml has {arguments.words} in its path"
        )
    if arguments.again:
        names = [name for path in chosen for name, code in results(path) if code == SURVIVED]
    else:
        names = [f"{module(path)}.*" for path in chosen]
    if names:
        print(f"Trying mutants of {len(chosen)} modules; progress: {COPY.name}/run.log", flush=True)
        mutmut("run", *names)
    return report(chosen)


def mutated() -> list[Path]:
    """The modules that are changed, as they lie in the copy."""
    settings = (COPY / "pyproject.toml").read_text(encoding="utf-8")
    patterns = tomllib.loads(settings)["tool"]["mutmut"]["only_mutate"]
    paths = (path.relative_to(COPY) for path in sorted((COPY / "src").rglob("*.py")))
    return [path for path in paths if any(fnmatch(str(path), pattern) for pattern in patterns)]


def named(path: Path, words: list[str]) -> bool:
    return any(word in str(path) for word in words)


def module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__")


def copy_project() -> None:
    """The project's files in COPY, with ``workflow`` as ``src``, the one folder for sources whose
    name mutmut leaves out of modules' names. Files that have not changed keep their times."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True).stdout.decode()
    wanted = set()
    for name in filter(None, files.split("\0")):
        source = ROOT / name
        place = Path("src", *Path(name).parts[1:]) if name.startswith("workflow/") else Path(name)
        if source.is_file():
            wanted.add(place)
            update(source, COPY / place)
    for path in COPY.rglob("*"):
        place = path.relative_to(COPY)
        if path.is_file() and place not in wanted and place.parts[0] not in ("mutants",):
            path.unlink()
            (COPY / "mutants" / place).unlink(missing_ok=True)
    inner = COPY / "mutants"
    inner.mkdir(exist_ok=True)
    if not (inner / "workflow").is_symlink():
        (inner / "workflow").symlink_to("src")


def update(source: Path, target: Path) -> None:
    if not target.exists() or target.read_bytes() != source.read_bytes():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def mutmut(*words: str) -> str:
    """Run mutmut in the copy; its output, which goes to a file of the copy, too."""
    # Threads of OpenMP don't survive the forks in which mutants are tried.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.setdefault("ADVSPARSE_SHARED_DATA", str(ROOT.parent / "shared/data"))
    log = COPY / f"{words[0]}.log"
    with log.open("w", encoding="utf-8") as output:
        command = [sys.executable, "-m", "mutmut", *words]
        done = subprocess.run(command, cwd=COPY, env=environment, stdout=output, stderr=output)
    said = log.read_text(encoding="utf-8", errors="replace")
    if done.returncode:
        lines = [line for line in said.replace("\r", "\n").splitlines() if line.strip()]
        print("\n".join(lines[-40:]), file=sys.stderr)
        sys.exit(f"mutmut {words[0]} failed; all that it said: {log.relative_to(ROOT)}")
    return said


def results(path: Path) -> Iterator[tuple[str, int | None]]:
    """Each mutant of a module with what became of it."""
    kept = COPY / "mutants" / f"{path}.meta"
    if kept.exists():
        yield from json.loads(kept.read_text(encoding="utf-8"))["exit_code_by_key"].items()


def change(name: str) -> tuple[str, str]:
    """What a mutant takes out of its function, and what it puts in."""
    lines = mutmut("show", name).splitlines()
    parts = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return tuple(
        "\n".join(line[1:].strip() for line in parts if line.startswith(sign)) for sign in "-+"
    )  # type: ignore[return-value]


def report(paths: list[Path]) -> int:
    """Print the score of each module, and what survived; whether anything did that isn't spared."""
    spared = yaml.safe_load(SPARED.read_text(encoding="utf-8")) if SPARED.exists() else {}
    total: Counter[str] = Counter()
    left = []
    for path in paths:
        known = {(entry["was"], entry["is"]) for entry in spared.get(module(path), [])}
        count: Counter[str] = Counter()
        for name, code in results(path):
            if code not in (SURVIVED, UNTESTED, UNTRIED):
                count["killed"] += 1
                continue
            was, becomes = change(name)
            if (was, becomes) in known or only_of_devices(was, becomes):
                count["spared"] += 1
                continue
            count["left"] += 1
            left.append((name, was, becomes, code))
        total += count
        print(f"{module(path):50} {score(count)}")
    print(f"{'all':50} {score(total)}")
    for name, was, becomes, code in left:
        said = {UNTESTED: " (no test reaches it)", UNTRIED: " (not tried)"}.get(code, "")
        print(f"\n{name}{said}\n- {was}\n+ {becomes}".replace("\n", "\n  "))
    return 1 if left else 0


def only_of_devices(was: str, becomes: str) -> bool:
    """Whether a change says nothing but where a tensor lies, which is all one without a GPU."""
    return _without_devices(was) == _without_devices(becomes)


def _without_devices(code: str) -> str:
    code = re.sub(r",? *\bdevice=[\w.\[\]]+", "", code)
    code = re.sub(r"\.to\((?:None|(?:self\.|[a-z_]\w*\.)?device)\)", "", code)
    return re.sub(r", *\)", ")", code)


def score(count: Counter[str]) -> str:
    tried = count["killed"] + count["left"]
    share = f"{100 * count['killed'] / tried:5.1f} %" if tried else "     –"
    return f"{share} of {tried:4d} killed, {count['left']:4d} left, {count['spared']:3d} spared"


def complain(said: str) -> int:
    print(said, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
