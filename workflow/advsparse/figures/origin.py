"""Saying on which data a result was built: a stand-in never passes for a paper's dataset."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from advsparse.verbatim import in_figure

ROLES = {
    "mnist": "MNIST",
    "cifar10": "CIFAR-10",
    "tiny_imagenet": "Tiny ImageNet",
    "imagenet10": "ImageNet-10",
    "imagenet10_128": "ImageNet-10 at 128 pixels",
    "imagenet": "ImageNet",
}


def data_used(origin: Mapping[str, Any]) -> str:
    """The dataset, and what it stands in for: ``photos, a stand-in for CIFAR-10``.

    A note that the configuration makes on the data follows in brackets.
    """
    part = "a stand-in for" if origin["stand_in"] else "in the role of"
    note = f" ({origin['note']})" if origin.get("note") else ""
    return f"{origin['dataset']}, {part} {ROLES[origin['role']]}{note}"


def comparable(origin: Mapping[str, Any]) -> bool:
    """Whether absolute numbers may stand beside the paper's: its data, at its scale."""
    return origin["preset"] == "paper" and not origin["stand_in"]


def origins(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The data that lies behind what a figure or table reads, by the names of its inputs.

    Of an input of several artifacts, that of the first.
    """
    reads = {name: told for name, told in settings["reads"].items() if told}
    first = {name: told[0] if isinstance(told, list) else told for name, told in reads.items()}
    return {name: told["origin"] for name, told in first.items() if "origin" in told}


def all_data(settings: Mapping[str, Any]) -> str:
    """The datasets behind all that a figure or table reads, in words, each once."""
    return "; ".join(dict.fromkeys(map(data_used, origins(settings).values())))


_LETTERS_AN_INCH = 19
"""Of the small letters at the foot of figures, on average and at least."""


def stamp(figure: Any, settings: Mapping[str, Any]) -> None:
    """Write at the foot of a figure which data and preset it was built on."""
    said = (all_data(settings), f"preset {settings['preset']}")
    write_at_foot(figure, "; ".join(filter(None, said)))


def write_at_foot(figure: Any, text: str) -> None:
    """Write at the foot of a figure what it was built on, on as many lines as that takes."""
    lines = textwrap.wrap(text, int(_LETTERS_AN_INCH * figure.get_figwidth()))
    figure.supxlabel(
        in_figure("\n".join(lines)),
        fontsize=7,
        color="0.4",
        x=0.995,
        ha="right",
        multialignment="right",
    )
