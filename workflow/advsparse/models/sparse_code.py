"""Linear classification of sparse codes."""

from __future__ import annotations

from dataclasses import asdict

from advsparse.errors import ArchitectureError
from advsparse.models._base import Architecture
from advsparse.seeding import layers_drawn_from
from advsparse.settings import NonNegativeFloat, settings


@settings
class SparseCode(Architecture):
    r"""A linear classifier of the code that a trained coder gives an image.

    .. math:: f(x) = W a(x) + b

    Pixels reach the coder as they are. The coder stays as it was trained, unless it is fine-tuned:
    then all of its weights learn with W, from the cross-entropy plus ``reconstruction`` times the
    coder's own loss. The cross-entropy alone would leave the dictionary as it is, which is not in
    the way from an image to its code, and would part it from the code.

    Source: weitzner2023, section 5 and its supplement.
    """

    finetune: bool = False
    """Whether the coder learns too; weitzner2023 does so on CIFAR-10."""
    reconstruction: NonNegativeFloat = 1.0
    """Weight of the coder's loss in fine-tuning."""

    def layers(self, shape, classes):
        raise ArchitectureError("sparse_code classifies the codes of a trained coder: give it one")

    def build(self, shape, classes, seed=0, coder=None):
        from advsparse.models._sparse_code import SparseCodeClassifier

        if coder is None:
            return super().build(shape, classes, seed)
        if coder.synthesis.signal_shape != tuple(shape):
            raise ArchitectureError(
                f"the coder takes signals of shape {tuple(coder.synthesis.signal_shape)}, "
                f"the images have {tuple(shape)}"
            )
        coder.require_finite()
        with layers_drawn_from(seed):
            return SparseCodeClassifier(coder, classes, **asdict(self))
