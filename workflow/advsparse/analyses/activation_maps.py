"""Where a network looks on images that an attack has misclassified most surely."""

from __future__ import annotations

import numpy as np

from advsparse.analyses._base import BATCH, Analysis, Given
from advsparse.errors import AnalysisError
from advsparse.lazy import torch
from advsparse.models._convolutions import last_convolution
from advsparse.models._io import choices, chosen_by, logits
from advsparse.settings import PositiveInt, settings


@settings
class ActivationMaps(Analysis):
    r"""Gradient-weighted class activation maps of images before and after an attack.

    .. math:: M = \mathrm{ReLU}\Big(\sum_k \alpha_k A_k\Big), \qquad
              \alpha_k = \frac{1}{n} \sum_{i,j} \frac{\partial z_c}{\partial A_{k,i,j}}

    with A_k the maps of the last convolution whose result has at least ``least`` pixels a side, and
    c the class that is predicted; behind a global mean that is the class activation map up to a
    factor. The images are those that are right before and wrong afterwards, with the most probable
    wrong classes; others follow where they are too few. Of a grid of attacks it is the last point.

    Source: mitro2018, figures 5 to 7, 9 and 10; Selvaraju et al. 2017. Maps are captum's.
    """

    attacks = 1
    grids = True  # of which the last point is taken

    images: PositiveInt = 4
    """Images that are shown."""
    least: PositiveInt = 4
    """Pixels a side that a map has at least."""

    def run(self, given: Given):
        *_, attacked = given.attacks.values()
        classifier = given.classifier
        assert classifier is not None  # there is an attack
        before = choices(classifier, attacked.x, BATCH)
        after = logits(classifier, attacked.x_adv, BATCH)
        sure = after.softmax(1).amax(1)
        wrong = (before == attacked.label) & (chosen_by(after) != attacked.label)
        order = torch.where(wrong, sure + 1, sure).argsort(descending=True, stable=True)
        rows = order[: self.images]
        chosen = attacked.only(rows)
        layer = last_convolution(classifier, chosen.x[:1], self.least)
        if layer is None:
            raise AnalysisError("the network has no convolution whose maps could be shown")
        arrays = {"index": chosen.index, "label": chosen.label.cpu().numpy()}
        for name, x in (("clean", chosen.x), ("attacked", chosen.x_adv)):
            probability = logits(classifier, x, BATCH).softmax(1)
            predicted = probability.argmax(1)
            arrays |= {
                f"x.{name}": x.cpu().numpy(),
                f"prediction.{name}": predicted.cpu().numpy(),
                f"confidence.{name}": probability.amax(1).cpu().numpy(),
                f"map.{name}": activation_map(classifier, layer, x, predicted),
            }
        return arrays


def activation_map(network, layer, x: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    """The map of each image for its class, N x H x W, in [0, 1]: bilinear between its pixels."""
    from captum.attr import LayerGradCam

    with torch.enable_grad():
        maps = LayerGradCam(network, layer).attribute(x, classes, relu_attributions=True)
    maps = torch.nn.functional.interpolate(maps.detach(), x.shape[2:], mode="bilinear")[:, 0]
    largest = maps.flatten(1).amax(1).clamp(min=torch.finfo(maps.dtype).tiny)
    return (maps / largest[:, None, None]).cpu().numpy()
