"""Stochastic activation pruning."""

from __future__ import annotations

from typing import Literal

from advsparse.defenses._base import Inside
from advsparse.settings import PositiveFloat, settings


@settings
class SAP(Inside):
    r"""Activations of a layer are kept if they are drawn at least once in r draws, and made up for.

    .. math:: h_j \mapsto \frac{m_j\, h_j}{1 - (1 - p_j)^r}, \quad
              m_j = 1[j \text{ drawn}], \quad p_j = \frac{|h_j|}{\sum_k |h_k|},
              \quad r = \lceil \rho\, n \rceil

    so that its mean is h; with replacement, for each image and each layer with n activations. The
    network is not trained again. The derivative is that of the layers through what was kept.

    Source: Dhillon et al. 2018, section 4; sun2019, table 4.

    Cost: a pass of the network, and r draws for each image and layer, each searched for among n
    sums.

    Attacks: Athalye, Carlini and Wagner 2018: accuracy 0 at linf 0.031 (CIFAR-10), by EOT.
    """

    stochastic = True

    share: PositiveFloat = 1.0
    """The number of draws as a share rho of a layer's activations."""
    after: Literal["relu", "convolution"] = "relu"
    """The layers that are pruned: every ReLU, as its authors', or the result of every convolution,
    as Athalye, Carlini and Wagner's (2018)."""

    def changed(self, model, learned):
        from advsparse.defenses._hooks import LAYERS
        from advsparse.defenses._pruning import Pruned

        return Pruned(model, LAYERS[self.after], self.share)
