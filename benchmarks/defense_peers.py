"""The published libraries that compute what defences do, each asked for the same result."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from skimage.restoration import denoise_tv_chambolle, denoise_wavelet
from sklearn.decomposition import sparse_encode
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import binarize

from advsparse.coding._patches import image_of, on_grid, patches_of
from advsparse.defenses._deflection import smoothed
from advsparse.defenses._natural_patches import _centred
from advsparse.defenses._quilting import nearest
from advsparse.defenses._total_variation import Problem, solved
from benchmarks.beside import Peer
from benchmarks.patches import denoised

WITHIN = 1e-3
"""What objectives of total variation exceed the optimum by, relatively."""
_STEPS = (10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 400, 600, 800, 1000, 1200, 1500)


def peer_of(kind: str, defense: Any, learned: dict, x: torch.Tensor) -> Peer | None:
    """The peer of a defence, if there is one, on as many of the images as it is fast for."""
    made = PEERS.get(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return made(defense, learned, x) if made else None


def _forward(library, task, defense, learned, x, theirs, equal) -> Peer:
    t = defense.transformation(learned)
    return Peer(library, task, len(x), lambda: t(x).numpy(), theirs, equal)


def _art(name: str, task: str, equal: float, images: int | None = None, **named: str):
    """A preprocessor of ART; ``named`` are its settings by ours."""

    def made(defense, learned, x) -> Peer:
        from art.defences import preprocessor

        options = {theirs: getattr(defense, ours) for theirs, ours in named.items()}
        if name != "FeatureSqueezing":
            options["channels_first"] = True
        apply, some = getattr(preprocessor, name)(clip_values=(0, 1), **options), x[:images]
        given = some.numpy()
        return _forward("ART", task, defense, learned, some, lambda: apply(given)[0], equal)

    return made


def _binarize(defense, learned, x) -> Peer:
    flat = x.flatten(1).numpy()
    return _forward(
        *("scikit-learn", "`binarize`", defense, learned, x),
        lambda: binarize(flat, threshold=defense.threshold).reshape(x.shape),
        0.0,
    )


def _uniform_filter(defense, learned, x) -> Peer:
    given, size = x.numpy(), (1, 1, defense.size, defense.size)
    return _forward(
        *("scipy", "`uniform_filter`", defense, learned, x),
        lambda: ndimage.uniform_filter(given, size, mode="nearest"),
        1e-6,
    )


def _denoising(defense, learned, x) -> Peer:
    x = x[:4]
    atoms = learned["dictionary"].double().T.numpy().copy()
    given = x.double().numpy()
    return _forward(
        *("scikit-learn", "its example of image denoising", defense, learned, x),
        lambda: np.stack([denoised(one, atoms) for one in given]),
        1e-5,
    )


def _pursuit(defense, learned, x) -> Peer:
    x, size = x[:4], defense.patch
    atoms = learned["dictionary"].double().T.numpy().copy()
    step = max(1, size // 2)

    def theirs() -> np.ndarray:
        padded = on_grid(x, size, step)
        patches, mean = _centred(patches_of(padded, size, step).double(), size)
        flat = patches.flatten(0, 1).numpy()
        code = sparse_encode(flat, atoms, algorithm="omp", n_nonzero_coefs=defense.sparsity)
        found = torch.from_numpy(code @ atoms).reshape(patches.shape) + mean
        whole = image_of(found, size, tuple(padded.shape[1:]), step)
        return whole[..., : x.shape[2], : x.shape[3]].clamp(0, 1).numpy()

    return _forward(
        *("scikit-learn", "`sparse_encode` of the patches", defense, learned, x), theirs, 1e-5
    )


def _wavelets(defense, learned, x) -> Peer:
    given = x.permute(0, 2, 3, 1).numpy()
    options = {"wavelet": "db1", "mode": "soft", "method": "BayesShrink", "channel_axis": 2}

    def theirs() -> np.ndarray:
        found = [
            denoise_wavelet(one, sigma=defense.sigma, convert2ycbcr=True, **options)
            for one in given
        ]
        return np.stack(found).transpose(0, 3, 1, 2).clip(0, 1)

    return Peer(
        "scikit-image",
        "`denoise_wavelet`, which is called for this part",
        len(x),
        lambda: smoothed(x, defense.sigma).numpy(),
        theirs,
        1e-6,
    )


def _search(defense, learned, x) -> Peer:
    x, known = x[:8], learned["patches"].double()
    step = defense.patch - defense.overlap
    queries = patches_of(on_grid(x, defense.patch, step), defense.patch, step)
    queries, rows = queries.double().flatten(0, 1), known.numpy()
    wanted = queries.numpy()
    model = NearestNeighbors(n_neighbors=defense.neighbours).fit(rows)

    def distances(found) -> np.ndarray:
        # Of patches that are twice in the database, either is nearest.
        near = rows[np.asarray(found)] - wanted[:, None]
        return np.sqrt((near**2).sum(2))

    return Peer(
        "scikit-learn",
        "`NearestNeighbors`, the search alone",
        len(x),
        lambda: nearest(queries, known, defense.neighbours),
        lambda: model.kneighbors(wanted, return_distance=False),
        1e-8,
        lambda ours, theirs: float(np.abs(distances(ours) - distances(theirs)).max()),
    )


def _chambolle(defense, learned, x) -> Peer:
    x = x[:8]
    problem = Problem(x, torch.ones_like(x), defense.weight)
    exact = problem._replace(x=x.double(), kept=torch.ones_like(x).double())
    optimum = exact.objective(solved(exact, 3000).z)

    def objective(found) -> torch.Tensor:
        return exact.objective(torch.as_tensor(found).double())

    def ours(steps: int) -> torch.Tensor:
        return solved(problem, steps).z

    given = x.permute(0, 2, 3, 1).numpy()

    def theirs(steps: int) -> np.ndarray:
        found = [
            denoise_tv_chambolle(
                one, weight=defense.weight, eps=0, max_num_iter=steps, channel_axis=2
            )
            for one in given
        ]
        return np.stack(found).transpose(0, 3, 1, 2)

    def least(solve) -> int:
        """The fewest steps after which all images are near the optimum; the most that are tried."""
        for steps in _STEPS:
            if (objective(solve(steps)) <= optimum * (1 + WITHIN)).all():
                return steps
        return _STEPS[-1]

    counts = least(ours), least(theirs)
    return Peer(
        "scikit-image",
        f"`denoise_tv_chambolle`, no entry left out, steps until objectives are within {WITHIN:g} "
        f"of the optimum: {counts[0]} and {counts[1]}",
        len(x),
        lambda: ours(counts[0]),
        lambda: theirs(counts[1]),
        WITHIN,
        lambda one, other: max(
            float((objective(found) / optimum - 1).max()) for found in (one, other)
        ),
    )


PEERS: dict[str, Callable[[Any, dict, torch.Tensor], Peer]] = {
    "binarisation": _binarize,
    "bit_depth": _art("FeatureSqueezing", "`FeatureSqueezing`", 1e-6, bit_depth="bits"),
    "d3": _pursuit,
    "denoising_dictionary": _denoising,
    "jpeg": _art("JpegCompression", "`JpegCompression`", 1e-6, quality="quality"),
    "mean_filter": _uniform_filter,
    "median_filter": _art("SpatialSmoothing", "`SpatialSmoothing`", 0.0, window_size="size"),
    "pixel_deflection": _wavelets,
    "quilting": _search,
    "thermometer": _art("ThermometerEncoding", "`ThermometerEncoding`", 0.0, 4, num_space="levels"),
    "tvm": _chambolle,
}
"""By kind."""
