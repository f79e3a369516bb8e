"""Evaluation rows, in a tidy CSV with its metadata beside it."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from advsparse.artifacts.atomic import atomic_path
from advsparse.artifacts.metadata import (
    Metadata,
    check_payload,
    damaged,
    from_json,
    reading,
    to_json,
)

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ROW_COLUMNS = (
    "paper",
    "experiment",
    "dataset",
    "model",
    "attacked",
    "attack",
    "defense",
    "metric",
    "value",
    "n",
    "ci_low",
    "ci_high",
    "seed",
    "repetition",
    "note",
)
"""One row is one metric of one attack, as one defended ``model`` judges its images.

They were made on the model ``attacked``, another one where it is seen how far they carry over.
Two metrics tell of the attack itself, in words under ``note``: ``warnings`` counts the signs that
it cannot be trusted, and ``failed``, the only one of an attack that has no result, says why.
"""


def sidecar_path(path: str | Path) -> Path:
    """Where the metadata of the rows at ``path`` is: ``<path>.meta.json``."""
    path = Path(path)
    return path.with_name(path.name + ".meta.json")


def write_rows(
    path: str | Path,
    frame: "DataFrame",
    metadata: Metadata,
    columns: Sequence[str] = ROW_COLUMNS,
) -> Metadata:
    """Write ``frame`` and its sidecar; the metadata with the CSV's digest is returned.

    The frame must have exactly ``columns``, which also give the order; its index is not stored. A
    missing text is stored as an empty one. ValueError if columns differ or values would change.
    """
    path, sidecar = Path(path), sidecar_path(path)
    frame = _tidy(path, frame, columns)
    # pandas writes the shortest decimal that reads back as the same float.
    data = frame.to_csv(index=False, lineterminator="\n").encode()
    numbers = frame.select_dtypes(["number", "bool", "boolean"]).columns
    dtypes = {name: str(frame[name].dtype) if name in numbers else "str" for name in columns}
    if not _parse(data, dtypes).equals(frame):
        raise ValueError(f"{path}: CSV cannot hold these rows without changing them")
    metadata = dataclasses.replace(metadata, payload_sha256=hashlib.sha256(data).hexdigest())
    text = to_json(metadata, dtypes=dtypes) + "\n"
    with _restored(sidecar), atomic_path(path) as temporary:
        temporary.write_bytes(data)
        with atomic_path(sidecar) as beside:
            beside.write_text(text, encoding="utf-8")
    return metadata


def read_rows(path: str | Path, stage: str | None = None) -> tuple["DataFrame", Metadata]:
    """The rows at ``path``, with the dtypes they were written with, and their metadata.

    ArtifactError unless both are as written. With ``stage``, they must come from that stage.
    """
    path = Path(path)
    with reading(path):
        data = path.read_bytes()
        try:
            text = sidecar_path(path).read_bytes()
        except FileNotFoundError:
            raise damaged(path, "its metadata, the file .meta.json beside it, is missing") from None
        metadata, more = from_json(path, text, stage)
        check_payload(path, metadata, hashlib.sha256(data).hexdigest())
        return _parse(data, more["dtypes"]), metadata


def _tidy(path: Path, frame: "DataFrame", columns: Sequence[str]) -> "DataFrame":
    """The frame with its columns in order and of dtypes that CSV can hold."""
    from pandas import DataFrame

    problems = [f"lacks {name}" for name in columns if name not in frame.columns]
    problems += [f"has unknown {name}" for name in frame.columns if name not in columns]
    if not problems and len(frame.columns) != len(columns):
        problems = ["has a column twice"]
    if problems:
        raise ValueError(f"{path}: the frame {', '.join(problems)}")
    frame = frame[list(columns)].reset_index(drop=True)
    return DataFrame({name: _plain(path, frame[name]) for name in columns})


def _plain(path: Path, column: "Series") -> "Series":
    """The column as numbers, booleans or text."""
    from pandas.api import types

    if column.dtype == object:
        # Nothing but None is the interval that was not computed, say.
        column = column.infer_objects() if column.notna().any() else column.astype("float64")
    if types.is_numeric_dtype(column.dtype):
        return column
    present = column.notna()
    if not all(isinstance(value, str) for value in column[present]):
        raise ValueError(f"{path}: column {column.name} holds neither numbers nor text alone")
    return column.astype(object).where(present, "").astype("str")


def _parse(data: bytes, dtypes: dict[str, str]) -> "DataFrame":
    import pandas

    # Python reads floats exactly; whether the parser of pandas does depends on its version.
    floats = [name for name, dtype in dtypes.items() if pandas.api.types.is_float_dtype(dtype)]
    frame = pandas.read_csv(
        io.BytesIO(data),
        dtype=dtypes | dict.fromkeys(floats, "str"),
        # A text such as "NA" or "none" is that text; only an empty number is a missing one.
        keep_default_na=False,
        na_values={name: [""] for name, dtype in dtypes.items() if dtype != "str"},
        lineterminator="\n",
        skip_blank_lines=False,
    )
    for name in floats:
        values = [float(text) if isinstance(text, str) else math.nan for text in frame[name]]
        frame[name] = pandas.Series(values, dtype="float64").astype(dtypes[name])
    return frame


@contextlib.contextmanager
def _restored(sidecar: Path) -> Iterator[None]:
    """Put the sidecar back if the block fails: it is replaced a moment before its CSV."""
    before = sidecar.read_bytes() if sidecar.exists() else None
    try:
        yield
    except BaseException:
        after = sidecar.read_bytes() if sidecar.exists() else None
        if before is None:
            sidecar.unlink(missing_ok=True)
        elif before != after:
            sidecar.write_bytes(before)
        raise
