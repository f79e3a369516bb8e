"""How the defences are drawn: a colour and a marker that stay with each."""

from __future__ import annotations

from papers.sun2019.found import DEFENSES

# The palette of Okabe and Ito, then the muted one of Tol, as figures/style.py has them.
_COLOURS = {
    "none": "#000000",
    "again": "#7F7F7F",
    "blur": "#B5B5B5",
    "magnet": "#E69F00",
    "pixel_defend": "#CC79A7",
    "tvm": "#56B4E9",
    "quilting": "#009E73",
    "tvm_quilting": "#117733",
    "crop_ens": "#44AA99",
    "d3_40k_5": "#661100",
    "d3_10k_5": "#882255",
    "d3_10k_4": "#CC6677",
    "pd_ens": "#332288",
    "stl": "#F0A070",
    "stl_cluster": "#D55E00",
    "stl_equation": "#DDCC77",
}
_MARKERS = ["o", "s", "D", "^", "v", "<", ">", "P", "X", "h", "d", "p", "*", "H", "8", "o"]

LOOKS = {
    name: (DEFENSES[name], colour, marker)
    for (name, colour), marker in zip(_COLOURS.items(), _MARKERS, strict=True)
}
"""The words, the colour and the marker of each defence."""
CLEAN, ATTACKED = "#0072B2", "#D55E00"
"""Colours of what is clean, and of what is attacked, where a figure has but those two."""
