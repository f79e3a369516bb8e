"""Dict-Attack: the directions in which a dictionary is most sensitive."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from advsparse.attacks._base import AdditiveAttack, Candidate
from advsparse.attacks._fitting import Fit, UniversalAttack
from advsparse.attacks._universal import added
from advsparse.settings import settings


@settings
class DictAttack(UniversalAttack, AdditiveAttack):
    r"""A step in image space along which codes under a dictionary D change most.

    It learns on a linear classifier of sparse codes, of which it reads the dictionary and the
    weights w_1 .. w_K, no more, and attacks any network with that. The step x' = x + D a leads from
    the label c to the target t,

    .. math:: \max_a a^T (w_t - w_c) \quad \text{subject to} \quad \|D a\|_2 \le \epsilon,

    among the codes a orthogonal to the null space of D (in which a is not bounded). The solution is

    .. math:: D a = \epsilon\, u / \|u\|_2, \qquad u = (D^T)^+ (w_t - w_c)
              = (D D^T)^+ D (w_t - w_c),

    which takes the map D and its adjoint, and the P x P matrix D D^T for images of P entries. The
    universal direction, the same for all images, is that of the code of the largest norm,

    .. math:: \max_a \|a\|_2 \quad \text{subject to} \quad \|D a\|_2 \le \epsilon,

    and thus the left singular vector of the smallest singular value of D that is not 0, with the
    sign that makes its largest entry positive. Where several singular values are that small it is
    one of their vectors.

    D D^T is taken in float64: a singular value below sqrt(P u) times the largest, with u the unit
    roundoff, counts as 0. An image whose target is its label stays as it is.

    Source: weitzner2023, equations 3 to 5.

    Cost: no gradient. To learn, D and its adjoint applied to P images, and the eigenvectors of a
    P x P matrix; the images that it learns from make no difference.

    Learns: ``universal`` (1 x C x H x W), of norm 1, and ``classes`` (K x C x H x W), (D^T)^+ w_k
    for each class: what leads from c to t is their difference. Both in float64.

    Trace: ``unclipped_l2`` (N), ||D a||_2.
    """

    only_applied = frozenset({"clamp", "direction"})

    norm: Literal["l2"] = "l2"
    direction: Literal["pair", "universal"] = "pair"
    """Whether images are led from their label to a target, which must be given, or all of them
    along the universal direction."""
    constraint: Literal["exact", "column_norms"] = "exact"
    """What bounds the code of a pair: ||D a||_2, as printed, or as in the authors' code the norms
    of the columns of D alone, sum_i ||d_i||_2^2 a_i^2. That is our closed form of it: a_i is
    proportional to the i-th entry of w_t - w_c over ||d_i||_2^2, and D a is scaled to eps."""

    looks_at_images = False
    perturbations = ("universal", "classes")

    def learner(self):
        # Directions have no length.
        return replace(super().learner(), eps=1.0)

    def learn(self, oracle, x, y, target, rng) -> Fit:
        from advsparse.attacks._dict_directions import Spectrum, by_column_norms

        synthesis, weights = _dictionary(oracle.model, x.shape[1:])
        spectrum = Spectrum(synthesis)
        exact = self.constraint == "exact"
        classes = spectrum.dual(weights) if exact else by_column_norms(synthesis, weights)
        return Fit({"universal": spectrum.smallest()[None], "classes": classes})

    @property
    def follows_gradients(self) -> bool:
        return False

    def perturb(self, oracle, x, y, target, rng, fit: Fit) -> Candidate:
        from advsparse.attacks._dict_directions import between

        if self.direction == "universal":
            unit = fit.arrays["universal"].expand(x.shape)
        elif target is None:
            raise ValueError("target: a pair attack leads to a class, give target or towards")
        else:
            unit = between(fit.arrays["classes"].to(x.device), y, target)
        return added(x, (self.eps * unit).to(x))


def _dictionary(model, shape):
    """The dictionary and the weights of a classifier of sparse codes of images of ``shape``."""
    for module in (model, getattr(model, "layers", None)):
        synthesis, weights = (getattr(module, name, None) for name in ("synthesis", "weights"))
        if synthesis is not None and weights is not None:
            break
    else:
        raise ValueError(
            "model: dict_attack learns from a classifier of sparse codes, and neither it nor its "
            "layers have both a synthesis and weights"
        )
    made, coded = tuple(synthesis.signal_shape), tuple(synthesis.code_shape)
    if made != tuple(shape):
        raise ValueError(f"model: its dictionary makes images {made}, given are {tuple(shape)}")
    if weights.shape[1:] != coded:
        raise ValueError(f"model: expected weights K x {coded}, got {tuple(weights.shape)}")
    wrong = int((~weights.isfinite()).flatten(1).any(1).sum())
    if wrong:
        raise ValueError(
            "model: its weights must be finite, got NaN or infinity in those of "
            f"{wrong} of {len(weights)} classes"
        )
    return synthesis, weights.detach()
