"""Certify the images of one certificate, or join what their parts have come to."""

from advsparse.artifacts import write_arrays
from advsparse.certify._stage import certified, joined
from advsparse.jobs import job

with job(snakemake, "certificate") as this:
    if parts := snakemake.input.get("parts"):
        arrays, noted = joined(this.settings, parts)
        write_arrays(snakemake.output[0], arrays, this.metadata(**noted))
    else:
        this.prepare_torch()
        arrays, noted, kept = certified(this, snakemake.input, snakemake.params.checkpoint)
        write_arrays(snakemake.output[0], arrays, this.metadata(**noted))
        kept.forget()
