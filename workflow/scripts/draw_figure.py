"""Draw one figure of a paper, or the gap where what it shows has failed."""

from advsparse.figures.gaps import draw_gap
from advsparse.figures.rendering import paper_function, save_figure
from advsparse.jobs import job

with job(snakemake, "figure") as this:
    inputs, told = dict(snakemake.input.items()), this.told("reads", "failures")
    draw = draw_gap if "failure" in inputs else paper_function(snakemake.params.function)
    figure, numbers = draw(inputs, told)
    save_figure(figure, numbers, snakemake.output)
