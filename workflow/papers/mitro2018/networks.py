"""Table 3 and figures 1 and 2 of mitro2018: the networks, drawn from their modules."""

from __future__ import annotations

from itertools import groupby, zip_longest
from typing import Any, NamedTuple

import pandas as pd

from advsparse.figures.style import WIDTH, plt
from advsparse.lazy import torch
from advsparse.models.autoencoder import Autoencoder
from advsparse.models.convnet import ConvNet
from advsparse.models.hrnn import HRNN
from advsparse.models.mlp import MLP
from advsparse.models.preactivated_resnet import PreactivatedResNet

NETWORKS: dict[str, Any] = {
    "MLP": MLP(),
    "ConvNet": ConvNet(),
    "AutoEncoder": Autoencoder(),
    "ResNet": PreactivatedResNet(),
    "HRNN": HRNN(),
}
SHAPE, CLASSES = (3, 32, 32), 10
_COLOURS = {
    "Conv2D": "#88CCEE",
    "Dense": "#DDCC77",
    "LSTM": "#CC6677",
    "Residual block": "#44AA99",
    "BatchNorm": "#EEE8C5",
    "Dropout": "#DDDDDD",
    "MaxPool": "#AA99CC",
    "UpSample": "#CCBBDD",
}
_OTHER = "#F4F4F4"


class Layer(NamedTuple):
    """A layer in the paper's words."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


def described(module: torch.nn.Module) -> Layer:
    """A module of one of the networks, as table 3 calls it."""
    from advsparse.models._keras import Block, EachRow, LastState
    from advsparse.models._residual import Pool

    nn = torch.nn
    match module:
        case nn.Conv2d():
            stride = f", stride={module.stride[0]}" if module.stride[0] > 1 else ""
            detail = f"filters={module.out_channels}, kernel={module.kernel_size[0]}{stride}"
            return Layer("Conv2D", detail)
        case nn.Linear():
            return Layer("Dense", str(module.out_features))
        case nn.Dropout():
            return Layer("Dropout", f"{module.p:g}")
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return Layer("BatchNorm")
        case nn.MaxPool2d():
            return Layer("MaxPool", f"size={module.kernel_size}")
        case nn.Upsample():
            return Layer("UpSample", f"size={module.scale_factor:g}")
        case nn.Unflatten():
            return Layer("Reshape", "x".join(map(str, module.unflattened_size)))
        case EachRow():
            return Layer("LSTM", f"units={module.lstm.hidden_size}, of each row")
        case LastState():
            return Layer("LSTM", f"units={module.lstm.hidden_size}")
        case Block():
            return Layer("Residual block", f"filters={module.branch[2].out_channels}")
        case Pool():
            return Layer("GlobalAveragePooling")
        case _:
            return Layer(type(module).__name__)


def layers_of(network: torch.nn.Module) -> list[Layer]:
    """The layers of a network in their order, blocks that are alike as one; softmax last."""
    found = [described(module) for module in network.layers]
    merged = []
    for layer, same in groupby(found):
        count = len(list(same))
        alike = layer.kind == "Residual block" and count > 1
        merged += [Layer(f"{count} x {layer.kind}", layer.detail)] if alike else [layer] * count
    return [*merged, Layer("Softmax")]


def built() -> dict[str, torch.nn.Module]:
    """The networks for colour images, untrained."""
    return {name: settings.build(SHAPE, CLASSES) for name, settings in NETWORKS.items()}


def layers(inputs, settings):
    """Table 3: the layers of each network."""
    from advsparse.models._keras import parameters

    networks = built()
    columns = {name: list(map(str, layers_of(network))) for name, network in networks.items()}
    counts = {name: f"{parameters(network):,} parameters" for name, network in networks.items()}
    lines = list(zip_longest(*([counts[name], *column] for name, column in columns.items())))
    frame = pd.DataFrame(lines, columns=list(columns)).fillna("")
    note = (
        "Read off the modules, for images of 3 x 32 x 32 and 10 classes. The paper's table leaves "
        "out what the authors' code has: of the MLP the 512 units with their normalisation, of the "
        "autoencoder the third enlargement. On MNIST the autoencoder decodes three channels, "
        "through a sigmoid, as theirs."
    )
    return {"frame": frame, "title": "Hyper-parameters of the networks", "note": note}


def draw_networks(inputs, settings):
    """Figure 1: the networks as columns of blocks."""
    columns = {name: layers_of(network) for name, network in built().items()}
    longest = max(map(len, columns.values()))
    figure, axes = plt.subplots(1, len(columns), figsize=(WIDTH, 0.215 * longest + 0.6))
    for ax, (name, found) in zip(axes, columns.items(), strict=True):
        ax.set_title(name)
        _draw_column(ax, [str(layer) for layer in found], [_colour(layer) for layer in found])
        ax.set_ylim(longest, -0.2)
    records = [
        {"network": name, "layer": number, "kind": layer.kind, "detail": layer.detail}
        for name, found in columns.items()
        for number, layer in enumerate(found, 1)
    ]
    return figure, pd.DataFrame(records)


def draw_block(inputs, settings):
    """Figure 2: a residual block and its shortcut."""
    from advsparse.models._keras import Block

    block = next(m for m in built()["ResNet"].modules() if isinstance(m, Block))
    found = [described(module) for module in block.branch]
    figure, ax = plt.subplots(figsize=(3.2, 0.36 * (len(found) + 2) + 0.4))
    words = ["input", *map(str, found), "sum"]
    _draw_column(ax, words, [_OTHER, *map(_colour, found), _OTHER], fontsize=8)
    ax.set(xlim=(0, 1.35), ylim=(len(words), -0.2))
    ax.plot([1, 1.2, 1.2, 1], [0.45, 0.45, len(words) - 0.55, len(words) - 0.55], color="0.3")
    ax.plot(1.0, len(words) - 0.55, marker="<", color="0.3", markersize=5, clip_on=False)
    ax.text(1.23, len(words) / 2, "shortcut", rotation=90, va="center", fontsize=8)
    records = [
        {"layer": n, "kind": one.kind, "detail": one.detail} for n, one in enumerate(found, 1)
    ]
    return figure, pd.DataFrame(records)


def _colour(layer: Layer) -> str:
    kind = layer.kind.rpartition(" x ")[2]
    return _COLOURS.get(kind, _OTHER)


def _draw_column(ax, words: list[str], colours: list[str], fontsize: float = 5.0) -> None:
    for number, (text, colour) in enumerate(zip(words, colours, strict=True)):
        ax.add_patch(plt.Rectangle((0, number), 1, 0.86, facecolor=colour, edgecolor="0.5", lw=0.5))
        ax.text(0.5, number + 0.43, text, ha="center", va="center", fontsize=fontsize)
    ax.set(xlim=(0, 1), xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
