"""The tables and figures of canu2021 on attacks: typology, ADiL's rivals, transfer, examples."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays, read_rows
from advsparse.data._io import load_dataset
from advsparse.evaluate.dead_starts import DEAD, dead_start
from advsparse.figures.origin import ROLES, all_data, data_used, origins, stamp
from advsparse.figures.style import WIDTH, look, plt, show_image
from advsparse.verbatim import in_figure

_UNIVERSAL = ("uap", "scada")
"""Kinds that learn before they attack: their passes are of attacking alone."""
_ONE_SHOT = 4
"""Passes of an image up to which an attack makes a single step."""


def typology(inputs, settings):
    """The survey's attributes of each attack beside what is measured of it."""
    rows, _ = read_rows(inputs["typology"], stage="rows")
    survey = pd.read_csv(inputs["survey"])
    points = {point["kind"]: point for point in settings["reads"]["typology"]["points"]}
    lines = []
    for said in survey.itertuples():
        line: dict[str, Any] = {"method": said.method}
        for name in ("box", "goal", "reach", "norms", "learning"):
            value = getattr(said, name)
            line[name] = value if isinstance(value, str) else ""
        line["stars"] = "*" * int(said.strength) if said.strength == said.strength else ""
        point = points.get(said.kind)
        line["norm here"] = "" if point is None else str(point["settings"].get("norm", "l2"))
        line |= _measured(rows, None if point is None else point["id"])
        if point is not None and said.kind in _UNIVERSAL:
            line["learning here"] = "iterative, once for all images"
        lines.append(line)
    origin = origins(settings)["typology"]
    note = (
        "Box, goal, reach, norms, learning and stars are those of the survey that the slides show "
        "(Akhtar and Mian 2018); passes (forward and backward ones), fooling rate and rMSE are "
        "measured, each attack untargeted on LeNet. What has no numbers is not built here. An "
        "attack without a budget fools whatever it costs. "
        f"Built on {data_used(origin)}, preset {origin['preset']}."
    )
    title = "Attacks: a survey's typology, and what is measured"
    return {"frame": pd.DataFrame(lines), "title": title, "note": note}


def _measured(rows: pd.DataFrame, attack: str | None) -> dict[str, Any]:
    own = rows[rows["attack"] == attack].set_index("metric")["value"]
    queries = own.get("queries", nan)
    # A gradient, and the passes in which what it led to is judged.
    once = "" if np.isnan(queries) else "one shot" if queries <= _ONE_SHOT else "iterative"
    return {
        "learning here": once,
        "passes an image": queries,
        "fooling rate": own.get("fooling_rate", nan),
        "rMSE": own.get("rmse", nan),
    }


def rivals(inputs, settings):
    """Fooling rate and rMSE of ADiL and its rivals on ResNet18, the slides' beside ours."""
    paper = pd.read_csv(inputs["values"]).set_index(["attack", "metric"])["value"]
    learning = {
        ("cifar10", name): int(read_arrays(inputs[f"{name}_fit"], stage="fit")[0]["gradients"][-1])
        for name in ("adil", "sadil")
    }
    lines = []
    for role in ("cifar10", "imagenet"):
        rows, _ = read_rows(inputs[role], stage="rows")
        told = settings["reads"][role]
        for point in told["points"]:
            own = rows[rows["attack"] == point["id"]].set_index("metric")
            called = point["name"].split("_")[0]
            line = {
                "dataset": ROLES[told["origin"]["role"]],
                "attack": {"adil": "ADiL", "sadil": "SADiL"}.get(called, look(called).label),
            }
            dead = dead_start(own["value"])
            for metric, words in (("fooling_rate", "fooling rate"), ("rmse", "rMSE")):
                line[f"{words}, paper"] = paper.get((point["name"], metric), nan)
                if dead:
                    continue
                line[words] = own["value"].get(metric, nan)
                line[f"{words}, ci_low"] = own["ci_low"].get(metric, nan)
                line[f"{words}, ci_high"] = own["ci_high"].get(metric, nan)
            line["passes an image"] = own["value"].get("queries", nan)
            line["gradients in learning"] = learning.get((role, called), nan)
            line["images"] = int(own["n"].get("fooling_rate", 0))
            if dead:
                line["remark"] = DEAD
            lines.append(line)
    note = (
        "rMSE is the mean of ||d||^2 / ||x||^2 over all images, before the projection onto [0, 1]; "
        "the slides' for ImageNet is of normalised images and not squared, by the authors' code. "
        "Gradients in learning are of each of the images that ADiL and SADiL learn from: SADiL has "
        "half as many passes over them, as each takes two. Built on "
        f"{all_data(settings)}, preset {settings['preset']}; the slides' ImageNet network is "
        "torchvision's."
    )
    title = "ADiL and its rivals on ResNet18"
    return {"frame": pd.DataFrame(lines), "title": title, "note": note}


def transfer(inputs, settings):
    """How often images made on one network change another one's prediction."""
    rows, _ = read_rows(inputs["transfer"], stage="rows")
    rows = rows[rows["metric"] == "fooling_rate"]
    models = list(dict.fromkeys(rows["model"]))
    lines = []
    for attacked in models:
        line: dict[str, Any] = {"made on": attacked}
        for model in models:
            own = rows[(rows["attacked"] == attacked) & (rows["model"] == model)]
            line[f"on {model}"] = float(own["value"].iloc[0]) if len(own) else nan
        lines.append(line)
    origin = origins(settings)["transfer"]
    attack = settings["reads"]["transfer"]["points"][0]
    how, within = look(attack["kind"]).label, attack["settings"]
    note = (
        f"The share of images whose prediction changes, of {how} in {within['norm']} with eps "
        f"{within['eps']:.3g}: an example transfers where the other network's prediction changes "
        "too. Built on "
        f"{data_used(origin)}, preset {origin['preset']}."
    )
    title = "Adversarial transfer between networks"
    return {"frame": pd.DataFrame(lines), "title": title, "note": note}


def draw_examples(inputs, settings):
    """Images, perturbations and results of FGSM and L-BFGS with the network's classes."""
    data = load_dataset(inputs["dataset"])
    figure, axes = plt.subplots(2, 6, figsize=(WIDTH, 2.9), squeeze=False)
    records = []
    for line, name in zip(axes, ("fgsm", "lbfgs"), strict=True):
        attacked, metadata = read_arrays(inputs[name], stage="attack")
        split = metadata.params["images"]["split"]
        clean = data.images(split, attacked["index"])
        d = attacked["x_adv"] - clean
        size = np.sqrt((d.reshape(len(d), -1) ** 2).mean(1))
        fooled = attacked["success"]
        rows = np.argsort(~fooled, kind="stable")[:2]
        distortion = float(size[fooled].mean()) if fooled.any() else nan
        for ax in line:
            ax.set_axis_off()
        for number, row in enumerate(rows):
            most = np.abs(d[row]).max() or 1.0
            shown = (clean[row], 0.5 + d[row] / (2 * most), attacked["x_adv"][row])
            words = (
                data.classes[attacked["clean_prediction"][row]],
                f"x {0.5 / most:.3g}",
                data.classes[attacked["prediction"][row]] if fooled[row] else "not fooled",
            )
            for place, (image, title) in enumerate(zip(shown, words, strict=True)):
                ax = line[3 * number + place]
                show_image(ax, np.clip(image, 0, 1))
                ax.set_title(in_figure(title), fontsize=7)
            records.append(
                {
                    "attack": look(name).label,
                    "image": int(attacked["index"][row]),
                    "from": words[0],
                    "to": words[2],
                    "distortion": float(size[row]),
                    "mean distortion": distortion,
                }
            )
        line[0].text(
            -0.1, 0.5, f"{look(name).label}\nmean distortion\n{distortion:.3g}", rotation=90,
            va="center", ha="right", transform=line[0].transAxes, fontsize=7,
        )  # fmt: skip
    stamp(figure, settings)
    return figure, pd.DataFrame(records)
