"""Clusters of images by the features of a denoising autoencoder. Imports torch: a defence imports
this when it is made."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from advsparse.prefixes import below, under
from advsparse.seeding import Random, layers_drawn_from

if TYPE_CHECKING:
    from advsparse.defenses._base import Arrays

logger = logging.getLogger(__name__)

_SIDE = 32
"""Height and width of what the autoencoder sees at most."""

_CHANNELS, _AT_ONCE = 32, 256


def learned_clusters(settings, x: torch.Tensor, rng: Random) -> dict[str, torch.Tensor]:
    """All it takes to tell the clusters of other images, and ``labels`` of the images ``x``."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    encoder = _trained(settings, x, rng)
    codes = _codes(encoder, x).double().cpu().numpy()
    # With all of its directions the decomposition is exact, and draws nothing.
    reduction = PCA(min(settings.components, *codes.shape), svd_solver="full").fit(codes)
    features = reduction.transform(codes)
    seed = rng.generator("clusters").initial_seed() % 2**32
    clusters = KMeans(settings.clusters, n_init=10, random_state=seed).fit(features)
    arrays = {
        "mean": reduction.mean_,
        "components": reduction.components_,
        "features": features,
        "centres": clusters.cluster_centers_,
    }
    learned = {name: torch.from_numpy(array).to(x) for name, array in arrays.items()}
    learned["labels"] = torch.from_numpy(clusters.labels_).long().to(x.device)
    return learned | under(encoder.state_dict(), "encoder.")


class Clusters:
    """From images to the numbers of their clusters."""

    def __init__(self, settings, learned: Arrays) -> None:
        self.learned, self.nearest = learned, settings.assignment == "nearest_centre"
        self.neighbours = min(settings.neighbours, len(learned["features"]))
        self.clusters = len(learned["centres"])
        weights = below(learned, "encoder.")
        with layers_drawn_from(0):
            self.encoder = _encoder(weights["0.weight"].shape[1])
        self.encoder.load_state_dict(weights)
        self.encoder.to(weights["0.weight"]).eval()

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        learned = self.learned
        features = _codes(self.encoder, x.to(learned["mean"])) - learned["mean"]
        features = features.double() @ learned["components"].double().T
        if self.nearest:
            return torch.cdist(features, learned["centres"].double()).argmin(1)
        found = []
        for part in features.split(_AT_ONCE):
            distance = torch.cdist(part, learned["features"].double())
            near = distance.topk(self.neighbours, dim=1, largest=False).indices
            votes = functional.one_hot(learned["labels"][near], self.clusters).sum(1).double()
            # Of clusters with as many votes the first.
            order = torch.arange(self.clusters, device=votes.device) / (2 * self.clusters)
            found.append((votes - order).argmax(1))
        return torch.cat(found) if found else learned["labels"][:0]


def _encoder(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Conv2d(channels, _CHANNELS, 3, padding=1), nn.BatchNorm2d(_CHANNELS)]
        layers += [nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
        channels = _CHANNELS
    return nn.Sequential(*layers)


def _decoder(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(3):
        layers += [nn.Upsample(scale_factor=2), nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1)]
        layers += [nn.BatchNorm2d(_CHANNELS), nn.ReLU()]
    layers += [nn.Conv2d(_CHANNELS, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.Sigmoid()]
    return nn.Sequential(*layers)


def _seen(x: torch.Tensor) -> torch.Tensor:
    """Images as the autoencoder sees them."""
    size = [min(side, _SIDE) for side in x.shape[2:]]
    if size == list(x.shape[2:]):
        return x
    return functional.interpolate(x, size=size, mode="bilinear", antialias=True).clamp(0, 1)


def _codes(encoder: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Codes of images, in evaluation mode, as vectors."""
    encoder.eval()
    with torch.no_grad():
        return torch.cat([encoder(_seen(part)).flatten(1) for part in x.split(_AT_ONCE)])


def _trained(settings, x: torch.Tensor, rng: Random) -> nn.Module:
    """The encoder of an autoencoder that takes noise off, once that no longer gets better on the
    tenth of the images that it does not learn from."""
    seen = _seen(x)
    held_out = max(1, len(seen) // 10)
    train, test = seen[:-held_out], seen[-held_out:]
    with layers_drawn_from(rng.part("autoencoder").seed):
        encoder, decoder = _encoder(x.shape[1]).to(x), _decoder(x.shape[1]).to(x)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=settings.learning_rate)

    def loss(clean: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        noisy = (clean + settings.noise * noise).clamp(0, 1)
        made = decoder(encoder(noisy))[:, :, : clean.shape[2], : clean.shape[3]]
        return functional.binary_cross_entropy(made, clean)

    best, kept, waited = float("inf"), encoder.state_dict(), 0
    for epoch in range(settings.epochs):
        encoder.train(), decoder.train()
        generator = rng.generator("epoch", epoch)
        for part in torch.randperm(len(train), generator=generator).split(settings.batch_size):
            optimizer.zero_grad()
            loss(train[part.to(x.device)], generator).backward()
            optimizer.step()
        encoder.eval(), decoder.eval()
        with torch.no_grad():
            generator = rng.generator("held out")
            parts = test.split(_AT_ONCE)
            value = sum(float(loss(part, generator)) * len(part) for part in parts) / len(test)
        logger.info("epoch %d of %d: cross-entropy %.5f", epoch + 1, settings.epochs, value)
        if value < best:
            best, waited = value, 0
            kept = {name: weight.clone() for name, weight in encoder.state_dict().items()}
        else:
            waited += 1
            if waited > settings.patience:
                break
    encoder.load_state_dict(kept)
    return encoder.requires_grad_(False)
