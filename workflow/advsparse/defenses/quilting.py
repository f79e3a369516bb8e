"""Image quilting."""

from __future__ import annotations

from advsparse.defenses._base import Transformation
from advsparse.defenses._resizing import drawn
from advsparse.seeding import seeded
from advsparse.settings import NonNegativeInt, PositiveInt, settings


@settings
class Quilting(Transformation):
    r"""An image is put together anew of patches of training images, along minimal seams.

    .. math:: t(x) = Q(q_1, \dots, q_P), \qquad q_p \sim \text{uniform over the K patches of the
              database that are nearest to } E_p x

    with E_p x the patches of x on a grid, which overlap, and distances over all channels. Q lays
    the patches row by row over each other. In the overlap with what lies at the left, and in that
    with what lies above, the new patch begins at the seam along which the squared difference to
    what is there sums up to least (found by dynamic programming); a pixel before either seam stays
    as it is. A grid that does not end with the image is one of the image padded by reflection.

    The database holds patches of training images at random places.

    What others did: the authors' code finds neighbours approximately among a million patches, its
    graph cut ties no pixel to the old patch, so that the new one always wins, and the grid stops
    short of the border, which stays black; that of Athalye, Carlini and Wagner (2018) keeps seams
    from moving to or from the first place, and takes no other sizes than those that fit.

    Source: Guo, Rana, Cisse and van der Maaten 2018, section 4; Efros and Freeman 2001 (quilting);
    sun2019, section 4. Patch, overlap and K = 10 are those of Athalye, Carlini and Wagner's code.

    Cost: P times the size of the database products of a patch's entries, for P patches; seams cost
    little. Learning: only draws.

    Attacks: Athalye, Carlini and Wagner 2018: the transformations of Guo et al. leave an accuracy
    of 0 at an l2 norm of 0.05 (ImageNet), quilting by BPDA and EOT.
    """

    stochastic = True
    learns = True
    backward = "identity"

    patch: PositiveInt = 5
    """The side of a patch."""
    overlap: NonNegativeInt = 2
    """Pixels by which neighbours overlap."""
    neighbours: PositiveInt = 10
    """The number K of nearest patches, of which one is drawn."""
    patches: PositiveInt = 50000
    """Patches of the database."""

    def __post_init__(self) -> None:
        if self.overlap >= self.patch:
            raise ValueError(f"overlap: {self.overlap} leaves nothing of patches of {self.patch}")

    def fit(self, x, y, *, model=None, rng=0):
        from advsparse.coding._patches import drawn_patches

        generator = seeded(rng).generator("patches")
        return {"patches": drawn_patches(x, self.patch, self.patches, generator)}

    def transformation(self, learned):
        from advsparse.coding._patches import on_grid
        from advsparse.defenses._quilting import nearest, quilted

        known = learned["patches"].double()
        step = self.patch - self.overlap

        def t(x, rng):
            padded = on_grid(x, self.patch, step)
            windows = padded.unfold(2, self.patch, step).unfold(3, self.patch, step)
            windows = windows.permute(0, 2, 3, 1, 4, 5)
            near = nearest(windows.flatten(3).flatten(0, 2).double(), known, self.neighbours)
            numbers = rng.uniform_block(x, windows.shape[1:3]).flatten()
            chosen = near.gather(1, drawn(numbers, near.shape[1])[:, None])[:, 0]
            patches = known[chosen].reshape(windows.shape).to(x.dtype)
            return quilted(patches, self.overlap)[..., : x.shape[2], : x.shape[3]]

        return t
