"""Run one attack on some of its images."""

from advsparse.artifacts import write_arrays
from advsparse.attacks._stage import AttackStage
from advsparse.jobs import job

with job(snakemake, "attack_part") as this:
    this.prepare_torch()
    files = (snakemake.input.get(name) for name in ("dataset", "classifier", "surrogate"))
    arrays, noted = AttackStage(this, *files).attack_part(snakemake.input.get("fit"))
    write_arrays(snakemake.output[0], arrays, this.metadata(**noted))
