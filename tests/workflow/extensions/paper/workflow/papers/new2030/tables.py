"""The tables of a paper of one attack."""

import json
from pathlib import Path

import pandas as pd

from advsparse.artifacts import read_rows


def accuracy(inputs, settings):
    rows, _ = read_rows(inputs["only"], stage="rows")
    clean = rows[rows["attack"] == "none"].iloc[0]
    paper = pd.read_csv(inputs["values"]).at[0, "value"]
    frame = pd.DataFrame({"paper": [paper], "reproduced": [clean["value"]]})
    return {"frame": frame, "title": "Accuracy", "note": ""}


def counted(inputs, settings):
    frame = pd.DataFrame([json.loads(Path(inputs["strong"]).read_text())])
    return {"frame": frame, "title": "Changed", "note": ""}
