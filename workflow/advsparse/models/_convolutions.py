"""The convolutions of a network, and what they say of where it looks."""

from __future__ import annotations

from advsparse.lazy import torch


def last_convolution(
    network: torch.nn.Module, x: torch.Tensor, least: int
) -> torch.nn.Module | None:
    """The last convolution that runs and whose result for the image ``x`` has ``least`` x ``least``
    pixels or more, if there is one."""
    found: list[torch.nn.Module] = []

    def seen(layer, _, result) -> None:
        if min(result.shape[2:]) >= least:
            found.append(layer)

    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    hooks = [layer.register_forward_hook(seen) for layer in layers]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    return found[-1] if found else None


def class_maps(
    network: torch.nn.Module, layer: torch.nn.Module, x: torch.Tensor, count: int
) -> torch.Tensor:
    """Gradient-weighted class activation maps of the ``count`` most probable classes, the most
    probable first, N x count x h x w, in the pixels of ``layer``; with their signs."""
    results: list[torch.Tensor] = []

    def leaf(_, __, result):
        results.append(result.detach().requires_grad_())
        return results[-1].clone()  # layers that work in place come after some

    hook = layer.register_forward_hook(leaf)
    with torch.inference_mode(False), torch.enable_grad():
        try:
            logits = network(x.clone())
        finally:
            # Before slopes are asked for: within a checkpoint that runs the network again.
            hook.remove()
        largest = logits.topk(min(count, logits.shape[1]), dim=1).values
        slopes = [
            torch.autograd.grad(one.sum(), results[-1], retain_graph=True)[0]
            for one in largest.unbind(1)
        ]
    weights = torch.stack(slopes, dim=1).mean((3, 4), keepdim=True)
    return (weights * results[-1].detach()[:, None]).sum(2)
