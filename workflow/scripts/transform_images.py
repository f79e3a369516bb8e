"""Transform the training images of one dataset as a defence does, or join those of its parts."""

from advsparse.artifacts import Joined, Slices, write_slices
from advsparse.defenses._transformed import transformed
from advsparse.jobs import job

with job(snakemake, "transformed") as this:
    if parts := snakemake.input.get("parts"):
        read = [Slices(part, stage="transformed_part") for part in parts]
        rows = Joined([part["x_train"] for part in read])
        write_slices(
            snakemake.output[0],
            {"x_train": rows},
            this.metadata(stored=read[0].metadata.extra["stored"]),
        )
    else:
        this.prepare_torch()
        rows = transformed(this, snakemake.input, snakemake.params.checkpoint)
        write_slices(snakemake.output[0], {"x_train": rows}, this.metadata(stored=rows.stored))
        rows.forget()
