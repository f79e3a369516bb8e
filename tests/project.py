"""Copies of the project, and real snakemake runs in them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]


@dataclass(frozen=True)
class Project:
    """A copy of the project's sources, with or without results."""

    path: Path

    @property
    def imported(self) -> Path:
        """Where a project that is built by :meth:`build` has the record of each job's imports."""
        return self.path.with_name(f"{self.path.name}-imported")

    def build(self) -> Project:
        """Build everything, and record what each job imports."""
        recorder = Path(__file__).with_name("recorder")
        self.snakemake(PYTHONPATH=str(recorder), ADVSPARSE_IMPORTED=str(self.imported))
        return self

    def snakemake(
        self, *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess:
        """Run snakemake with the test preset on two cores."""
        command = [*SNAKEMAKE, "--cores", "2", "--config", "preset=test", *_last_config(arguments)]
        inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            command,
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=900,
            env=inherited | environment,
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-6000:]}")
        return done

    def jobs(self, *arguments: str) -> set[str]:
        """The jobs that snakemake would run now: rule names, with wildcards but the paper."""
        done = self.snakemake("--dry-run", *arguments)
        found, rule = set(), None
        for line in (done.stdout + done.stderr).splitlines():
            # Those of a group stand below it, further to the right.
            if match := re.match(r" *(?:local)?(?:rule|checkpoint) (\w+):$", line):
                rule = match[1]
                found.add(rule)
            elif (match := re.match(r" +wildcards: (.*)$", line)) and rule:
                values = [
                    part for part in re.split(r", (?=\w+=)", match[1]) if "paper=" not in part
                ]
                # The wildcard of a repetition is empty for the first one.
                given = (value.partition("=")[2].lstrip("/") for value in values)
                name = " ".join(filter(None, given))
                # What is fitted is named by a digest of its settings.
                name = re.sub(r"-[0-9a-f]{16}$", "", name)
                found.discard(rule)
                found.add(f"{rule} {name}".strip())
        return found - {"all"}

    def job_counts(self) -> dict[str, int]:
        """How many jobs of each rule snakemake would run now, by the table that it prints."""
        printed = self.snakemake("--dry-run").stdout.split("Job stats:")[1]
        rows = re.findall(r"(?m)^(\w+) +(\d+)$", printed)
        return {rule: int(count) for rule, count in rows if rule != "total"}

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace ``old``, which must be there once, in a file."""
        path = self.path / name
        text = path.read_text()
        assert text.count(old) == 1, f"{name} has {text.count(old)} of {old!r}"
        path.write_text(text.replace(old, new))

    def configure(self, text: str) -> None:
        """Append to config.yaml."""
        with (self.path / "config.yaml").open("a") as file:
            file.write(text)


def _last_config(arguments: tuple[str, ...]) -> list[str]:
    """Arguments in an order that ends the list of ``--config`` values with an option."""
    return [*arguments] if arguments and arguments[0].startswith("-") else ["--", *arguments]


def copy_sources(target: Path, papers: str = "frecon2021") -> Project:
    """What git tracks or would track, as a fresh clone has it, with the working tree's content.

    Its configuration names some papers alone: one is what most tests need to be built.
    """
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            # Not copy2: a clone's files are as old as the clone.
            shutil.copy(ROOT / name, target / name)
    config = target / "config.yaml"
    config.write_text(re.sub(r"(?m)^papers: .*$", f"papers: [{papers}]", config.read_text()))
    return Project(target)
