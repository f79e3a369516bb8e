"""Which rows of a table a claim means, and what they are called."""

from __future__ import annotations

import fnmatch
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from advsparse.evaluate.claims import Rows, Value


def matching(table: pd.DataFrame, rows: Rows, extremes: bool = True) -> pd.DataFrame:
    """The rows that have the given values; extremes are taken among those that match the rest."""
    if not len(table):
        return table
    edges = {}
    for column, value in rows.items():
        if value in ("smallest", "largest"):
            edges[column] = value
        else:
            wanted = value if isinstance(value, list) else [value]
            kept = [any(_is(entry, one) for one in wanted) for entry in table[column]]
            table = table[np.array(kept, dtype=bool)]  # a list of none would choose no columns
    for column, value in edges.items() if extremes else ():
        known = table[column].dropna()
        edge = known.min() if value == "smallest" else known.max()
        table = table[table[column] == edge]
    return table


def _is(entry: Any, wanted: Value) -> bool:
    if isinstance(wanted, str):
        return fnmatch.fnmatchcase(str(entry), wanted)
    return entry == wanted


def told(columns: Iterable[str], row: pd.Series, wanted: Rows | None = None) -> str:
    """The values that a row has in some columns; an extreme is called so, whichever it is."""
    words = []
    for column in columns:
        value, edge = row[column], (wanted or {}).get(column)
        if edge in ("smallest", "largest"):
            words.append(f"{edge} {column}")
        elif isinstance(value, bool | np.bool_):
            words += [column] if value else []
        elif isinstance(value, numbers.Real):
            words.append(f"{column} {value:g}")
        else:
            words.append(str(value))
    return ", ".join(words)
