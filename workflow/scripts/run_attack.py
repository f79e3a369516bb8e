"""Run one attack on its images."""

from advsparse.artifacts import write_arrays
from advsparse.attacks._stage import AttackStage
from advsparse.jobs import job

with job(snakemake, "attack") as this:
    this.prepare_torch()
    stage = AttackStage(this, snakemake.input.dataset, snakemake.input.classifier)
    arrays, noted = stage.attack(snakemake.input.get("fit"))
    write_arrays(snakemake.output[0], arrays, this.metadata(**noted))
