"""Figures 5 to 10 of mitro2018, and beyond them: denoising against the number of atoms."""

from __future__ import annotations

import numpy as np
import pandas as pd

from advsparse.artifacts import read_arrays
from advsparse.figures.origin import ROLES, stamp
from advsparse.figures.style import WIDTH, decibels, plt, show_image
from advsparse.verbatim import in_figure
from papers.mitro2018.found import ATTACKS, DATASETS, NETWORKS, Seen

_COLOURS = {
    "mlp": "#0072B2",
    "convnet": "#D55E00",
    "autoencoder": "#009E73",
    "resnet": "#CC79A7",
    "hrnn": "#E69F00",
}
_CONTROLS = {
    "mean": ("3x3 mean", ":"),
    "median": ("3x3 median", "--"),
    "threshold": ("threshold", "-."),
}


def draw_maps(inputs, settings):
    """Figures 5 to 7, 9 and 10: images misclassified most surely, with activation maps."""
    arrays, _ = read_arrays(inputs["maps"], stage="analysis")
    count = len(arrays["index"])
    figure, axes = plt.subplots(count, 4, figsize=(WIDTH * 0.8, 1.55 * count + 0.5), squeeze=False)
    records = []
    for line, row in zip(axes, range(count), strict=True):
        label = int(arrays["label"][row])
        record = {"image": int(arrays["index"][row]), "label": label}
        for pair, name in ((line[:2], "clean"), (line[2:], "attacked")):
            image = np.clip(arrays[f"x.{name}"][row], 0, 1)
            predicted = int(arrays[f"prediction.{name}"][row])
            sure = float(arrays[f"confidence.{name}"][row])
            show_image(pair[0], image)
            right = "right" if predicted == label else "wrong"
            pair[0].set_title(f"{name}: {predicted}, {right} ({sure:.0%})", fontsize=8)
            show_image(pair[1], image.mean(0, keepdims=True))
            pair[1].imshow(arrays[f"map.{name}"][row], cmap="inferno", alpha=0.6, vmin=0, vmax=1)
            pair[1].set_title("where it looks", fontsize=8)
            record |= {f"{name}, predicted": predicted, f"{name}, confidence": sure}
        records.append(record)
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_examples(inputs, settings):
    """Figure 8: images of MNIST under FGSM and of CIFAR-10 under JSMA, denoised."""
    cases = (("convnet_mnist", "FGSM"), ("convnet_cifar10", "JSMA"))
    figure, axes = plt.subplots(2, 9, figsize=(WIDTH, 2.35), squeeze=False)
    records = []
    for line, (name, attack) in zip(axes, cases, strict=True):
        seen = Seen(inputs[name], settings["reads"][name]["points"], name)
        source = seen.source(ATTACKS[attack])
        denoiser = seen.transform("denoiser")
        shown = {
            of: seen.arrays[f"shown:{source}:{of}"] for of in ("clean", "attacked", "denoised")
        }
        for ax in line:
            ax.set_axis_off()
        for number in range(min(3, len(shown["clean"]))):
            record = {"role": ROLES[seen.dataset], "attack": attack, "image": number}
            for place, (of, images) in enumerate(shown.items()):
                ax = line[3 * number + place]
                show_image(ax, np.clip(images[number], 0, 1))
                title = of
                if of != "clean":
                    transform = "none" if of == "attacked" else denoiser
                    psnr, ssim = (
                        float(seen.of(m, source, transform)[number]) for m in ("psnr", "ssim")
                    )
                    title = f"{of}\n{decibels(psnr)}, {ssim:.2f}"
                    record |= {f"{of}, PSNR": psnr, f"{of}, SSIM": ssim}
                ax.set_title(in_figure(title), fontsize=6)
            records.append(record)
        line[0].text(
            -0.25, 0.5, f"{ROLES[seen.dataset]}, {attack}", rotation=90, va="center", ha="right",
            transform=line[0].transAxes, fontsize=7,
        )  # fmt: skip
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def draw_atoms_of_a_patch(inputs, settings):
    """Accuracy, PSNR and SSIM of each network's denoised images against the number of atoms."""
    attack = settings["options"]["attack"]
    figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 5.2))
    records = []
    for line, (dataset, words) in zip(axes, DATASETS.items(), strict=True):
        for network in NETWORKS:
            name = f"{network}_{dataset}"
            seen = Seen(inputs[name], settings["reads"][name]["points"], name)
            records += _curves(seen, attack, settings["options"][dataset])
        table = pd.DataFrame(records)
        table = table[table["dataset"] == words]
        for ax, measure in zip(line, ("accuracy", "PSNR", "SSIM"), strict=True):
            _draw_curves(ax, table[table["measure"] == measure])
            ax.set(title=f"{words}: {measure}", xlabel="atoms of a patch", xscale="log")
            # Those that were tried, not the powers of ten between them.
            tried = sorted({atoms for atoms in table["atoms"] if isinstance(atoms, int) and atoms})
            ax.set_xticks(tried, [str(atoms) for atoms in tried], minor=False)
            ax.minorticks_off()
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4)
    stamp(figure, settings)
    return figure, pd.DataFrame(records)


def _curves(seen: Seen, attack: str, printed: int):
    """A line for each number of atoms and measure; 0 atoms are the perturbed image itself."""
    source = seen.source(ATTACKS[attack])
    if source is None:
        return
    named: dict[int | str, str] = {printed: seen.transform("denoiser")}
    named |= {int(t.rpartition(":")[2]): t for t in seen.transforms if ":" in t}
    named |= {kind: seen.transform(kind) for kind in _CONTROLS if seen.has(kind)}
    named["none"] = "none"
    place = {"network": NETWORKS[seen.network], "dataset": DATASETS[seen.dataset], "attack": attack}
    for atoms, transform in named.items():
        values = {
            "accuracy": seen.right(source, transform),
            "PSNR": seen.of("psnr", source, transform),
            "SSIM": seen.of("ssim", source, transform),
        }
        for measure, found in values.items():
            known = found[np.isfinite(found)]
            mean = float(known.mean()) if len(known) else np.nan
            yield place | {"atoms": atoms, "measure": measure, "value": mean, "n": len(known)}


def _draw_curves(ax, table: pd.DataFrame) -> None:
    for network, called in NETWORKS.items():
        own = table[table["network"] == called]
        curve = own[[isinstance(atoms, int) for atoms in own["atoms"]]].sort_values("atoms")
        ax.plot(
            curve["atoms"], curve["value"], marker="o", ms=3, color=_COLOURS[network], label=called
        )
        for kind, (_, style) in _CONTROLS.items():
            for value in own[own["atoms"] == kind]["value"]:
                ax.axhline(value, color=_COLOURS[network], linestyle=style, linewidth=0.7)
    for words, style in _CONTROLS.values():
        ax.plot([], [], color="0.3", linestyle=style, linewidth=0.9, label=words)
