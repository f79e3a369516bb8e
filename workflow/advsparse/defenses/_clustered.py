"""A transformation for each cluster of images. Imports torch: a defence imports this when it is
made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from advsparse.defenses._feature_clusters import Clusters
from advsparse.defenses._sparse_transformation import SparseTransformation

if TYPE_CHECKING:
    from advsparse.defenses._base import Arrays


class Clustered:
    """t of each image by the filters of its cluster."""

    def __init__(self, settings, learned: Arrays) -> None:
        self.cluster_of = Clusters(settings, learned)
        self.parts = [
            SparseTransformation(settings, learned[f"filters.{number}"])
            for number in range(self.cluster_of.clusters)
        ]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        cluster = self.cluster_of(x.detach())
        rows = [(cluster == number).nonzero().flatten() for number in range(len(self.parts))]
        used = [number for number, own in enumerate(rows) if len(own)] or [0]
        made = torch.cat([self.parts[number](x[rows[number]]) for number in used])
        return made[torch.cat([rows[number] for number in used]).argsort()]
