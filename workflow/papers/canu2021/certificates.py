"""The tables and figures of canu2021 on certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import NullFormatter

from advsparse.artifacts import read_arrays, read_rows
from advsparse.certify._certified import REPLAYED, WORDS
from advsparse.certify._file import history
from advsparse.certify.formulations import NAMES
from advsparse.figures.origin import all_data, stamp
from advsparse.figures.style import WIDTH, look, plt
from papers.canu2021.found import met, optimum

_CALLED = {
    "small": "one hidden layer",
    "robust": "one hidden layer, robustly trained",
    "deep": "two hidden layers",
    "pooled": "convolution and max-pooling",
}
_LOWER, _UPPER = "#0072B2", "#D55E00"


def certified(inputs, settings):
    """For each norm and image the lower bound, the nearest adversarial image and its class."""
    lines = []
    for name, path in inputs.items():
        arrays, _ = read_arrays(path, stage="certificate")
        told = settings["reads"][name]
        closed = met(arrays)
        for row in range(len(closed)):
            lines.append(
                {
                    "network": _CALLED[told["model"]],
                    "norm": told["method"]["norm"],
                    "image": int(arrays["index"][row]),
                    "class": int(arrays["prediction"][row]),
                    "second class": int(arrays["targets"][row, 0]),
                    "nearest class": int(arrays["nearest"][row]),
                    "lower bound": arrays["lower"][row],
                    "upper bound": arrays["upper"][row],
                    "distance found": "yes" if closed[row] else "no",
                    "lower bound rests on": WORDS[int(arrays["status"][row])],
                    "parts": int(arrays["target_nodes"][row].sum()),
                    "seconds": arrays["seconds"][row],
                }
            )
    frame = pd.DataFrame(lines)
    second = frame["second class"] == frame["nearest class"]
    note = (
        f"Over all classes but the image's own; {(frame['distance found'] == 'yes').sum()} of "
        f"{len(frame)} distances are found, and what bounds others is what time allowed. For "
        f"{(~second).mean():.0%} the nearest class is not the second most probable one. In l0 a "
        "lower bound says that so many pixels do not suffice. Replayed by python -m "
        f"advsparse.certify check. {built(settings)}"
    )
    title = "Distances to the nearest adversarial image, certified"
    return {"frame": frame, "title": title, "note": note, "timed": ["seconds"]}


def mipverify(inputs, settings):
    """Whether each image has an adversarial one of a given class within a radius, and where."""
    arrays, _ = read_arrays(inputs["mipverify"], stage="certificate")
    told, within = settings["reads"]["mipverify"], settings["options"]["within"]
    lines = []
    for row in range(len(arrays["index"])):
        lower, upper = arrays["lower"][row], arrays["upper"][row]
        own = arrays["prediction"][row] == told["method"]["target"]
        there = "is of that class" if own else "yes" if upper <= within else "no"
        if not own and lower < within < upper:
            there = "open"
        lines.append(
            {
                "image": int(arrays["index"][row]),
                "class": int(arrays["prediction"][row]),
                "towards": told["method"]["target"],
                f"within {within:g}": there,
                "at least": lower,
                "nearest image found": upper,
                "rests on": WORDS[int(arrays["status"][row])],
                "seconds": arrays["seconds"][row],
            }
        )
    note = (
        f"In {told['method']['norm']}, {_CALLED[told['model']]}: the slides' network has one more, "
        f"and their solver is Gurobi. {built(settings)}"
    )
    title = "The closest adversarial image of one class"
    return {"frame": pd.DataFrame(lines), "title": title, "note": note, "timed": ["seconds"]}


def gaps(inputs, settings):
    """How much farther than the nearest adversarial image each attack's is."""
    lines = [line for name in inputs for line in _gap(inputs, settings, name)]
    confidence = max(
        told["method"]["confidence"] for told in settings["reads"].values() if "method" in told
    )
    note = (
        "The gap is an attack's distance over the certified one, less 1, over images whose "
        "distance is known and that the attack reaches. Certified images win by a confidence of "
        f"{confidence:g}, an attack's by anything: a gap may be below 0 by that much. "
        f"{built(settings)}"
    )
    title = "The optimality gap of attacks"
    return {"frame": pd.DataFrame(lines), "title": title, "note": note}


def _gap(inputs, settings, name: str) -> Iterator[dict[str, Any]]:
    told = settings["reads"][name]
    if "kind" not in told:  # a certificate
        return
    attacked, _ = read_arrays(inputs[name], stage="attack")
    norm = told["settings"].get("norm", "l2")
    certificate = "robust" if told["model"] == "robust" else norm
    arrays, _ = read_arrays(inputs[certificate], stage="certificate")
    exact = optimum(arrays)
    assert (attacked["index"] == arrays["index"]).all(), "the same images"
    known = attacked["success"] & np.isfinite(exact) & (exact > 0)
    gap = attacked["distance"][known] / exact[known] - 1
    line = {
        "network": _CALLED[told["model"]],
        "norm": norm,
        "attack": look(told["kind"]).label,
        "images": int(np.isfinite(exact).sum()),
        "reached": int(known.sum()),
    }
    values = [np.median(gap), gap.mean(), gap.max()] if len(gap) else [np.nan] * 3
    line |= dict(zip(("median gap", "mean gap", "largest gap"), values, strict=True))
    yield line | {
        "within 1 %": float((gap < 0.01).mean()) if len(gap) else np.nan,
        "passes an image": float(attacked["queries"].mean()),
    }


def formulations(inputs, settings):
    """Seconds of each formulation, and what it found."""
    arrays, _ = read_arrays(inputs["formulations"], stage="certificate")
    told = settings["reads"]["formulations"]
    spent, exact = arrays["spent"], arrays["upper"][:, :5].min(1)
    lines = []
    for place, name in enumerate(NAMES):
        lower, upper = arrays["lower"][:, place], arrays["upper"][:, place]
        with np.errstate(invalid="ignore"):
            shares = (lower / exact, np.where(np.isfinite(upper), upper / exact, np.nan))
        lines.append(
            {
                "formulation": name,
                "closed": f"{int(arrays['closed'][:, place].sum())} of {len(spent)}",
                "seconds": float(np.exp(np.log(spent[:, place]).mean())),
                "of symmetric": float(
                    np.exp((np.log(spent[:, place]) - np.log(spent[:, 0])).mean())
                ),
                "lower bound / distance": float(np.mean(shares[0])),
                "upper bound / distance": float(np.nanmean(shares[1]))
                if np.isfinite(shares[1]).any()
                else np.nan,
            }
        )
    limit = told["method"]["seconds"]
    note = (
        f"Towards the second most probable class, {told['method']['norm']}; seconds are geometric "
        f"means over {len(spent)} images, one thread, at most {limit:g} each, with the attack's "
        "where its ball is used. The relaxation of the binaries and the attack's binaries bound "
        f"from one side. {built(settings)}"
    )
    title = "Formulations of the search for the nearest adversarial image"
    return {
        "frame": pd.DataFrame(lines),
        "title": title,
        "note": note,
        "timed": ["seconds", "of symmetric"],
    }


def robustness(inputs, settings):
    """Certified distances of a standard and of a robustly trained network of equal size."""
    rows, _ = read_rows(inputs["accuracies"], stage="rows")
    lines = []
    for certificate, attack in (("linf", "deepfool_linf"), ("robust", "deepfool_robust")):
        arrays, _ = read_arrays(inputs[certificate], stage="certificate")
        attacked, _ = read_arrays(inputs[attack], stage="attack")
        model = settings["reads"][certificate]["model"]
        clean = rows[
            (rows["model"] == model) & (rows["attack"] == "none") & (rows["metric"] == "accuracy")
        ]
        reached = attacked["distance"][attacked["success"]]
        lines.append(
            {
                "network": _CALLED[model],
                "test accuracy": float(clean["value"].iloc[0]) if len(clean) else np.nan,
                "images": len(arrays["lower"]),
                "certified distance, mean": float(arrays["lower"].mean()),
                "certified distance, median": float(np.median(arrays["lower"])),
                "nearest image, mean": float(arrays["upper"].mean()),
                "DeepFool's distance, mean": float(reached.mean()) if len(reached) else np.nan,
                "found": int(met(arrays).sum()),
                "replayed": int((arrays["status"] == REPLAYED).sum()),
            }
        )
    note = (
        "Distances in linf, over all other classes. DeepFool's distance is what one would believe "
        f"without a certificate. {built(settings)}"
    )
    title = "Robust training, certified"
    return {"frame": pd.DataFrame(lines), "title": title, "note": note}


def built(settings: Mapping[str, Any]) -> str:
    """What a note ends in."""
    return f"Built on {all_data(settings)}, preset {settings['preset']}."


def draw_history(inputs, settings):
    """Lower and upper bounds over time, of a few images of each certificate."""
    figure, axes = plt.subplots(1, len(inputs), figsize=(WIDTH, 2.9), squeeze=False)
    records = []
    for ax, (name, path) in zip(axes[0], inputs.items(), strict=True):
        arrays, _ = read_arrays(path, stage="certificate")
        told = settings["reads"][name]
        for row in _hardest(arrays):
            seconds, lower, upper = history(arrays, row)
            end = float(arrays["seconds"][row])
            times = np.append(seconds, max(end, seconds[-1]))
            best = upper[-1] if np.isfinite(upper[-1]) and upper[-1] > 0 else 1.0
            for values, colour in ((lower, _LOWER), (upper, _UPPER)):
                shown = np.append(values, values[-1]) / best
                ax.step(times, shown, where="post", color=colour, linewidth=1, alpha=0.8)
            records += [
                {"certificate": name, "image": int(arrays["index"][row]), "event": number,
                 "lower bound": low, "upper bound": high}
                for number, (low, high) in enumerate(zip(lower, upper, strict=True))
            ]  # fmt: skip
        ax.set(
            title=f"{_CALLED[told['model']]}, {told['method']['norm']}",
            xscale="log",
            xlabel="seconds",
            ylim=(0, 1.5),
        )
        ax.xaxis.set_minor_formatter(NullFormatter())
    axes[0, 0].set_ylabel("bound / nearest image found")
    for colour, words in ((_UPPER, "upper bound"), (_LOWER, "lower bound")):
        axes[0, 0].plot([], [], color=colour, label=words)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def _hardest(arrays: Mapping[str, np.ndarray], count: int = 5) -> np.ndarray:
    """The images that took longest."""
    return np.argsort(-arrays["seconds"], kind="stable")[:count]


def draw_radii(inputs, settings):
    """The largest loss within delta, robustness at delta, and the nearest distance, of one image
    each."""
    arrays, _ = read_arrays(inputs["radii"], stage="certificate")
    count = min(3, len(arrays["index"]))
    figure, axes = plt.subplots(1, count, figsize=(WIDTH, 2.9), squeeze=False)
    said = {1: ("robust (proof)", "o", _LOWER), -1: ("not robust (witness)", "X", _UPPER),
            0: ("open", "s", "0.6")}  # fmt: skip
    records = []
    for ax, row in zip(axes[0], range(count), strict=True):
        radius, loss, verdict = (arrays[name][row] for name in ("radius", "loss", "verdict"))
        ax.fill_between(radius, loss, arrays["loss_bound"][row], color="0.85")
        ax.plot(radius, loss, color="0.4", linewidth=1)
        for value, (_, marker, colour) in said.items():
            own = verdict == value
            ax.plot(radius[own], loss[own], marker, color=colour, ms=4)
        ax.axvline(arrays["upper"][row], color="0.2", linestyle="--", linewidth=0.9)
        ax.axhline(0, color="0.2", linewidth=0.6)
        ax.set(
            title=f"image {arrays['index'][row]}: {arrays['prediction'][row]} towards "
            f"{arrays['target'][row]}",
            xlabel=r"radius $\delta$",
        )
        records += [
            {"image": int(arrays["index"][row]), "radius": r, "largest loss": v, "robust": int(w)}
            for r, v, w in zip(radius, loss, verdict, strict=True)
        ]
    axes[0, 0].set_ylabel(r"largest loss $f_t - f_c$ within $\delta$")
    for words, marker, colour in said.values():
        axes[0, 0].plot([], [], marker, color=colour, ms=4, label=words)
    axes[0, 0].plot([], [], color="0.2", linestyle="--", label="nearest adversarial image")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    stamp(figure, settings)
    return figure, pd.DataFrame(records)
