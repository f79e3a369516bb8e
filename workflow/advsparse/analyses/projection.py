"""How the sparse transformation layer projects images: clusters, filters, feature maps."""

from __future__ import annotations

import numpy as np

from advsparse.analyses._base import Analysis, Given, in_batches
from advsparse.errors import AnalysisError
from advsparse.lazy import torch
from advsparse.settings import PositiveInt, settings


@settings
class Projection(Analysis):
    r"""The steps of t(x') = low(x') + sum_k d_k * z_k on attacked images.

    Of all images, clean and attacked: the cluster. Of the first ``shown``, attacked: what is not
    coded, the maps z_k of those filters with the largest ||z_k||_1, these filters, and t(x'). Of a
    grid of attacks it is the first point.

    Source: sun2019, figures 2 and 10.
    """

    attacks = 1
    defenses = 1
    grids = True

    shown: PositiveInt = 1
    """Images whose steps are kept."""
    maps: PositiveInt = 6
    """Filters whose maps are kept."""

    def run(self, given: Given):
        from advsparse.defenses._clustered import Clustered

        attacked = next(iter(given.attacks.values()))
        ((name, (defense, learned)),) = given.defenses.items()
        t = defense.transformation(learned)
        if not isinstance(t, Clustered):
            raise AnalysisError(f"{name} has no clusters: projection shows those of stl_cluster")
        clusters = {
            of: in_batches(t.cluster_of, x)
            for of, x in (("clean", attacked.x), ("attacked", attacked.x_adv))
        }
        arrays = {f"cluster.{of}": found.cpu().numpy() for of, found in clusters.items()}
        arrays |= {"index": attacked.index, "label": attacked.label.cpu().numpy()}
        arrays |= {"x": attacked.x.cpu().numpy()}
        steps = [
            _steps(t.parts[int(clusters["attacked"][i])], attacked.x_adv[i : i + 1], self.maps)
            for i in range(min(self.shown, len(attacked.x)))
        ]
        shown = {key: np.stack([one[key] for one in steps]) for key in steps[0]}
        return arrays | {f"shown.{key}": value for key, value in shown.items()}


def _steps(t, x: torch.Tensor, count: int) -> dict[str, np.ndarray]:
    """What the transformation of one cluster does to an image, 1 x C x H x W."""
    from advsparse.coding._circular_map import CircularConvolution
    from advsparse.coding._low_pass import cropped

    with torch.no_grad():
        slow, wide = t.split(x)
        synthesis = CircularConvolution(t.filters.to(x), (wide.shape[2], wide.shape[3]))
        code = cropped(t.coder.solve(synthesis, wide).code, t.settings.padding)[0]
        # As many for each image, so that they stack.
        order = code.abs().flatten(1).sum(1).argsort(descending=True, stable=True)[:count]
        found = {"attacked": x[0], "slow": slow[0], "made": t(x)[0], "maps": code[order]}
        found |= {"filters": t.filters[order], "active": (code != 0).double().mean()}
    return {name: value.cpu().numpy() for name, value in found.items()}
