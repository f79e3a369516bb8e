"""What the types of a configuration can't see: names that lead nowhere, values that clash."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from advsparse.config.mistakes import Mistake, nearest
from advsparse.config.model import Configuration
from advsparse.config.names import Of, named
from advsparse.config.sources import shown
from advsparse.data._local import LocalFile
from advsparse.stages._registry import fields, sections, stages
from advsparse.stages._stage import Around

_BRACES = set("{}")
_NO_BRACES = "snakemake takes what stands in braces for a wildcard: rename it"


def inconsistencies(
    configuration: Configuration, preset: Path, workflow: Path
) -> Iterator[Mistake]:
    """All that is inconsistent in ``configuration``, whose preset is read from a file."""
    for role, dataset in configuration.roles.items():
        if dataset not in configuration.datasets:
            hint = nearest(dataset, configuration.datasets)
            yield Mistake(("roles", role), f"no dataset {dataset!r}; {hint}")
    for index, key in enumerate(configuration.papers):
        if key in configuration.papers[:index]:
            yield Mistake(("papers", index), f"{key!r} is given twice")
        if key not in configuration.settings:
            text = f"is needed by paper {key!r}, which is to be rebuilt: null removes it"
            yield Mistake(("settings", key), text)
    yield from _data(configuration)
    for key, paper in configuration.settings.items():
        if key in configuration.papers:
            around = Around(workflow / "papers" / key, configuration.roles, shown(preset))
            mistakes = [*_unknown_names(paper, around), *_repetitions(paper)]
            for stage in stages().values():
                mistakes += stage.inconsistencies(paper, around)
            yield from (mistake.below("settings", key) for mistake in mistakes)


def _data(configuration: Configuration) -> Iterator[Mistake]:
    directory = Path(configuration.data.directory)
    if _BRACES & set(str(directory)):
        yield Mistake(("data", "directory"), _NO_BRACES)
    for name, source in configuration.datasets.items():
        if _BRACES & set(getattr(source, "path", "")):
            yield Mistake(("datasets", name, "path"), _NO_BRACES)
        # Of published datasets, which may yet be fetched, the jobs that read them ask.
        used = name in configuration.roles.values() and isinstance(source, LocalFile)
        for path in source.files(directory) if used else ():
            if not os.path.exists(path):  # noqa: PTH110 - the method raises for some paths
                yield Mistake(("datasets", name, "path"), f"there is no {shown(path)}")


def _unknown_names(paper: Any, around: Around) -> Iterator[Mistake]:
    """The names in a paper's entries that no entry of the section they speak of has."""
    for section, declared in sections().items():
        naming = [
            (field, of) for field, annotation in fields(declared.entry) for of in named(annotation)
        ]
        for name, entry in getattr(paper, section).items():
            for field, of in naming:
                value = getattr(entry, field)
                if of.section == "roles":
                    yield from around.unplayed(value, section, name, field)
                    continue
                for mistake in _unknown(value, getattr(paper, of.section), of):
                    yield mistake.below(section, name, field)


def _repetitions(paper: Any) -> Iterator[Mistake]:
    """Names under ``repetitions`` of what has no number of its own."""
    known = [*paper.experiments, *paper.analyses]
    for name in paper.repetitions:
        if name not in known:
            text = f"no experiment or analysis {name!r}; {nearest(name, known)}"
            yield Mistake(("repetitions", name), text)


def _unknown(value: Any, known: dict[str, Any], of: Of) -> Iterator[Mistake]:
    """The names in a field's value, or in its list of them, that are not known."""
    said = f"no {of.noun}" if of.noun else "there is no"
    for index, name in enumerate(value if isinstance(value, list) else [value]):
        if name is not None and name not in known:
            key = (index,) if isinstance(value, list) else ()
            yield Mistake(key, f"{said} {name!r}; {nearest(name, known)}")
