"""Evaluate the attacks of one experiment."""

from advsparse.artifacts import write_arrays, write_rows
from advsparse.evaluate.experiment import experiment_rows
from advsparse.jobs import job

with job(snakemake, "rows") as this:
    this.prepare_torch()
    frame, samples, seconds = experiment_rows(
        this.settings,
        paper=snakemake.wildcards.paper,
        experiment=snakemake.wildcards.experiment,
        attacks=snakemake.input.attacks,
        classifiers=snakemake.input.classifiers,
        datasets=snakemake.input.datasets,
        failures=snakemake.params.failures,
        device=this.device,
    )
    write_arrays(snakemake.output.samples, samples, this.metadata(seconds_per_image=seconds))
    write_rows(snakemake.output.rows, frame, this.metadata())
