"""Write the record of the run."""

import json
from pathlib import Path

from advsparse.artifacts import atomic_path, read_rows
from advsparse.cost import cost
from advsparse.jobs import job
from advsparse.provenance import page, record

with job(snakemake, "provenance") as this:
    evaluated = [read_rows(path, stage="rows")[1] for path in snakemake.input.rows]
    spent = cost(Path(snakemake.params.benchmarks), snakemake.params.jobs)
    entries = record(this.settings, spent, evaluated)
    with atomic_path(snakemake.output.json) as path:
        path.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    with atomic_path(snakemake.output.html) as path:
        path.write_text(page(entries), encoding="utf-8")
