"""How figures look: sizes, and for each method a name, a colour and a marker that stay with it."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass

# Jobs draw to files alone. What the environment says (a Jupyter kernel names a backend that only
# its own process has) would end the import, and a matplotlibrc of the user would change the looks,
# or be no text.
os.environ["MPLBACKEND"] = "Agg"
os.environ["MATPLOTLIBRC"] = os.devnull

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import font_manager
from matplotlib import pyplot as plt

WIDTH = 7.0
"""Width of a full figure in inches: a page's text."""

ON_WHITE = {"frameon": True, "framealpha": 0.85, "edgecolor": "none"}
"""Of a legend that lies over what is drawn."""

# For letters that matplotlib's own font has not, such as Chinese in the name of a class.
_OTHER_SCRIPTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans", "WenQuanYi Zen Hei")

# It would tell a job's log of each table of a font that it leaves out of a PDF.
logging.getLogger("fontTools").setLevel(logging.WARNING)

plt.rcdefaults()
plt.rcParams.update(
    {
        "figure.constrained_layout.use": True,
        "figure.dpi": 100,
        "savefig.dpi": 200,
        "font.family": [
            "DejaVu Sans",
            *(name for name in _OTHER_SCRIPTS if name in font_manager.get_font_names()),
        ],
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.labelsize": 9,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "0.9",
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
        "lines.linewidth": 1.4,
        "pdf.fonttype": 42,
    }
)


@dataclass(frozen=True)
class Look:
    """How one method is drawn."""

    label: str
    colour: str
    marker: str


# The palette of Okabe and Ito, then the muted one of Tol: colour-blind readers can tell each apart,
# and with its marker one from the other.
LOOKS = {
    "scada": Look("SCADA", "#D55E00", "o"),
    "noise": Look("noise", "#7F7F7F", "x"),
    "random_pixels": Look("random pixels", "#B5B5B5", "1"),
    "fgsm": Look("FGSM", "#56B4E9", "v"),
    "pgd": Look("PGD", "#0072B2", "s"),
    "deepfool": Look("DeepFool", "#009E73", "D"),
    "cw": Look("CW", "#CC79A7", "P"),
    "cw_linf": Look("CW linf", "#88CCEE", "3"),
    "cw_l0": Look("CW l0", "#DDCC77", "4"),
    "uap": Look("UAP", "#E69F00", "^"),
    "targeted_uap": Look("targeted UAP", "#8B4513", "H"),
    "dict_attack": Look("DA", "#AA4499", "+"),
    "bim": Look("BIM", "#332288", ">"),
    "apgd": Look("APGD", "#44AA99", "h"),
    "fab": Look("FAB", "#117733", "d"),
    "square": Look("Square", "#000000", "X"),
    "autoattack": Look("AutoAttack", "#661100", "*"),
    "lbfgs": Look("L-BFGS", "#882255", "p"),
    "jsma": Look("JSMA", "#999933", "<"),
    "adaptive": Look("adaptive", "#CC6677", "8"),
    "ls_pga": Look("LS-PGA", "#6699CC", "2"),
    "nearest": Look("nearest", "#222255", r"$\star$"),
    "fmn": Look("FMN", "#994455", "|"),
    "ddn": Look("DDN", "#004488", "_"),
    "sigma_zero": Look("sigma-zero", "#BB5566", "."),
    "pdpgd": Look("PDPGD", "#228833", r"$\oplus$"),
    "ead": Look("EAD", "#997700", r"$\diamond$"),
    "one_pixel": Look("one pixel", "#EE99AA", r"$\square$"),
    "shrinking_square": Look("shrinking Square", "#555555", r"$\boxtimes$"),
    "alma": Look("ALMA", "#EECC66", r"$\otimes$"),
    "minimal_apgd": Look("minimal APGD", "#225555", r"$\ominus$"),
}


def look(kind: str) -> Look:
    """The look of a method; one without an entry gets a colour of its own that never changes."""
    if kind in LOOKS:
        return LOOKS[kind]
    hue = hashlib.blake2b(kind.encode(), digest_size=2).digest()
    colours = plt.get_cmap("tab20b").colors  # type: ignore[attr-defined] # of a list
    return Look(
        kind, matplotlib.colors.to_hex(colours[hue[0] % len(colours)]), "<>ph*d"[hue[1] % 6]
    )


def show_image(axes, image) -> None:
    """Draw an image C x H x W in [0, 1], without ticks."""
    pixels = image.transpose(1, 2, 0)
    axes.imshow(
        pixels if pixels.shape[2] == 3 else pixels[..., 0],
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def decibels(psnr: float) -> str:
    """A PSNR to the clean image in words; one that is the clean image has no error to measure, as
    where it was wrong already and an attack left it as it was."""
    return f"{psnr:.1f} dB" if np.isfinite(psnr) else "as clean"


def mosaic(tiles: np.ndarray, across: int | None = None) -> np.ndarray:
    """Tiles N x C x H x W side by side, with a line of white between them.

    across: how many stand in a row; none means about as many as below each other.
    """
    count, channels, height, width = tiles.shape
    across = across or int(np.ceil(np.sqrt(count)))
    down = -(-count // across)
    found = np.ones((channels, down * (height + 1) - 1, across * (width + 1) - 1))
    for number, tile in enumerate(tiles):
        top, left = (height + 1) * (number // across), (width + 1) * (number % across)
        found[:, top : top + height, left : left + width] = tile
    return found
