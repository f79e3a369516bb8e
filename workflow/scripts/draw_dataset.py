"""Draw the classes of one dataset."""

from advsparse.data._io import load_dataset
from advsparse.figures.datasets import draw_classes
from advsparse.figures.rendering import save_picture
from advsparse.jobs import job

with job(snakemake, "figure") as this:
    data = load_dataset(snakemake.input.dataset)
    save_picture(
        draw_classes(data, this.settings["dataset"], this.settings["per_class"]), snakemake.output
    )
