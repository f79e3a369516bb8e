"""Found by the Python of each job where this folder is in PYTHONPATH: what the job imported.

What ADVSPARSE_IMPORTED names gets a file for each job: its rule, its outputs, the modules of the
project that were loaded when it ended, and whether the fork server has run it.
"""

import atexit
import json
import os
import sys
import uuid
from pathlib import Path


def _record() -> None:
    job = getattr(sys.modules["__main__"], "snakemake", None)
    if not hasattr(job, "rule"):
        return  # Snakemake's own process.
    imported = {
        name: module.__file__
        for name, module in sys.modules.items()
        if name.partition(".")[0] in ("advsparse", "papers") and getattr(module, "__file__", None)
    }
    record = {"rule": job.rule, "output": list(job.output), "imported": imported}
    record["forked"] = "ADVSPARSE_ASKED" in os.environ
    folder = Path(os.environ["ADVSPARSE_IMPORTED"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{uuid.uuid4()}.json").write_text(json.dumps(record))


if "ADVSPARSE_IMPORTED" in os.environ:
    atexit.register(_record)
