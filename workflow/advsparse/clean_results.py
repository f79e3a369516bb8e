"""``make clean-results PRESET=...``: the one way in which this project deletes results.

It asks first. Only the standard library is needed, so that it works before anything is installed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

RESULTS = Path("results")


def main(arguments: list[str]) -> int:
    """Delete the results of the preset that ``arguments`` names, if the user says yes."""
    known = presets()
    if arguments in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if len(arguments) != 1 or arguments[0] not in known:
        said = f"no results of a preset {arguments[0]!r}" if arguments and arguments[0] else "which"
        there = ", ".join(known) or "none"
        print(f"{said}: name a preset with results, PRESET=... (there are: {there})")
        return 2
    folder = RESULTS / arguments[0]
    if not sys.stdin.isatty():
        print(f"nothing deleted: there is no terminal on which to ask about {folder}")
        return 1
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.lstat().st_size for path in files) / 2**20
    try:
        answer = input(f"Delete {folder}, {len(files)} files, {size:.0f} MiB? Type yes: ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
        print()
    if answer.strip() != "yes":
        print("nothing deleted")
        return 1
    shutil.rmtree(folder)
    print(f"deleted: {folder}")
    return 0


def presets() -> list[str]:
    """The presets that have results, each the name of a folder."""
    if not RESULTS.is_dir():
        return []
    # What is a link elsewhere is for its owner to delete.
    return sorted(
        path.name for path in RESULTS.iterdir() if path.is_dir() and not path.is_symlink()
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
