"""Figures of papers."""

from __future__ import annotations

from collections.abc import Mapping

from advsparse.stages._products import Products, product_entry
from advsparse.stages._stage import Section


class FigureStage(Products):
    """A figure, as PDF and PNG and as the numbers that it shows, for each entry of ``figures``."""

    name, folder, wildcard = "figure", "figures", "figure"
    section = "figures"
    suffixes = (".csv", ".png", ".pdf")

    def sections(self) -> Mapping[str, Section]:
        return {"figures": Section(product_entry(), "Figures by name; null drops one.")}
