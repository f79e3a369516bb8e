"""Tables of papers, and of each paper the one of its attacks that failed or warned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from advsparse.stages._products import Products, product_entry
from advsparse.stages._stage import Section

WARNINGS = "warnings"


class TableStage(Products):
    """A table, for readers in three formats and as numbers in two, for each entry of ``tables``."""

    name, folder, wildcard = "table", "tables", "table"
    section = "tables"
    suffixes = (".csv", ".json", ".html", ".md", ".tex")

    def sections(self) -> Mapping[str, Section]:
        return {"tables": Section(product_entry(), "Tables by name; null drops one.")}

    def entries(self, settings: Any) -> Mapping[str, Any]:
        warnings = product_entry()(
            title="Attacks that failed or warned",
            function="advsparse.evaluate.outcomes.warnings_table",
            reads={"attacks": {"all": "attack"}},
            despite_failures=True,
        )
        return {WARNINGS: warnings, **settings.tables}
