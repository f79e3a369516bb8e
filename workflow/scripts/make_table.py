"""Make one table of a paper, or the gap where what it shows has failed."""

from advsparse.figures.gaps import make_gap
from advsparse.figures.rendering import paper_function, save_table
from advsparse.jobs import job

with job(snakemake, "table") as this:
    inputs, told = dict(snakemake.input.items()), this.told("reads", "failures")
    make = make_gap if "failure" in inputs else paper_function(snakemake.params.function)
    save_table(make(inputs, told), snakemake.output)
