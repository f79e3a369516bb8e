"""The detector by local intrinsic dimensions."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from advsparse import registry
from advsparse.defenses._base import Detector
from advsparse.lazy import torch
from advsparse.registry import Plugin
from advsparse.seeding import seeded
from advsparse.settings import PositiveInt, settings
from advsparse.shapes import per_image


@settings
class LID(Detector):
    r"""Images around which layers of the network have as many dimensions as around attacked ones.

    .. math:: s(x) = b + \sum_l w_l\, \mathrm{LID}_l(x), \qquad
              \mathrm{LID}_l(x) = -k \Big/ \sum_{i=1}^{k} \log \frac{r_i}{r_k}

    with r_i the distance of x, at layer l, from the i-th nearest of a reference of clean images.
    Layers are the input, those that are chosen, and the logits. w and b are of a logistic
    regression, with standardised dimensions and scikit-learn's penalty, that tells attacked images
    which fool the network from clean ones and from noisy ones, whose noise is as long as the
    perturbation of the same image. All are of images that the network gets right.

    The reference is fixed, and part of what is learned: an image's score does not depend on the
    others in its batch, as it does in the authors' code, where an attacked image meets its own
    clean twin. It is drawn first, then the images for the threshold, and the regression learns from
    the rest: none is in two of the three.

    Its derivative is that with the nearest neighbours of each layer held fast.

    Source: Ma et al. 2018, section 4 and algorithm 1; sun2019, table 4.

    Cost: a pass of the network, and at each layer of n entries as many differences of n entries as
    the reference has images. Learning: mostly the attack on the images that it learns from.

    Attacks: Athalye, Carlini and Wagner 2018: accuracy 5 % at linf 0.031 (CIFAR-10), with an attack
    that leaves the detector out, which flags 4.4 % of its images and 2.6 % of the clean ones.
    """

    asks_network = True

    attack: Annotated[Any, Plugin("attacks", without=("adaptive",))] | None = None
    """The attack whose images are to be told: its kind and hyper-parameters, any on single images;
    none is PGD with eps 8/255 and 10 steps."""
    neighbours: PositiveInt = 20
    """Number k of neighbours."""
    reference: PositiveInt = 100
    """Number of clean images among which neighbours are sought."""
    after: Literal["relu", "convolution"] = "relu"
    """The layers between the input and the logits: the results of every ReLU, or of every
    convolution."""

    def __post_init__(self) -> None:
        if self.neighbours > self.reference:
            raise ValueError(
                f"neighbours: a reference of {self.reference} images has no {self.neighbours}"
            )
        if self.attack is not None and self.attack.universal:
            kind = registry.kind_of(self.attack)
            raise ValueError(f"attack: {kind} learns from many images, a detector attacks each")

    def fit(self, x, y, *, model=None, rng=0):
        from advsparse.defenses._threshold import learned_threshold

        rng, held_out = seeded(rng), max(1, len(x) // 10)
        if len(x) < self.reference + held_out + 2:
            raise ValueError(
                f"x: expected {self.reference} images for the reference, {held_out} for the "
                f"threshold and two or more for the regression, got {len(x)}"
            )
        order = torch.randperm(len(x), generator=rng.generator("order")).to(x.device)
        parts = order.split([self.reference, held_out, len(x) - self.reference - held_out])
        learned = {"reference": x[parts[0]].clone()}
        dimensions = self._dimensions(learned, model)
        clean, said = x[parts[2]], dimensions.classes(x[parts[2]])
        if y is not None:
            right = said == y[parts[2]]
            clean, said = clean[right], said[right]
        negative, positive = self._examples(model, clean, said, rng)
        with torch.no_grad():
            learned |= _regression(dimensions(negative), dimensions(positive), x)
            scores = self.score(learned, model)(x[parts[1]])
        return learned | learned_threshold(scores, self.rate)

    def score(self, learned, model):
        dimensions = self._dimensions(learned, model)
        weights, bias = learned["weights"].double(), learned["bias"].double()

        def score(x):
            found = dimensions(x) @ weights.to(x.device) + bias.to(x.device)
            return found.to(x.dtype)

        return score

    def _dimensions(self, learned, model):
        from advsparse.defenses._defended import network_of
        from advsparse.defenses._dimensions import Dimensions
        from advsparse.defenses._hooks import LAYERS

        if model is None:
            raise ValueError("model: lid looks at the layers of a network, and was given none")
        reference = learned["reference"]
        return Dimensions(network_of(model), LAYERS[self.after], reference, self.neighbours)

    def _examples(self, model, x, y, rng):
        """Images that are not attacked, and such as are."""
        from advsparse.attacks.pgd import PGD

        attack = self.attack or PGD(eps=8 / 255, steps=10)
        found = attack(model, x, y, rng=rng.part("attack"))
        if not found.success.any():
            raise ValueError(
                f"attack: it fools the network at none of the {len(x)} images that this gets right"
            )
        noise = rng.part("noise").normal_like(x)
        size = (found.x - x).flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
        noisy = (x + per_image(size, x) * noise).clamp(0, 1)
        return torch.cat([x, noisy]), found.x[found.success]


def _regression(negative, positive, like):
    """``weights`` of dimensions and ``bias``, as if those were not standardised."""
    from sklearn.linear_model import LogisticRegression

    rows = torch.cat([negative, positive])
    spread = rows.std(0, correction=0)
    spread, mean = torch.where(spread > 0, spread, 1.0), rows.mean(0)
    attacked = torch.arange(len(rows), device=rows.device) >= len(negative)
    found = LogisticRegression(max_iter=1000).fit(
        ((rows - mean) / spread).cpu().numpy(), attacked.cpu().numpy()
    )
    weights = torch.from_numpy(found.coef_[0]).to(spread) / spread
    bias = float(found.intercept_[0]) - mean @ weights
    return {"weights": weights.to(like), "bias": bias.to(like)}
