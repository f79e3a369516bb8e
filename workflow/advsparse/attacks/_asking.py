"""One pass through a model, there and back: what it is given, and what of it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from advsparse.attacks._checks import check_logits
from advsparse.lazy import torch


def ask(model: torch.nn.Module, x: torch.Tensor, *more) -> torch.Tensor:
    """The logits of ``model`` for a copy of ``x``, in the precision of ``x``.

    What is no row of logits for each image is refused, in every pass: it may depend on the number
    of images, or on whether a gradient is wanted. Rounding to fewer digits makes ties. None of them
    changes the class that wins.
    """
    try:
        logits = model(x.clone(), *more)
    except RuntimeError as error:
        if "Inference tensors cannot be saved" not in str(error):
            raise
        raise ValueError(
            "model: it, or its defence, holds a tensor made in torch.inference_mode(), where no "
            "gradient can be taken; make or load it outside of that"
        ) from error
    check_logits(logits, len(x))
    if logits.dtype == x.dtype:
        # A model may keep what it returned, and write the next logits there.
        return logits.clone()
    rounded = logits.to(x.dtype)
    if torch.promote_types(logits.dtype, x.dtype) == x.dtype:
        return rounded
    with torch.no_grad():
        # Those that were tied before stay so, as they are to a model of fewer digits.
        behind = logits < logits.amax(1, keepdim=True)
        tied = behind & (rounded == rounded.amax(1, keepdim=True))
        down = torch.nextafter(rounded, torch.full_like(rounded, -torch.inf)) - rounded
    return rounded + torch.where(tied, down, 0.0)


def refused(
    logits: torch.Tensor, excess: torch.Tensor, y: torch.Tensor, target: torch.Tensor | None
) -> torch.Tensor:
    """Logits (N x K) as they decide once a detector has refused what has an ``excess`` (N) above 0.

    Such an image fools nobody: the logit of its label y exceeds the largest other one by as much,
    or that of its target falls short of it. One that passes decides as it did, and its margin is
    the larger of its own and its excess: what an attack follows is continuous, and it is not led
    back to where it is refused by what it gains from the classifier alone.
    """
    goal = y if target is None else target
    own = logits.gather(1, goal[:, None])[:, 0]
    others = logits.scatter(1, goal[:, None], -torch.inf).amax(1)
    # The least that a sum with the others' does not round away.
    step = (torch.nextafter(others, torch.full_like(others, torch.inf)) - others).detach()
    beyond = excess + torch.where(excess > 0, step, -step)
    if target is None:
        changed = torch.maximum(own, others + beyond)
    else:
        changed = torch.minimum(own, others - beyond - torch.where(excess > 0, step, 0.0))
    # Without another class there is none that could win.
    changed = torch.where(excess.isnan() | ~others.isfinite(), own, changed)
    return logits.scatter(1, goal[:, None], changed[:, None])


_UNFOLLOWED = (
    "no gradient leads from its {} to the images, as if it were evaluated under no_grad or its "
    "output detached"
)

WITHOUT_GRADIENTS = (
    f"model: {_UNFOLLOWED.format('logits')}; attack it without gradients (square, noise), or "
    "declare what it does before its network as a defence (adaptive)"
)
"""Why a model is refused by an attack that follows gradients."""

CONSTANT = f"objective: {_UNFOLLOWED.format('values')}"
"""Why an objective cannot be ascended."""


def slope(
    value: torch.Tensor,
    x: torch.Tensor,
    *,
    through: torch.Tensor | None = None,
    keep: bool = False,
    refusal: str = WITHOUT_GRADIENTS,
) -> torch.Tensor:
    """The gradient in ``x`` of the sum of ``value``, whose graph is freed unless it is to ``keep``.

    through: the images that the model was given, where the value depends on x by itself too. Raises
    ValueError where no gradient leads to them: whether one does is known by following it alone, as
    the graph may lead to weights, or end in a layer whose derivative is none.
    """
    found = ()
    if value.requires_grad:
        wanted = [x] if through is None else [x, through]
        found = torch.autograd.grad(value.sum(), wanted, retain_graph=keep, allow_unused=True)
    if not found or found[-1] is None:
        raise ValueError(refusal)
    # Convolutions may hand back another order of the axes, which each further step would pay for.
    return found[0].contiguous()


def slopes(values: list[torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
    """:func:`slope` of several values, which share a graph."""
    last = len(values) - 1
    return [slope(value, x, keep=i < last) for i, value in enumerate(values)]


@contextmanager
def undisturbed(model: torch.nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode without parameter gradients; everything is as it was afterwards.

    That is the training flag of each module, ``requires_grad`` of each parameter, and the global
    random number generators, which a stochastic model may use. Inside, gradients are recorded even
    where the caller has switched them off, by inference mode too.
    """
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    devices = [device] if device.type == "cuda" else []
    with torch.inference_mode(False):
        try:
            model.eval()
            for parameter, _ in wanted:
                parameter.requires_grad_(False)
            with torch.random.fork_rng(devices), torch.enable_grad():
                yield
        finally:
            for module, training in modes:
                module.training = training
            for parameter, required in wanted:
                parameter.requires_grad_(required)
