"""Pixel deflection."""

from __future__ import annotations

from advsparse.defenses._base import Transformation
from advsparse.lazy import torch
from advsparse.settings import NonNegativeFloat, NonNegativeInt, PositiveInt, settings

_TRIES = 20
"""Tries for each copy; of a map that is 1 nearly everywhere, fewer copies are made."""


@settings
class PixelDeflection(Transformation):
    r"""Some entries are replaced by others nearby, most of them where the network does not look.

    .. math:: t(x) = W_\sigma(x'), \qquad x'_{c,p} = x_{c,p+o}, \qquad
              P[p \text{ is taken}] \propto 1 - R_p, \qquad o \sim \text{uniform in }
              \{-w, \dots, w\}^2

    for as many entries (c, p) as there are deflections, p + o lying in the image. Channels take
    turns, and each copy of an entry counts, as in the authors' code (their notebook counts pixels,
    three times as many); a place may copy itself. That code never copies from row or column 0, and
    loops for ever on a map of ones: here tries are bounded. Numbers are those for images of 224
    pixels, scaled by the area and, the window's, by the side; the least is 1.

    R is the robust activation map of the network that is defended, with m_k the gradient-weighted
    activation map of its k-th class, by probability, at the last convolution whose result has at
    least 4 pixels a side:

    .. math:: R = \frac{m_1}{2} + \frac{m_2}{4} + \frac{m_3}{8} + \frac{m_4}{16} +
              1.2\, \frac{m_5}{16}

    interpolated, and scaled to [0, 1]; 0 without a network, or for one without such a layer. The
    authors took the maps of another network. A network that is trained on deflected images has seen
    those by the maps of the network that the defence was made for, and is defended by its own. W is
    soft shrinkage of Haar wavelets' coefficients in YCbCr, by scikit-image, with the threshold of
    BayesShrink; sigma is converted to that space, as scikit-image does since its pull request 3584,
    so that 0.04 acts as about 0.029 in Y.

    Source: Prakash et al. 2018; sun2019, section 4.

    Cost: a pass of the network and a backward pass for each map down to its last convolution, and
    wavelets for each image, one by one on the CPU.

    Attacks: Athalye and Carlini 2018: 97 % of targeted attacks succeed at linf 4/255 (ImageNet),
    accuracy 0, by BPDA with the identity.
    """

    stochastic = True
    asks_network = True
    backward = "identity"

    deflections: NonNegativeInt = 200
    """Entries that are replaced, in images of the reference's side."""
    window: PositiveInt = 10
    """The largest offset w along an axis, in images of the reference's side."""
    reference: PositiveInt = 224
    """The side of the images that these numbers are for."""
    maps: NonNegativeInt = 5
    """Classes whose maps make up R; without any, R is 0."""
    sigma: NonNegativeFloat = 0.04
    """The deviation of the noise that is taken off; 0 leaves wavelets out."""

    def transformation(self, learned):
        return self._t(None)

    def for_network(self, learned, model):
        return self._t(model)

    def _t(self, model):
        from advsparse.defenses._deflection import deflected, robust_map, smoothed

        def t(x, rng):
            with torch.no_grad():
                copies, window = self._scaled(*x.shape[2:])
                maps = self.maps if model is not None else 0
                shunned = robust_map(model, x.detach(), maps)
                numbers = rng.uniform_block(x, (_TRIES * copies, 5))
                return smoothed(deflected(x, shunned, copies, window, numbers), self.sigma)

        return t

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        """The number of copies and the window for images of a size."""
        share = height * width / self.reference**2
        copies = max(1, round(self.deflections * share)) if self.deflections else 0
        return copies, max(1, round(self.window * share**0.5))
