"""What is said of arguments that are of another type than the one that is expected."""

from __future__ import annotations

from advsparse.lazy import torch


def check_tensor(name: str, given: object) -> None:
    """Refuse what is not a tensor, such as an array or a list."""
    if not isinstance(given, torch.Tensor):
        raise TypeError(
            f"{name}: expected a torch.Tensor, got {kind_of(given)}; torch.as_tensor makes one "
            "of arrays and lists"
        )


def check_real(name: str, given: object) -> None:
    """Refuse what is not a tensor of floating-point numbers."""
    check_tensor(name, given)
    assert isinstance(given, torch.Tensor)
    if not given.is_floating_point():
        raise ValueError(f"{name}: expected floating-point numbers, got {given.dtype}")


def all_finite(given: torch.Tensor) -> bool:
    """Whether no entry is NaN or infinite."""
    # A sum is taken at a tenth of the cost. It is not finite where an entry isn't, or overflows.
    return bool(given.detach().sum().isfinite()) or bool(given.isfinite().all())


def kind_of(given: object) -> str:
    """The class of an argument, in words."""
    kind = type(given)
    if given is None or kind.__module__ == "builtins":
        return "None" if given is None else kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
