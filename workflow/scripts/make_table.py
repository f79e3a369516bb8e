"""Make one table of a paper."""

from advsparse.figures.rendering import paper_function, save_table
from advsparse.jobs import job

with job(snakemake, "table") as this:
    make = paper_function(snakemake.params.function)
    save_table(make(dict(snakemake.input.items()), this.settings), snakemake.output)
