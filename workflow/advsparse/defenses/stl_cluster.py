"""The sparse transformation layer with filters for each cluster of images."""

from __future__ import annotations

from typing import Literal

from advsparse.defenses.stl import STL
from advsparse.seeding import seeded
from advsparse.settings import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    settings,
)


@settings
class STLCluster(STL):
    r"""Images as sparse codes of the filters of their cluster stand for them.

    .. math:: t(x) = t_{c(x)}(x)

    with t_c the transformation of :class:`~advsparse.defenses.stl.STL` whose filters are learned
    from the training images of cluster c alone. Clusters are those of features: the code of a
    denoising autoencoder, without noise, reduced by principal components, and grouped by k-means.
    A new image is of the cluster that most of its nearest training images are of. That is taken
    for constant where t is differentiated; elsewhere t jumps.

    The autoencoder sees images of at most 32 x 32 pixels; it has three 3x3 convolutions to 32
    channels, each with batch normalisation, a rectifier and a pooling, and as many back. In the
    authors' code features are those of noisy images with statistics of the batch, components and
    clusters are fitted to test images too, and the nearest centre decides; none of that is done
    here but the last, if asked for. How many neighbours vote is not said.

    Source: sun2019, section 3.4; Arthur and Vassilvitskii 2007 (k-means++).

    Cost: that of ``stl``, and the distances from all training images. Learning: the autoencoder's
    epochs x N, and filters for each cluster.

    Attacks: none is known to us beyond those of sun2019, table 4; ``adaptive`` goes by the exact
    derivative within a cluster.
    """

    clusters: PositiveInt = 4
    """Clusters of images; 10 for ImageNet."""
    assignment: Literal["vote", "nearest_centre"] = "vote"
    """Whether neighbours among the training images tell the cluster, or the nearest centre."""
    neighbours: PositiveInt = 10
    """Training images that vote."""
    components: PositiveInt = 128
    """Principal components of the features, at most."""
    noise: NonNegativeFloat = 0.15
    """Deviation of the noise that the autoencoder learns to take off."""
    epochs: PositiveInt = 50
    """Most passes over the images that the autoencoder learns from."""
    patience: NonNegativeInt = 3
    """Passes that may bring nothing before it ends."""
    batch_size: PositiveInt = 32
    """Images in a mini-batch."""
    learning_rate: PositiveFloat = 0.001
    """Step size of Adam."""

    def fit(self, x, y, *, model=None, rng=0):
        from advsparse.defenses._feature_clusters import learned_clusters
        from advsparse.defenses._sparse_transformation import learned_filters

        rng = seeded(rng)
        if len(x) < max(2, self.clusters):
            raise ValueError(
                f"x: expected two images or more, and one for each of {self.clusters} clusters, "
                f"got {len(x)}"
            )
        learned = learned_clusters(self, x, rng.part("clusters"))
        for number in range(self.clusters):
            own = x[learned["labels"] == number]
            if not len(own):
                raise ValueError(f"x: fewer different images than {self.clusters} clusters")
            learned[f"filters.{number}"] = learned_filters(self, own, rng)
        return learned

    def transformation(self, learned):
        from advsparse.defenses._clustered import Clustered

        return Clustered(self, learned)
