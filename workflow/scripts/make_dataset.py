"""Read or make one dataset."""

from pathlib import Path

from advsparse import registry
from advsparse.data._io import save_dataset
from advsparse.jobs import job

with job(snakemake, "dataset") as this:
    source = registry.from_spec("data", this.settings["source"])
    splits = source.load(Path(this.settings.get("directory", ".")))
    metadata = this.metadata(stand_in=source.stand_in, note=source.note)
    save_dataset(snakemake.output[0], splits, metadata)
