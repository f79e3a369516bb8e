"""Let one universal attack learn: a dictionary, or a single perturbation."""

from advsparse.artifacts import write_arrays
from advsparse.attacks._stage import AttackStage
from advsparse.jobs import job

with job(snakemake, "fit") as this:
    this.prepare_torch()
    files = (snakemake.input.get(name) for name in ("dataset", "classifier", "surrogate"))
    stage = AttackStage(this, *files)
    arrays, noted = stage.fit()
    write_arrays(snakemake.output[0], arrays, this.metadata(**noted))
