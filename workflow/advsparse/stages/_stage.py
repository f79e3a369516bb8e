"""What a stage declares: a module of this package each, found by being there.

From the declarations follows, once for all stages: what the rules say, and which failures lie
behind a gap (``_wiring``); where files are (``_places``); what is built, and the code that decides
on reruns (``_graph``); the sections of a paper's settings and the names that lead nowhere
(``advsparse.config``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from advsparse import registry
from advsparse.config.mistakes import Mistake, nearest
from advsparse.config.plan import Plan
from advsparse.evaluate.repeated import again


@dataclass(frozen=True)
class Job:
    """One job of a stage, and the artifact that it makes."""

    stage: str
    name: str
    paper: str = ""
    """Empty for what all papers share."""
    repetition: int = 0
    """Which of the times that it is made with other random numbers."""

    @property
    def again(self) -> str:
        """What names in messages end in: nothing the first time."""
        return again(self.repetition)


@dataclass(frozen=True)
class All:
    """All jobs of a stage that are built for something else than the job that asks for this."""

    stage: str


@dataclass(frozen=True)
class Repeated:
    """A job as often as it is repeated, for what looks at all repetitions."""

    job: Job
    count: int | None = None
    """Only so many of them."""


Needs = Mapping[str, "Job | All | Repeated | list[Job] | str | list[str]"]
"""What a job reads, by the names of its rule's inputs: artifacts, or files that are there."""


@dataclass(frozen=True)
class Section:
    """A section of a paper's settings: entries by name."""

    entry: Any
    """The type of an entry."""
    says: str
    """What the entries are."""
    required: bool = False


@dataclass(frozen=True)
class Around:
    """What a paper's settings have to fit."""

    folder: Path
    """The paper's own."""
    roles: Collection[str]
    """Those that a dataset plays."""
    preset: str
    """The file of the preset."""

    def unplayed(self, role: str | None, *key: str) -> Iterator[Mistake]:
        """The mistake of naming, at a key, a role that no dataset plays."""
        if role is not None and role not in self.roles:
            hint = f"neither {self.preset} nor your roles say which dataset plays it"
            yield Mistake(key, f"no dataset for {role!r}: {hint}")


class Stage:
    """A stage of the pipeline: its jobs, by their names, and what each of them is told."""

    name: ClassVar[str]
    """What its jobs make, as metadata, logs and messages have it: ``attack``."""
    folder: ClassVar[str]
    """Where artifacts, logs, benchmarks and records of failures go: ``attacks``."""
    wildcard: ClassVar[str]
    """The wildcard of its rule that holds a job's name."""
    suffixes: ClassVar[tuple[str, ...]] = (".npz",)
    """Of the files that a job makes; the first one is the artifact that others read."""

    shared: ClassVar[bool] = False
    """Whether its jobs are made once for all papers."""
    computes: ClassVar[bool] = True
    """Whether a job that fails leaves a record, instead of showing the gaps that others left."""
    blamed: ClassVar[bool] = False
    """Whether what lacks its artifact says whose failure that is."""
    imported: ClassVar[bool] = False
    """Whether who reads its artifact runs its code: a network is stored without its class."""
    resumes: ClassVar[bool] = False
    """Whether a job keeps a checkpoint while it runs."""
    target: ClassVar[bool] = False
    """Whether its jobs are built for their own sake."""
    accompanies: ClassVar[str | None] = None
    """The stage with each of whose jobs, where they are built, comes one of this."""

    gpu: ClassVar[bool] = True
    """Whether a job runs networks, on a GPU where the configuration says so."""
    memory: ClassVar[int] = 2000
    """MB that a job asks for where none was measured."""
    minutes: ClassVar[int] = 120
    """Minutes that a job asks for where none were measured."""
    light: ClassVar[bool] = False
    """Whether a job takes seconds, whatever the data: it asks for the same everywhere."""

    def sections(self) -> Mapping[str, Section]:
        """The sections of a paper's settings that are this stage's to declare."""
        return {}

    @property
    def repeats(self) -> bool:
        """Whether what it makes hangs on random numbers, so that each repetition makes it anew."""
        return not self.shared

    section: ClassVar[str] = ""
    """The section with an entry for each of its jobs, where it is as simple as that."""

    def entries(self, settings: Any) -> Mapping[str, Any]:
        """The entries of its section in a paper's settings."""
        return getattr(settings, self.section)

    def entry(self, plan: Plan, job: Job) -> Any:
        """The entry that a job is made of."""
        return self.entries(plan.paper(job.paper))[job.name]

    def names(self, plan: Plan, paper: str) -> Iterable[str]:
        """The names of all its jobs, be they built or not."""
        return self.entries(plan.paper(paper))

    def repetitions(self, plan: Plan, job: Job) -> int:
        """How often a job is made, with other random numbers each time."""
        return plan.configuration.repetitions

    def needs(self, plan: Plan, job: Job) -> Needs:
        """What a job reads; of its own repetition, unless it says :class:`Repeated`."""
        raise NotImplementedError

    def settings(self, plan: Plan, job: Job) -> dict[str, Any]:
        """What a job is told: what its result depends on, and nothing else."""
        raise NotImplementedError

    def parameters(self) -> dict[str, Callable[[Plan, Job], Any]]:
        """Parameters of its rule besides those that all have."""
        return {}

    def modules(self, plan: Plan, job: Job) -> Iterator[str]:
        """The modules that a job runs beyond what its script imports, such as plugins."""
        yield from ()

    def absent(self, plan: Plan, job: Job) -> str | None:
        """What a job lacks that no other job makes, and what to do about it; None if nothing."""
        return None

    def works_with_gaps(self, plan: Plan, job: Job) -> bool:
        """Of a stage that doesn't compute: whether a job makes do with what has not failed."""
        return False

    def said(self, plan: Plan, job: Job) -> str:
        """A job's name in messages."""
        return f"{self.name} {job.name}"

    def told(self, plan: Plan, job: Job) -> dict[str, Any]:
        """What figures and tables that read a job's artifact are told about it."""
        return {}

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        """What is wrong with a paper's entries of its sections, beyond types and names."""
        yield from ()

    # How figures and tables name what they read: {analysis: change, of_kind: code_change}.

    readable: ClassVar[str | None] = None
    """The section whose entries they name; None for what they don't read."""

    understood: ClassVar[tuple[str, ...]] = ()
    """What else a reading may say: ``of_kind``, ``nearest``, ``attacks``."""

    def read(self, plan: Plan, paper: str, reading: Mapping[str, Any]) -> Job:
        """The job whose artifact is read."""
        return Job(self.name, reading[self.name], paper)

    def unreadable(
        self, paper: Any, reading: Mapping[str, Any], around: Around
    ) -> Iterator[Mistake]:
        """What is wrong with a reading of one of its artifacts."""
        name = reading[self.name]
        kind = reading.get("of_kind") if "of_kind" in self.understood else None
        yield from unmet(paper, self.readable, name, kind, self.name)


def unmet(paper: Any, section: str, name: str, kind: str | None, *key: str) -> Iterator[Mistake]:
    """What figures need and a section of a paper lacks: an entry, or its method of a kind."""
    entries = getattr(paper, section)
    need = f"the paper's figures need {name!r}"
    if name not in entries:
        yield Mistake(key, f"{need}; {nearest(name, entries)}", (section, name))
    elif kind is not None and registry.kind_of(entries[name].method) != kind:
        text = f"{need} to be of the kind {kind!r}"
        yield Mistake(key, text, (section, name, "method", "kind"))
