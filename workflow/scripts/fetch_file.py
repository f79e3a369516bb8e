"""Download one file of a published dataset, or see that it is there."""

from pathlib import Path

from advsparse.data._fetch import fetch
from advsparse.jobs import job

with job(snakemake, "fetch") as this:
    asked = this.settings
    path = fetch(asked["kind"], asked["file"], Path(asked["directory"]), asked["mirrors"])
    Path(snakemake.output[0]).write_text(f"{path}\n")
