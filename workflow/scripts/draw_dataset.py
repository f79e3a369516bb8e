"""Draw the classes of one dataset, or the gap where it has failed."""

from advsparse.data._io import load_dataset
from advsparse.figures.datasets import draw_classes
from advsparse.figures.gaps import draw_gap
from advsparse.figures.rendering import save_picture
from advsparse.jobs import job

with job(snakemake, "picture") as this:
    inputs, told = dict(snakemake.input.items()), this.told("failures")
    if "failure" in inputs:
        figure, _ = draw_gap(inputs, told)
    else:
        data = load_dataset(inputs["dataset"])
        figure = draw_classes(data, told["dataset"], told["per_class"])
    save_picture(figure, snakemake.output)
