"""The slides' defence: LeNet trained on adversarial images made of a dictionary."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
import pandas as pd

from advsparse.evaluate.effects import ALPHA, Effect
from advsparse.evaluate.repeated import repeated
from advsparse.evaluate.verdict_table import number_of
from advsparse.figures.origin import data_used, origins
from papers.canu2021 import found

_SAID = {"none": "no defence", **found.MANNERS}


def defence(inputs, settings):
    """Fooling rates of ADiL without and with the defence in both manners, and which gains exceed
    sampling error."""
    paper = pd.read_csv(inputs["values"]).set_index("attack")["value"]
    there = [read for read in repeated(inputs, settings, "defence") if read.path is not None]
    tables = [found.defence(read.path, read.told) for read in there]
    keys = ["network", "attack", "atoms"]
    runs = [table.set_index(keys)["samples"] for table in tables]
    why = [table.set_index(keys)["failed"].dropna() for table in tables]
    built = set().union(*(run.index for run in runs))
    shared = set.intersection(*(set(run.dropna().index) for run in runs)) if runs else set()
    lines = []
    for attack, atoms in sorted({key[1:] for key in built}):
        for network, said in _SAID.items():
            key = (network, attack, atoms)
            line: dict[str, Any] = {
                "attack": f"ADiL, {atoms} atoms" if attack == "adil" else "PGD",
                "network": said,
                "fooling rate, paper": paper.get(found.printed(network, atoms), nan),
            }
            if key not in shared:
                said_why = [one[key] for one in why if key in one.index]
                lines.append(line | {"remark": "; ".join(dict.fromkeys(said_why))})
                continue
            rates = [run[key] for run in runs]
            line["fooling rate"] = float(np.mean([np.mean(rate) for rate in rates]))
            if network != "none" and ("none", attack, atoms) in shared:
                line |= _gain([run["none", attack, atoms] for run in runs], rates)
            lines.append(line)
    origin = origins(settings)["defence"]
    images = min((len(run.dropna().iloc[0]) for run in runs if run.notna().any()), default=0)
    note = (
        "The attacker learns a dictionary of its own on the network that it attacks. That of the "
        "defence has eight atoms, which the slides leave open, and is learned on the network "
        "without one; its images are training images, with the codes that ADiL finds for them "
        "(adversarial training) or with Laplace codes (noise injection). The slides do not say "
        "which of the two their numbers are of. A gain is by how much the fooling rate falls, with "
        f"its {1 - 2 * ALPHA:.0%} interval over {images} images in {number_of(len(runs))}; whether "
        f"it exceeds sampling error is a one-sided test at {ALPHA:.0%}, exact for one run. "
        f"Built on {data_used(origin)}, preset {origin['preset']}."
    )
    title = "A defence made of adversarial dictionaries"
    return {"frame": pd.DataFrame(lines), "title": title, "note": note}


def _gain(without: list[np.ndarray], having: list[np.ndarray]) -> dict[str, Any]:
    """By how much a defence lowers the fooling rate, image by image, and whether by chance."""
    fell = tuple(a.astype(float) - b.astype(float) for a, b in zip(without, having, strict=True))
    effect = Effect(fell, "rate")
    low, high = effect.interval
    return {
        "gain": effect.value,
        "gain, ci_low": low,
        "gain, ci_high": high,
        "exceeds sampling error": "yes" if effect.p("above") < ALPHA else "no",
    }
