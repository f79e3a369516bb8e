"""Write the pages of results."""

import json
from pathlib import Path

from advsparse.jobs import job
from advsparse.pages.contents import seen_in
from advsparse.pages.writing import write_pages

with job(snakemake, "pages") as this:
    record = json.loads(Path(snakemake.input.record).read_text(encoding="utf-8"))
    shown = seen_in(snakemake.input.claims)
    write_pages(Path(snakemake.output.first).parent, snakemake.params.told, record, shown)
