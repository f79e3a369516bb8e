"""Tables 1 to 8 of sun2019, paper beside reproduced, and what stands beyond each."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from advsparse.evaluate.statistics import proportion
from advsparse.figures.origin import all_data
from papers.sun2019 import found, judged
from papers.sun2019.found import DEFENSES, Behind, Judged, known

_AT_003 = ("FGSM-0.08", "FGSM-0.04", "BIM-0.03", "DeepFool-0.03", "CW-0.03")
_AT_006 = ("FGSM-0.06", "BIM-0.06", "DeepFool-0.06", "CW-0.06", "UAP-0.06")
_KNOWN = ("FGSM-0.04", "FGSM-0.08", "FGSM-0.12", "FGSM-0.20", "UAP-0.08")
_BEYOND = ("DeepFool-0.03, extended", "CW-0.03, extended", "FGSM, 8 of 255")

_ADAPTIVE = (
    "adaptive: PGD at linf 0.031 made for the defence (its own derivative or BPDA, EOT), the "
    "strongest for each image, with its 95 % interval, on the first of the images."
)
_NOT_ADAPTED = (
    "No attack was made for these networks: those of table 4 are for transformations in front of "
    "the undefended one."
)


def retrained(inputs, settings):
    """Tables 1, 2a, 2b and 3: networks that are trained on what each defence makes of images,
    attacked by way of the undefended one."""
    dataset = settings["options"]["dataset"]
    columns = _AT_006 if dataset == "imagenet" else _AT_003
    paper = _printed(inputs["accuracies"], "retrained", dataset)
    static, adapted = (_judged(inputs, settings, name, dataset) for name in ("static", "adapted"))
    lines = []
    for defense in static.defenses if static else ():
        if defense == "adversarial":  # table 8's
            continue
        right = {attack: static.right.get((defense, attack)) for attack in ("clean", *columns)}
        line = {"defence": DEFENSES[defense]} | _beside(right, paper, defense)
        for attack in (*_BEYOND, "DeepFool-0.06, extended", "CW-0.06, extended"):
            if (defense, attack) in static.right:
                line[attack] = float(static.right[defense, attack].mean())
        line["non-transfer"] = _non_transfer(static, defense, columns)
        if adapted:
            line |= _adaptive(adapted, defense)
        lines.append(line | {"images": len(static.right[defense, "clean"])})
    note = (
        "Accuracy. Each network but the first is trained on training images that its defence has "
        "transformed, and sees test images behind it; adversarial images are made on the first. "
        "Numbers in the attacks' names are ||x' - x|| / ||x||: perturbations of DeepFool and CW "
        "that are longer are cut off, or all are extended to it. Controls: the same network "
        "trained once more, and behind a mean of 3 x 3 pixels. non-transfer is the share of a "
        "defence's gain on the paper's attacks that the network trained once more has too, without "
        "any defence. "
    ) + (_ADAPTIVE if "adapted" in settings["reads"] else _NOT_ADAPTED)
    title = f"Retrained networks, {found.DATASETS[dataset]}"
    return {"frame": pd.DataFrame(lines), "title": title, "note": _noted(note, settings)}


def _adaptive(adapted: Judged | None, defense: str) -> dict[str, Any]:
    """The strongest attack that is made for a defence."""
    right = None if adapted is None else adapted.strongest(defense)
    if right is None:
        return {"adaptive": nan, "ci_low": nan, "ci_high": nan}
    estimate = proportion(right)
    return {"adaptive": estimate.value, "ci_low": estimate.low, "ci_high": estimate.high}


def _non_transfer(static: Judged, defense: str, attacks) -> float:
    """The share of a defence's gain that another network's images not carrying over explains."""

    def mean(name: str) -> float:
        there = [static.right[name, attack] for attack in attacks if (name, attack) in static.right]
        return float(np.mean([right.mean() for right in there])) if there else nan

    if defense in ("none", "again"):
        return nan
    gain = mean(defense) - mean("none")
    return (mean("again") - mean("none")) / gain if gain > 0 else nan


def behind(inputs, settings):
    """Tables 5, 6a, 6b and 7: each transformation in front of the attacked network as it is."""
    dataset = settings["options"]["dataset"]
    paper = _printed(inputs["accuracies"], "behind", dataset)
    name, lines = "transformations", []
    if name in inputs:
        seen = Behind(inputs[name], settings["reads"][name], dataset)
        for defense in seen.defenses:
            right = {attack: seen.right(attack, defense) for attack in ("clean", *_AT_003)}
            line = {"defence": DEFENSES[defense]} | _beside(right, paper, defense)
            for attack in _BEYOND:
                extended = seen.right(attack, defense)
                if extended is not None:
                    line[attack] = float(extended.mean())
            quality = known(seen.near("psnr", "FGSM-0.08", defense))
            line["PSNR, FGSM-0.08"] = float(quality.mean()) if len(quality) else nan
            lines.append(line | {"images": len(seen.arrays["label"])})
    note = (
        "Accuracy of the undefended network behind each transformation, on images that were made "
        "against it without any. Attacks are those of the tables of retrained networks. PSNR is "
        "that of the transformed image, a single draw of it, to the clean one, in dB, mean over "
        "attacked images; of crops, which lie elsewhere, there is none."
    )
    title = f"Transformations in front of the same network, {found.DATASETS[dataset]}"
    return {"frame": pd.DataFrame(lines), "title": title, "note": _noted(note, settings)}


def adapted(inputs, settings):
    """Table 4 and the statement below it: attacks that are made for each defence, linf 0.031."""
    lines = []
    for dataset in ("cifar10", "imagenet"):
        paper = _printed(inputs["accuracies"], "adapted", dataset)
        seen = _judged(inputs, settings, f"adapted_{dataset}", dataset)
        static = _judged(inputs, settings, f"static_{dataset}", dataset)
        for defense in seen.defenses if seen else ():
            line: dict[str, Any] = {"dataset": found.DATASETS[dataset]}
            line |= {"defence": DEFENSES[defense], "paper": paper.get((defense, "adaptive"), nan)}
            line |= _adaptive(seen, defense)
            line["clean"] = float(seen.right[defense, "clean"].mean())
            for attack, right in seen.adapted(defense).items():
                for kind in ("exact", "identity"):
                    if f", {kind}" in attack:
                        line[f"{kind} derivative"] = float(right.mean())
            refused = [v for (name, attack), v in seen.refused.items() if name == defense]
            if refused:
                line["refused, clean"] = float(seen.refused[defense, "clean"].mean())
                line["refused, attacked"] = float(np.mean([v.mean() for v in refused[1:]]))
            if static and (defense, "FGSM, 8 of 255") in static.right:
                right = static.right[defense, "FGSM, 8 of 255"]
                line["static FGSM, 8 of 255"] = float(right.mean())
            lines.append(line | {"images": len(seen.right[defense, "clean"])})
    frame = pd.DataFrame(lines)
    note = (
        "Accuracy under PGD with the margin loss at linf 0.031, made for each defence by what it "
        "declares (its own derivative or BPDA, means over draws): of several attacks with the most "
        "draws the strongest for each image, with "
        "its 95 % interval. Of STL, whose output has an exact derivative almost everywhere, the "
        "accuracy with that and with the identity in its place. An image that a detector refuses "
        "counts as right if it is attacked and as wrong if it is clean. The paper's numbers of "
        "SAP, TE, LID and PixelDefend are those of Athalye, Carlini and Wagner 2018, on other "
        "networks. On ImageNet transformations stand in front of the undefended network."
    )
    title = "Attacks made for the defences"
    return {"frame": frame, "title": title, "note": _noted(note, settings)}


def adversarial_training(inputs, settings):
    """Tables 8a and 8b: adversarial training after Kurakin et al. beside STL (cluster)."""
    lines = []
    for dataset in ("cifar10", "imagenet10"):
        paper = _printed(inputs["accuracies"], "retrained", dataset, "table 8")
        static = _judged(inputs, settings, f"static_{dataset}", dataset)
        seen = _judged(inputs, settings, f"adapted_{dataset}", dataset)
        for defense in ("none", "adversarial", "stl_cluster", "again") if static else ():
            right = {attack: static.right.get((defense, attack)) for attack in ("clean", *_KNOWN)}
            line = {"dataset": found.DATASETS[dataset], "defence": DEFENSES[defense]}
            line |= _beside(right, paper, defense) | _adaptive(seen, defense)
            lines.append(line | {"images": len(static.right[defense, "clean"])})
    note = (
        "Accuracy on images that were made on the undefended network. Adversarial training is on "
        "FGSM-0.08 of half of each mini-batch, away from the prediction. adaptive: PGD at linf "
        "0.031 made for each, which neither was made for."
    )
    title = "Adversarial training beside STL (cluster)"
    return {"frame": pd.DataFrame(lines), "title": title, "note": _noted(note, settings)}


def claims(inputs, settings):
    """What the paper states, by which criterion it is judged, what was found, and the verdict."""
    return judged.claims(inputs, settings)


def numbers(inputs, settings):
    """Every number of the paper's tables beside ours."""
    return judged.numbers(inputs, settings)


def _beside(
    right: Mapping[str, np.ndarray | None], paper: Mapping[tuple[str, str], float], defense: str
) -> dict[str, float]:
    """The paper's accuracy and ours for each attack."""
    line = {}
    for attack, found_right in right.items():
        line[f"{attack}, paper"] = paper.get((defense, attack), nan)
        line[attack] = nan if found_right is None else float(found_right.mean())
    return line


def _judged(inputs, settings, name: str, dataset: str) -> Judged | None:
    """What an experiment says, if it is there."""
    path = inputs.get(name)
    return None if path is None else Judged(path, settings["reads"][name], dataset)


def _printed(
    path: str, place: str, dataset: str, where: str = ""
) -> Mapping[tuple[str, str], float]:
    """The paper's numbers by defence and attack; of table 8 only if it is asked for."""
    table = pd.read_csv(path)
    table = table[(table["place"] == place) & (table["dataset"] == dataset)]
    of_eight = table["where"].str.startswith("table 8")
    table = table[of_eight] if where else table[~of_eight]
    return {(row.defense, row.attack): row.value for row in table.itertuples()}


def _noted(note: str, settings) -> str:
    """A note, with the data behind the table and what is missing in it."""
    note += f" Built on {all_data(settings)}, preset {settings['preset']}."
    failures = settings.get("failures") or {}
    if failures:
        said = "; ".join(f"{name}: {why}" for name, why in failures.items())
        note += f" What is missing has failed or waits for its data: {said}."
    return note
