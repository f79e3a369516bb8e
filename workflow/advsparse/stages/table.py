"""Tables of papers, and of each paper the one of its attacks that failed or warned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from advsparse.config.mistakes import Mistake
from advsparse.stages._products import Products, product_entry
from advsparse.stages._stage import Around, Job, Section

WARNINGS = "warnings"


class TableStage(Products):
    """A table, for readers in three formats and as numbers in two, for each entry of ``tables``."""

    name, folder, wildcard = "table", "tables", "table"
    section = "tables"
    suffixes = (".csv", ".json", ".html", ".md", ".tex")

    def sections(self) -> Mapping[str, Section]:
        return {"tables": Section(product_entry(), "Tables by name; null drops one.")}

    def caption_file(self, job: Job) -> str:
        # A page of the report's own; what a paper has of this name is not meant.
        return f"report/{job.name}.rst" if job.name == WARNINGS else super().caption_file(job)

    def inconsistencies(self, paper: Any, around: Around) -> Iterator[Mistake]:
        yield from super().inconsistencies(paper, around)
        for name in paper.tables.keys() & paper.figures.keys():
            yield Mistake(("tables", name), "a figure is called so too, and both need a caption")

    def entries(self, settings: Any) -> Mapping[str, Any]:
        warnings = product_entry()(
            title="Attacks that failed or warned",
            function="advsparse.evaluate.outcomes.warnings_table",
            reads={"attacks": {"all": "attack"}},
            despite_failures=True,
        )
        return {WARNINGS: warnings, **settings.tables}
