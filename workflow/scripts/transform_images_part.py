"""Transform some of the training images of one dataset as a defence does."""

from advsparse.artifacts import write_slices
from advsparse.defenses._transformed import transformed
from advsparse.jobs import job

with job(snakemake, "transformed_part") as this:
    this.prepare_torch()
    rows = transformed(this, snakemake.input, snakemake.params.checkpoint)
    write_slices(snakemake.output[0], {"x_train": rows}, this.metadata(stored=rows.stored))
    rows.forget()
