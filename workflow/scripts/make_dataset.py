"""Read or make one dataset."""

from pathlib import Path

from advsparse import registry
from advsparse.data._io import save_dataset
from advsparse.jobs import job

with job(snakemake, "dataset") as this:
    source = registry.from_spec("data", this.settings["source"])
    splits = source.load(Path(this.settings.get("directory", ".")))
    save_dataset(snakemake.output[0], splits, this.metadata(stand_in=source.stand_in))
