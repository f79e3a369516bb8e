"""Train one classifier, or give it the weights of a file, or put a defence to those of another."""

from pathlib import Path

from advsparse.artifacts import write_tensors
from advsparse.jobs import job
from advsparse.models._stage import ClassifierStage

with job(snakemake, "classifier") as this:
    this.prepare_torch()
    checkpoint = Path(snakemake.params.checkpoint)
    tensors, noted = ClassifierStage(this, dict(snakemake.input.items()), checkpoint).made()
    write_tensors(snakemake.output[0], tensors, this.metadata(**noted))
    checkpoint.unlink(missing_ok=True)
