"""Write the record of the run."""

import json
from pathlib import Path

from advsparse.artifacts import atomic_path
from advsparse.jobs import job
from advsparse.provenance import page, record

with job(snakemake, "provenance") as this:
    entries = record(this.settings, Path(snakemake.params.benchmarks))
    with atomic_path(snakemake.output.json) as path:
        path.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    with atomic_path(snakemake.output.html) as path:
        path.write_text(page(entries), encoding="utf-8")
