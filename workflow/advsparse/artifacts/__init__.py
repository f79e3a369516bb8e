"""Artifacts: the files a stage leaves behind, each with the record of how it was made.

==========  ==================================  =====================================
Kind        File                                Metadata
==========  ==================================  =====================================
arrays      ``.npz``, uncompressed, no pickles  JSON in the array ``__metadata__``
tensors     ``.safetensors``                    JSON in the header, under ``advsparse``
slices      ``.safetensors``, read by slice     the same
rows        ``.csv``, one evaluation per row    JSON in the sidecar ``.csv.meta.json``
==========  ==================================  =====================================

A writer replaces its destination in one step or leaves it as it was, and returns the metadata with
the payload's digest filled in. A reader checks all that it returns before it returns it: of slices
what was asked for, of the rest the whole file. What it cannot vouch for is an
:class:`~advsparse.errors.ArtifactError` that names the file and the command that rebuilds it. Equal
payloads give equal digests, and equal CSV files, whatever the wall time.
"""

from advsparse.artifacts.arrays import read_arrays, read_metadata, write_arrays
from advsparse.artifacts.atomic import atomic_path
from advsparse.artifacts.kept import Kept
from advsparse.artifacts.metadata import FORMAT_VERSION, Metadata, make_metadata, reading
from advsparse.artifacts.recorded import recorded
from advsparse.artifacts.rows import ROW_COLUMNS, read_rows, sidecar_path, write_rows
from advsparse.artifacts.slices import Chosen, Joined, Rows, Sliced, Slices, write_slices
from advsparse.artifacts.tensors import read_tensors, write_tensors

__all__ = [
    "FORMAT_VERSION",
    "ROW_COLUMNS",
    "Chosen",
    "Joined",
    "Kept",
    "Metadata",
    "Rows",
    "Sliced",
    "Slices",
    "atomic_path",
    "make_metadata",
    "read_arrays",
    "read_metadata",
    "read_rows",
    "read_tensors",
    "reading",
    "recorded",
    "sidecar_path",
    "write_arrays",
    "write_rows",
    "write_slices",
    "write_tensors",
]
