"""Run one attack on its images, or join what its parts have come to."""

from advsparse.artifacts import write_arrays
from advsparse.attacks._stage import AttackStage, joined
from advsparse.jobs import job

with job(snakemake, "attack") as this:
    this.prepare_torch()
    given = snakemake.input
    if parts := given.get("parts"):
        arrays, noted = joined(this.settings, parts, given.get("fit"))
    else:
        files = (given.get(name) for name in ("dataset", "classifier", "surrogate"))
        arrays, noted = AttackStage(this, *files).attack(given.get("fit"))
    write_arrays(snakemake.output[0], arrays, this.metadata(**noted))
