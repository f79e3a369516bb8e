"""Let one universal attack learn: a dictionary, or a single perturbation."""

from advsparse.artifacts import write_arrays
from advsparse.attacks._stage import AttackStage
from advsparse.jobs import job

with job(snakemake, "fit") as this:
    this.prepare_torch()
    stage = AttackStage(this, snakemake.input.dataset, snakemake.input.classifier)
    arrays, noted = stage.fit()
    write_arrays(snakemake.output[0], arrays, this.metadata(**noted))
