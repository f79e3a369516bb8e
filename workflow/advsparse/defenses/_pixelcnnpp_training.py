"""How PixelCNN++ learns. Imports torch: the defence imports this when it learns."""

from __future__ import annotations

import logging

import torch

from advsparse.defenses._pixelcnnpp import Convolution, Enlargement

logger = logging.getLogger(__name__)

_FLAT = 0.01
"""The smallest deviation that the start of training divides by."""


def trained(network, levels, rng, *, steps, batch_size, learning_rate, decay, averaging):
    """The network with the averages of its weights, after it has learned from images ``levels``."""
    swa, total, told = torch.optim.swa_utils, 0.0, max(1, steps // 20)
    generator = rng.generator("steps")
    devices = [levels.device] if levels.device.type == "cuda" else []
    # Dropout draws from the global generators.
    with torch.random.fork_rng(devices):
        torch.manual_seed(rng.part("dropout").seed)
        for step in range(steps):
            image = torch.randint(len(levels), (batch_size,), generator=generator)
            x = levels[image.to(levels.device)]
            if step == 0:
                _start(network, x)
                optimizer = torch.optim.Adam(network.parameters(), betas=(0.95, 0.9995))
                average = swa.AveragedModel(
                    network, multi_avg_fn=swa.get_ema_multi_avg_fn(averaging)
                )
                average.update_parameters(network)
            optimizer.param_groups[0]["lr"] = learning_rate * decay**step
            pixels = x.flatten(2).transpose(1, 2)
            loss = -network.everywhere(x).joint(pixels).mean() / x.shape[1]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            average.update_parameters(network)
            total += float(loss.detach())
            if (step + 1) % told == 0:
                logger.info("step %d of %d: %.3f nats per dimension", step + 1, steps, total / told)
                total = 0.0
    return average.module


@torch.no_grad()
def _start(network, x):
    """Layers' lengths and shifts such that for images ``x`` results have mean 0 and the deviations
    that layers ask for (Salimans and Kingma 2016, section 3)."""

    def starts(module, _, result):
        layer = module.layer
        mean, deviation = result.mean((0, 2, 3)), result.std((0, 2, 3))
        factor = module.scale / deviation.clamp(min=_FLAT)
        lengths = layer.parametrizations.weight.original0
        lengths.mul_(factor.reshape(lengths.shape))
        layer.bias.sub_(mean).mul_(factor)
        return (result - mean[:, None, None]) * factor[:, None, None]

    layers = [one for one in network.modules() if isinstance(one, Convolution | Enlargement)]
    handles = [layer.register_forward_hook(starts) for layer in layers]
    network.eval()(network.canvas(x))
    for handle in handles:
        handle.remove()
    network.train()
