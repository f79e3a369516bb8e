"""Figures 1, 5, 6 and 7 of sun2019, and draws of random defences."""

from __future__ import annotations

from textwrap import fill

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.evaluate.statistics import proportion
from advsparse.figures.origin import data_used, origins, stamp
from advsparse.figures.style import ON_WHITE, WIDTH, plt, show_image
from papers.sun2019.found import ADAPTIVE, VARIANTS, Behind, Judged, known
from papers.sun2019.looks import ATTACKED, CLEAN, LOOKS

_ATTACK = "FGSM-0.08"


def draw_distances(inputs, settings):
    """Figure 1, measured: how far clean and adversarial images are apart, as the network sees them
    and as pixels, with and without each transformation."""
    figure, axes = plt.subplots(2, len(inputs), figsize=(WIDTH, 5.4), sharey="col", squeeze=False)
    records = []
    for column, (name, path) in enumerate(inputs.items()):
        dataset = name.partition("_")[2]
        seen = Behind(path, settings["reads"][name], dataset)
        names = [one for one in seen.defenses if one in LOOKS][::-1]
        kinds = (("distance", "pixels"), ("feature_distance", "features"))
        for ax, (what, words) in zip(axes[:, column], kinds, strict=True):
            values = [known(seen.near(what, _ATTACK, one)) for one in names]
            drawn = ax.boxplot(
                values, orientation="horizontal", whis=(5, 95), widths=0.6, patch_artist=True,
                showfliers=False, medianprops={"color": "black"},
            )  # fmt: skip
            for box, one in zip(drawn["boxes"], names, strict=True):
                box.set(facecolor=LOOKS[one][1], alpha=0.75, linewidth=0.6)
            ax.set_yticks(range(1, len(names) + 1), [LOOKS[one][0] for one in names])
            ax.set(xlabel=f"relative distance of {words}", xlim=(0, None))
            ax.xaxis.set_major_locator(plt.MaxNLocator(4))
            records += [
                {
                    "dataset": dataset,
                    "of": words,
                    "defence": LOOKS[one][0],
                    "image": image,
                    "distance": d,
                }
                for one, found in zip(names, values, strict=True)
                for image, d in enumerate(found)
            ]
        axes[0, column].set_title(fill(data_used(origins(settings)[name]), 44), fontsize=7)
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_penalties(inputs, settings):
    """Figure 5: transformed adversarial images, and accuracy on clean and on adversarial ones, by
    the weight of the penalty."""
    arrays, _ = read_arrays(inputs["penalties"], stage="analysis")
    weights = [str(name) for name in arrays["transforms"] if name != "none"]
    clean, attacked = map(str, arrays["sources"])
    right = {
        (source, weight): arrays[f"prediction:{source}:{weight}"] == arrays["label"]
        for source in (clean, attacked)
        for weight in ("none", *weights)
    }
    figure = plt.figure(figsize=(WIDTH, 4.3))
    above, below = figure.subfigures(2, 1, height_ratios=[1.0, 2.0])
    axes = above.subplots(1, len(weights) + 1, squeeze=False)[0]
    for ax, weight in zip(axes, ("none", *weights), strict=True):
        show_image(ax, arrays[f"shown:{attacked}:{weight}"][0].clip(0, 1))
        ax.set_title("adversarial" if weight == "none" else f"λ = {weight}", fontsize=8)
    ax, records = below.subplots(), []
    numbers = [float(weight) for weight in weights]
    for source, colour, label in ((clean, CLEAN, "clean"), (attacked, ATTACKED, _ATTACK)):
        found = [proportion(right[source, weight]) for weight in weights]
        _with_interval(ax, numbers, found, colour, label)
        bare = proportion(right[source, "none"])
        ax.axhline(bare.value, color=colour, linestyle=":", label=f"{label}, not transformed")
        records += [
            {"weight": number, "images": label} | _record(one)
            for number, one in zip([0.0, *numbers], [bare, *found], strict=True)
        ]
    ax.set(xlabel="weight λ of the l1 norm", ylabel="accuracy", ylim=(0, 1.02))
    ax.legend(**ON_WHITE, ncols=2)
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_quality(inputs, settings):
    """Figure 6: of each transformation, PSNR of adversarial images and the interval between its
    accuracies on clean and on adversarial images."""
    (name,) = inputs
    dataset = settings["reads"][name]["model"].partition("_")[2]
    seen = Behind(inputs[name], settings["reads"][name], dataset)
    figure, ax = plt.subplots(figsize=(WIDTH, 3.8))
    records = []
    for defense in seen.defenses:
        label, colour, marker = LOOKS[defense]
        qualities = known(seen.near("psnr", _ATTACK, defense))
        if not len(qualities):  # it moves pixels
            continue
        quality = float(np.mean(qualities))
        clean, attacked = (float(seen.right(one, defense).mean()) for one in ("clean", _ATTACK))
        ax.plot([quality] * 2, [clean, attacked], color=colour, linewidth=3, alpha=0.5)
        ax.plot(quality, clean, marker="_", color=colour, markersize=12, linestyle="none")
        ax.plot(quality, attacked, marker=marker, color=colour, linestyle="none", label=label)
        records.append({"defence": label, "PSNR": quality, "clean": clean, "adversarial": attacked})
    ax.set(
        xlabel=f"PSNR of the transformed image ({_ATTACK}) to the clean one, dB",
        ylabel="accuracy: clean (bar), adversarial (marker)",
        ylim=(-0.03, 1.03),
    )
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_parameters(inputs, settings):
    """Figure 7: accuracy of networks retrained behind STL, by the number and by the size of its
    filters."""
    right: dict[tuple[str, str], np.ndarray] = {}
    for name in ("retrained", "filters"):
        right |= Judged(inputs[name], settings["reads"][name], "imagenet10").right
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.0), sharey=True)
    records = []
    words = {"number": "number of filters", "size": "side of a filter, pixels"}
    for ax, (varied, names) in zip(axes, VARIANTS.items(), strict=True):
        shapes = [read_arrays(inputs[name], stage="defense")[0]["filters"].shape for name in names]
        values = [shape[0 if varied == "number" else 2] for shape in shapes]
        for attack, colour in (("clean", CLEAN), (_ATTACK, ATTACKED)):
            found = [proportion(right[name, attack]) for name in names]
            _with_interval(ax, values, found, colour, attack)
            records += [
                {varied: value, "images": attack} | _record(one)
                for value, one in zip(values, found, strict=True)
            ]
        ax.set(xlabel=words[varied], xticks=values, ylim=(0, 1.02))
    axes[0].set_ylabel("accuracy")
    axes[0].legend(**ON_WHITE)
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_draws(inputs, settings):
    """Accuracy of random defences under attacks that take means over more and more draws."""
    seen = Judged(inputs["adapted"], settings["reads"]["adapted"], "imagenet10")
    figure, ax = plt.subplots(figsize=(4.6, 3.1))
    records = []
    for defense in seen.defenses:
        found = {
            int(attack.removeprefix(f"{ADAPTIVE}, ").removesuffix(" draws")): proportion(right)
            for attack, right in seen.adapted(defense).items()
        }
        if len(found) < 2:
            continue
        draws = sorted(found)
        label, colour, marker = LOOKS[defense]
        _with_interval(ax, draws, [found[d] for d in draws], colour, label, marker)
        records += [{"defence": label, "draws": d} | _record(found[d]) for d in draws]
    ax.set(xlabel="draws in each mean", ylabel="accuracy, PGD at linf 0.031", ylim=(0, 1.02))
    ax.xaxis.set_major_locator(plt.MaxNLocator(integer=True))
    ax.legend(**ON_WHITE)
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def _with_interval(ax, x, found, colour, label, marker="o") -> None:
    """A line of estimates, and the 95 % interval of each as a band."""
    ax.plot(x, [one.value for one in found], color=colour, marker=marker, label=label)
    low, high = [one.low for one in found], [one.high for one in found]
    ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def _record(found) -> dict[str, float]:
    """An estimate, as the numbers behind a figure have it."""
    return {"accuracy": found.value, "low": found.low, "high": found.high}
