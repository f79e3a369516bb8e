"""Certify some of the images of one certificate."""

from advsparse.artifacts import write_arrays
from advsparse.certify._stage import certified
from advsparse.jobs import job

with job(snakemake, "certificate_part") as this:
    this.prepare_torch()
    arrays, noted, kept = certified(this, snakemake.input, snakemake.params.checkpoint)
    write_arrays(snakemake.output[0], arrays, this.metadata(**noted))
    kept.forget()
