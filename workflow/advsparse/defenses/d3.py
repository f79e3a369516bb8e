"""Divide, denoise and defend: sparse combinations of natural patches."""

from __future__ import annotations

from advsparse.defenses._base import Transformation
from advsparse.seeding import seeded
from advsparse.settings import Fraction, PositiveInt, PositiveShare, settings


@settings
class D3(Transformation):
    r"""Each patch of an image is replaced by a sparse combination of patches of natural images.

    .. math:: t(x) = \frac{1}{n} \sum_p E_p^T (D a_p + \mu_p), \qquad
              a_p = \arg\min_{\|a\|_0 \le \kappa} \|E_p x - \mu_p - D a\|_2

    with E_p x the patches of x, half a patch apart, mu_p the mean of each of their channels, n the
    number of patches over a pixel, and codes by orthogonal matching pursuit. A grid that does not
    end with the image is one of the image padded by reflection; what comes out is clipped.

    Atoms are patches of training images, without the mean of each channel and of norm 1. Candidates
    at random places have their turn in an order that is drawn with probability in proportion to the
    mean length of their gradients; one is taken if its cosine with all those taken before is small.
    There are fewer atoms than asked for where candidates do not suffice.

    Its derivative projects each patch onto the atoms that it is given, and is exact almost
    everywhere.

    Against an attacker who knows the dictionary, its authors make it random: with a share below 1
    each image is given that share of the atoms, drawn anew, and the defence is stochastic.

    No code was published: patch, stride, what is done with means, the order of candidates and how a
    dictionary is made random are this project's.

    Source: Moosavi-Dezfooli, Shrivastava and Tuzel 2018 (D3, with matching pursuit); sun2019,
    section 4 and table 3: "10K-5" has 10000 atoms and kappa 5.

    Cost: P times kappa times K products of m entries, for P patches and K atoms; with a share below
    1 each image has a dictionary of its own. Learning: up to candidates times K cosines of m
    entries.

    Attacks: none is known to us. Its own authors' white-box attack leaves 34.4 % where
    dictionaries are random (by their abstract). ``adaptive`` follows the derivative and, with a
    share below 1, takes means over draws.
    """

    learns = True

    patch: PositiveInt = 8
    """The side of a patch; 4 for images of 32 pixels."""
    sparsity: PositiveInt = 5
    """The largest number kappa of atoms of a patch."""
    atoms: PositiveInt = 10000
    """The number of atoms; 10000 to 40000 by the paper."""
    coherence: Fraction = 0.9
    """The cosine, without its sign, that atoms stay below."""
    candidates: PositiveInt = 200000
    """Patches that atoms are chosen from."""
    share: PositiveShare = 1.0
    """The share of the atoms that each image is given."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stochastic", self.share < 1)

    def fit(self, x, y, *, model=None, rng=0):
        from advsparse.defenses._natural_patches import natural_dictionary

        found = natural_dictionary(
            x,
            self.patch,
            candidates=self.candidates,
            coherence=self.coherence,
            atoms=self.atoms,
            generator=seeded(rng).generator("patches"),
        )
        return {"dictionary": found.to(x.dtype)}

    def transformation(self, learned):
        from advsparse.defenses._natural_patches import Sparse

        return Sparse(learned["dictionary"], self.patch, self.sparsity, self.share)
