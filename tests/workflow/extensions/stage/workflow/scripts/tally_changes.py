"""Tally the images that an attack changed."""

import json
from pathlib import Path

from advsparse.artifacts import read_arrays
from advsparse.jobs import job

with job(snakemake, "tally") as this:
    if Path("broken").exists():
        raise RuntimeError("no luck")
    arrays, _ = read_arrays(snakemake.input.attack, stage="attack")
    changed = int((arrays["distance"] > 0).sum())
    Path(snakemake.output[0]).write_text(json.dumps({"changed": changed}))
