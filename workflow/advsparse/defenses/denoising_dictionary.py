"""Denoising by a dictionary of patches."""

from __future__ import annotations

from typing import Literal

from advsparse.defenses._base import Transformation
from advsparse.seeding import seeded
from advsparse.settings import PositiveInt, settings

_SPREAD = 1e-5
"""Added to deviations that patches are divided by before a dictionary is learned from them."""


@settings
class DenoisingDictionary(Transformation):
    r"""Each patch of an image is replaced by its best approximation with few atoms of a dictionary.

    .. math:: t(x) = \frac{1}{n} \sum_p E_p^T (D a_p + \mu), \qquad
              a_p = \arg\min_{\|a\|_0 \le s} \|E_p x - \mu - D a\|_2, \qquad
              \mu = \frac{1}{P} \sum_p E_p x

    with E_p x the patch p of P, one pixel apart, n the number of patches over a pixel, and codes by
    orthogonal matching pursuit. What is taken off is the mean patch of the image, not the mean of a
    patch. Nothing is clipped.

    D is learned from patches of training images at random places, standardised entry by entry, by
    :class:`~advsparse.coding._dictionary_learning.DictionaryLearning`.

    Where the atoms that are chosen stay the same, t is linear: its derivative projects each patch
    onto its atoms. That is what is differentiated, and exact almost everywhere.

    Source: mitro2018, section "Dictionary Learning" and algorithms 1 and 2; Elad and Aharon 2006.
    The authors' code is scikit-learn's example of image denoising, whose patches, means and
    standardisation these are.

    Cost: P times K products of m entries, for P patches and K atoms, then s steps on K numbers for
    each patch. Learning: passes times the same for the patches that D is learned from, and an
    update of D in each pass.

    Attacks: none is known to us; ``adaptive`` goes by its own derivative, which is exact.
    """

    learns = True
    eight_bits = False

    patch: PositiveInt = 7
    """The side of a patch."""
    sparsity: PositiveInt = 2
    """The largest number s of atoms of a patch."""
    atoms: PositiveInt = 100
    """The number of atoms of D."""
    update: Literal["mod", "ksvd", "online"] = "mod"
    """How D is learned."""
    learned_sparsity: PositiveInt = 2
    """The largest number of atoms of a patch while D is learned."""
    passes: PositiveInt = 8
    """Passes over the patches that D is learned from."""
    patches: PositiveInt = 20000
    """Patches that D is learned from."""

    def fit(self, x, y, *, model=None, rng=0):
        from advsparse.coding._dictionary_learning import DictionaryLearning
        from advsparse.coding._patches import drawn_patches

        rng = seeded(rng)
        drawn = drawn_patches(x, self.patch, self.patches, rng.generator("patches")).double()
        drawn -= drawn.mean(0)
        drawn /= drawn.std(0, correction=0) + _SPREAD
        learning = DictionaryLearning(
            update=self.update,
            atoms=self.atoms,
            sparsity=self.learned_sparsity,
            passes=self.passes,
        )
        found = learning.learn(drawn, rng.part("learning"))
        return {
            "dictionary": found.dictionary.to(x),
            "residual": found.residual.to(x.device),
            "replaced": found.replaced.to(x.device),
        }

    def transformation(self, learned):
        from advsparse.defenses._denoising import Denoiser

        return Denoiser(learned["dictionary"], self.patch, self.sparsity)
