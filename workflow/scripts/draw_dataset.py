"""Draw the classes of one dataset, or the gap where it has failed."""

from advsparse.data._io import load_dataset
from advsparse.figures.datasets import draw_classes
from advsparse.figures.gaps import draw_gap
from advsparse.figures.rendering import save_picture
from advsparse.jobs import job

with job(snakemake, "figure") as this:
    inputs, settings = dict(snakemake.input.items()), this.settings
    if "failure" in inputs:
        figure, _ = draw_gap(inputs, settings)
    else:
        data = load_dataset(inputs["dataset"])
        figure = draw_classes(data, settings["dataset"], settings["per_class"])
    save_picture(figure, snakemake.output)
