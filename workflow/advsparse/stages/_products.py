"""Figures and tables: entries that name a function of the paper and what it reads."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from advsparse.config.assembled import Key, assembled
from advsparse.config.mistakes import Mistake, nearest
from advsparse.config.names import RESERVED, Name, Role
from advsparse.config.plan import Plan
from advsparse.config.sources import shown
from advsparse.stages._captions import caption
from advsparse.stages._registry import stages
from advsparse.stages._stage import All, Around, Job, Needs, Repeated, Stage

PAPERS = Path(__file__).parents[2] / "papers"
"""The folders of papers, whose modules are imported as ``papers.<key>``."""

_BESIDES = {
    "reference": (str, "A file of the paper's folder ``reference``, in the place of an artifact."),
    "all": (Name, "A stage, all of whose artifacts that something else is made from are read."),
    "of_kind": (Name, "The kind that an attack or analysis must have for the function to show it."),
    "nearest": (
        dict[str, float],
        "Of an attack that is a grid: values that the point which is read is nearest to, by ratio.",
    ),
    "attacks": (
        dict[Name, Name],
        "Attacks, with their kinds, that an experiment must have for the function to show it.",
    ),
}
"""What a reading says beside the name of an artifact, or instead of it: types and meanings."""


@cache
def product_entry() -> Any:
    """The type of a figure's or table's entry, which speaks of all stages that can be read."""
    named = {
        stage.name: (
            Role if stage.readable == "roles" else Name,
            f"The {stage.name} that is read: a name of ``{stage.readable}``.",
        )
        for stage in _readable().values()
    }
    described = {
        name: NotRequired[Annotated[kind, Field(description=says)]]
        for name, (kind, says) in (named | _BESIDES).items()
    }
    reading = TypedDict("Reading", described)
    reading.__doc__ = "What a figure or table reads: an artifact, or a file of reference values."
    reading.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    function = Annotated[str, Field(pattern=r"^\w+(\.\w+)+$")]
    return assembled(
        "ProductEntry",
        "A figure or table: the function that makes it, and what that reads.",
        {
            "title": Key(str, "What the report calls it."),
            "function": Key(
                function,
                "``<module>.<function>`` of the paper's folder; or of the library, in full.",
            ),
            "reads": Key(dict[Name, reading], "What it reads, by the names it knows it by."),
            "options": Key(dict[str, Any], "What else the function is told.", dict),
            "repetitions": Key(
                bool,
                """Whether it reads all repetitions: what is repeated is then a list of inputs, in
                their order; if not, the first.""",
                False,
            ),
            "despite_failures": Key(
                bool,
                """Whether it is made from what is there where something it reads has failed; if
                not, it is a gap as a whole.""",
                False,
            ),
        },
    )


def _readable() -> dict[str, Stage]:
    return {name: stage for name, stage in stages().items() if stage.readable}


class Products(Stage):
    """What figures and tables have in common."""

    computes, target = False, True
    gpu, light, memory, minutes = False, True, 1000, 10

    @property
    def repeats(self) -> bool:
        return False

    def needs(self, plan: Plan, job: Job) -> Needs:
        entry = self.entry(plan, job)
        reads = {role: _read(plan, job.paper, reading) for role, reading in entry.reads.items()}
        return {
            role: Repeated(need) if entry.repetitions and isinstance(need, Job) else need
            for role, need in reads.items()
        }

    def works_with_gaps(self, plan: Plan, job: Job) -> bool:
        return self.entry(plan, job).despite_failures

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        told = {"preset": plan.configuration.preset, "paper": job.paper}
        return told | {"options": self.entry(plan, job).options}

    def parameters(self) -> dict[str, Callable[[Plan, Job], Any]]:
        return {"function": self.function}

    def function(self, plan: Plan, job: Job) -> str:
        """The dotted name of the function that makes a product."""
        return function_of(job.paper, self.entry(plan, job).function)

    def caption(self, plan: Plan, job: Job, reads: Mapping[str, Any]) -> str:
        """What the report says below a product, of which it is told what it ``reads``."""
        told = self.settings(plan, job) | {"reads": reads}
        return caption(job.paper, self.caption_file(job), self.title(plan, job), told)

    def caption_file(self, job: Job) -> str:
        """The template of a caption, in the paper's folder ``captions``."""
        return f"{job.name}.rst"

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        yield self.function(plan, job).rpartition(".")[0]

    def title(self, plan: Plan, job: Job) -> str:
        """What the report calls a product."""
        return self.entry(plan, job).title

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        for name, entry in self.entries(paper).items():
            above = (self.section, name)
            if problem := _no_function(around.folder.name, entry.function):
                yield Mistake((*above, "function"), problem)
            if {"{", "}"} & set(entry.title):
                text = "snakemake takes what stands in braces for a wildcard: write it otherwise"
                yield Mistake((*above, "title"), text)
            for role, reading in entry.reads.items():
                if role in RESERVED:
                    text = f"no input can be called {role!r}: the name is taken"
                    yield Mistake((*above, "reads", role), text)
                for mistake in _unreadable(paper, reading, around):
                    key = (*above, "reads", role, *mistake.key)
                    yield Mistake(key, mistake.text, mistake.instead)


def reference(paper: str, name: str) -> str:
    """A file of reference values of a paper: from here, as with an absolute path a copy of the
    project would rerun."""
    return f"{os.path.relpath(PAPERS)}/{paper}/reference/{name}"


def _read(plan: Plan, paper: str, reading: Mapping[str, Any]) -> Job | All | str:
    if "reference" in reading:
        return reference(paper, reading["reference"])
    if "all" in reading:
        return All(reading["all"])
    (stage,) = (stage for name, stage in _readable().items() if name in reading)
    return stage.read(plan, paper, reading)


def _unreadable(paper: Any, reading: Mapping[str, Any], around: Around) -> Iterator[Mistake]:
    readable = (*_readable(), "reference", "all")
    named = [name for name in readable if name in reading]
    if len(named) != 1:
        found = f"not {' and '.join(named)}" if named else "and nothing here is"
        yield Mistake((), f"one of {', '.join(readable)} is to be read, {found}")
        return
    (what,) = named
    stage = stages().get(what)
    for key in reading.keys() - {what, *(stage.understood if stage else ())}:
        yield Mistake((key,), f"says nothing of a reading of {what!r}")
    if stage:
        yield from stage.unreadable(paper, reading, around)
    elif what == "reference":
        folder = around.folder / "reference"
        known = [file.name for file in folder.glob("*") if file.is_file()]
        if reading[what] not in known:
            text = f"no file {reading[what]!r} in {shown(folder)}; {nearest(reading[what], known)}"
            yield Mistake((what,), text)
    elif reading[what] not in stages():
        yield Mistake((what,), f"no stage {reading[what]!r}; {nearest(reading[what], stages())}")


def function_of(paper: str, name: str) -> str:
    """The dotted name of a product's function, in the paper's folder or the library."""
    return name if name.startswith("advsparse.") else f"papers.{paper}.{name}"


def _no_function(paper: str, name: str) -> str | None:
    """What is missing of a function; None if it is there. Its module is read, not imported."""
    module, _, function = function_of(paper, name).rpartition(".")
    file = PAPERS.parent.joinpath(*module.split(".")).with_suffix(".py")
    if not file.is_file():
        return f"there is no module {file.relative_to(PAPERS.parents[1])}"
    try:
        known = _functions(file)
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) else ""
        return f"{file.relative_to(PAPERS.parents[1])}{line} can't be read: {error}"
    if function not in known:
        return f"{file.name} has no function {function!r}; {nearest(function, known)}"
    return None


@cache
def _functions(file: Path) -> list[str]:
    tree = ast.parse(file.read_bytes())
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
