"""Draw one figure of a paper."""

from advsparse.figures.rendering import paper_function, save_figure
from advsparse.jobs import job

with job(snakemake, "figure") as this:
    draw = paper_function(snakemake.params.function)
    figure, numbers = draw(dict(snakemake.input.items()), this.settings)
    save_figure(figure, numbers, snakemake.output)
