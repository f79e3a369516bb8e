"""Tables 1 and 2 of mitro2018, its claims, and its numbers beside the reproduced ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import nan
from typing import Any

import pandas as pd

from advsparse.artifacts import read_rows
from advsparse.evaluate.beside import NOTE, beside
from advsparse.evaluate.claims import Claim, read_claims
from advsparse.evaluate.judging import judge_all
from advsparse.evaluate.repeated import repeated
from advsparse.evaluate.statistics import proportion
from advsparse.evaluate.verdict_table import NOTE as VERDICTS
from advsparse.evaluate.verdict_table import claims_table, number_of
from advsparse.figures.origin import all_data, comparable, data_used, origins
from papers.mitro2018.found import (
    ATTACKS,
    DATASETS,
    IMAGES,
    NETWORKS,
    Seen,
    matches,
    tables,
)

_PRINTED = ("clean", "perturbed", "denoised")
_CONTROLS = {"mean": "3x3 mean", "median": "3x3 median", "threshold": "threshold"}


def accuracies(inputs, settings):
    """Table 1 or 2: each network on each dataset, clean, perturbed and denoised, paper beside
    reproduced; and beyond it."""
    attack = settings["options"]["attack"]
    paper = _printed(inputs["accuracies"])
    lines, missing = [], []
    for dataset, words in DATASETS.items():
        for network, called in NETWORKS.items():
            name = f"{network}_{dataset}"
            line: dict[str, Any] = {"dataset": words, "network": called}
            if name in inputs:
                seen = Seen(inputs[name], settings["reads"][name]["points"], name)
                line |= _line(seen, attack, paper)
            else:
                missing.append(f"{called} on {words} ({settings['failures'][name]})")
            line["adaptive"] = _adapted(inputs, settings, dataset, network, attack)
            line["retrained"] = _retrained(inputs, settings, name, attack)
            lines.append(line)
    data = all_data(settings)
    note = (
        f"{_note(attack)} Built on {data}, preset {settings['preset']}. 95 % intervals of the "
        "paper's columns stand in the table of numbers."
    )
    if missing:
        note += f" What is missing has failed: {'; '.join(missing)}."
    title = f"Classifier accuracy against {attack}, paper beside reproduced"
    return {"frame": _ordered(pd.DataFrame(lines)), "title": title, "note": note}


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """The paper's columns first, and numbers of atoms in their order."""
    begins = "denoised, "
    atoms = [int(end) for end in (name.removeprefix(begins) for name in frame) if end.isdigit()]
    paper = [name for images in _PRINTED for name in (f"{images}, paper", images)]
    wanted = ["dataset", "network", "images", *paper]
    wanted += [f"{begins}{number}" for number in sorted(atoms)]
    known = [name for name in wanted if name in frame]
    return frame[known + [name for name in frame if name not in known]]


def _note(attack: str) -> str:
    adapted = {
        "FGSM": "APGD with restarts through the denoiser, clipped",
        "JSMA": "JSMA on the denoised network, with the identity for its derivative",
    }[attack]
    return (
        "Denoised with as many atoms of a patch as the paper says, 38 on MNIST and 2 on CIFAR-10. "
        "Beyond the paper: clean images denoised; the denoiser with other numbers of atoms; "
        "filters that learn nothing; random changes of the attack's size, without any defence; an "
        f"attack made for the denoiser with 2 atoms ({adapted}); a network trained on images that "
        "it has denoised."
    )


def _line(seen: Seen, attack: str, paper: pd.Series) -> dict[str, Any]:
    source = seen.source(ATTACKS[attack])
    if source is None:
        return {}
    line: dict[str, Any] = {}
    for images in _PRINTED:
        clean, kind = IMAGES[images]
        place = NETWORKS[seen.network], DATASETS[seen.dataset], attack, images
        line[f"{images}, paper"] = paper.get(place, nan)
        right = seen.right("clean" if clean else source, seen.transform(kind))
        line[images] = float(right.mean())
    line["clean, denoised"] = float(seen.right("clean", seen.transform("denoiser")).mean())
    for transform in seen.transforms:
        if ":" in transform:
            atoms = transform.rpartition(":")[2]
            line[f"denoised, {atoms}"] = float(seen.right(source, transform).mean())
    for kind, words in _CONTROLS.items():
        known = seen.has(kind)
        line[words] = float(seen.right(source, seen.transform(kind)).mean()) if known else nan
    line["random changes"] = float(seen.right(f"control:{source}").mean())
    return line | {"images": len(seen.arrays["label"])}


def _adapted(inputs, settings, dataset: str, network: str, attack: str) -> float:
    """Accuracy of the denoised network under the attack that is made for it."""
    begins = {"FGSM": "apgd", "JSMA": "through"}[attack]
    path = inputs.get(f"adaptive_{dataset}")
    return _accuracy(path, f"{begins}_{network}_{dataset}", f"{network}_{dataset}_behind")


def _retrained(inputs, settings, name: str, attack: str) -> float:
    """Accuracy of the retrained network on the images made on the other one."""
    path = inputs.get(f"retrained_{name}")
    if path is None:
        return nan
    points = settings["reads"][f"retrained_{name}"]["points"]
    seen = [point for point in points if matches(point, ATTACKS[attack])]
    return _accuracy(path, seen[0]["id"], f"{name}_retrained") if seen else nan


def _accuracy(path: str | None, attack: str, model: str) -> float:
    if path is None:
        return nan
    rows, _ = read_rows(path, stage="rows")
    row = rows[
        (rows["attack"] == attack) & (rows["model"] == model) & (rows["metric"] == "accuracy")
    ]
    return float(row["value"].iloc[0]) if len(row) else nan


def claims(inputs, settings):
    """What the paper states, by which criterion it is judged, what was found, and the verdict."""
    runs = _runs(inputs, settings)
    origin = _origins(settings)
    judgements = judge_all(
        read_claims(inputs["claims"]),
        lambda claim: runs,
        lambda claim: all(map(comparable, origin.values())),
    )
    frame = claims_table(judgements, lambda claim: _data(claim, origin))
    note = f"Built with preset {settings['preset']}, in {number_of(len(runs))}. {VERDICTS}"
    title = "mitro2018: paper beside reproduced"
    return {"frame": frame, "title": title, "note": note}


def _origins(settings) -> dict[str, Any]:
    """Where the data comes from, by the words for the datasets."""
    found = {}
    for name, origin in origins(settings).items():
        for dataset, words in DATASETS.items():
            if name.endswith(f"_{dataset}"):
                found[words] = origin
    return found


def _data(claim: Claim, origin: Mapping[str, Any]) -> str:
    """The datasets that a claim speaks of."""
    rows = [part.rows | part.a for part in claim.parts]
    named = dict.fromkeys(str(row["dataset"]) for row in rows if "dataset" in row)
    every = named if len(named) == 1 else origin
    return "; ".join(data_used(origin[name]) for name in every)


def _runs(inputs, settings) -> list[dict[str, pd.DataFrame]]:
    """The tables that claims read, of each repetition."""
    read = {name: repeated(inputs, settings, name) for name in _names()}
    runs = []
    for number in range(len(next(iter(read.values())))):
        run = {name: found[number] for name, found in read.items()}
        seen = [
            Seen(one.path, one.told["points"], name)
            for name, one in run.items()
            if one.path is not None
        ]
        failed = {name: one.failed for name, one in run.items() if one.failed is not None}
        runs.append(tables(seen, failed))
    return runs


def _names() -> Iterator[str]:
    yield from (f"{network}_{dataset}" for dataset in DATASETS for network in NETWORKS)


def numbers(inputs, settings):
    """Every number of tables 1 and 2 beside ours."""
    paper = pd.read_csv(inputs["accuracies"])
    runs, origin = _runs(inputs, settings), _origins(settings)
    lines = []
    for row in paper.itertuples():
        found = []
        for run in runs:
            table = run["accuracy"]
            same = (table["network"] == row.network) & (table["dataset"] == row.dataset)
            same &= (table["attack"] == row.attack) & (table["images"] == row.images)
            same &= (table["measure"] == "accuracy") & table["failed"].isna()
            found += [proportion(samples) for samples in table[same]["samples"]]
        said = f"accuracy of {row.network} on {row.dataset}, {row.attack}: {row.images}"
        lines.append(beside(said, row.where, row.value, found, origin[row.dataset]))
    title = "mitro2018: the paper's numbers beside the reproduced ones"
    return {"frame": pd.DataFrame(lines), "title": title, "note": NOTE}


def _printed(path: str) -> pd.Series:
    table = pd.read_csv(path)
    return table.set_index(["network", "dataset", "attack", "images"])["value"]
