r"""ReLU networks as certificates see them: affine maps of real numbers, in float64.

.. math:: h_1 = W_1 a + b_1, \quad z_i = \max(h_i, 0), \quad h_{i+1} = W_{i+1} p_i(z_i) + b_{i+1},
          \qquad f(a) = h_{L+1}

where p_i takes the maxima of groups of units, or is the identity. Imports no torch: the checker of
certificates reads these too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from advsparse.artifacts.arrays import digest

Array = np.ndarray


@dataclass(frozen=True)
class ReluNetwork:
    """The network; images are vectors of P pixels, normalisation is part of the first layer."""

    weights: tuple[Array, ...]
    """W_1 to W_{L+1}, float64."""
    biases: tuple[Array, ...]
    pools: tuple[Array | None, ...]
    """Of each hidden layer the groups whose maxima are taken, groups x members, or none."""

    def __post_init__(self) -> None:
        sizes = [weight.shape for weight in self.weights]
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if weight.ndim != 2 or bias.shape != weight.shape[:1]:
                raise ValueError(f"layer {index + 1} of a network is not an affine map: {sizes}")
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ValueError(f"layer {index + 1} of a network is not finite")
        for index, pool in enumerate(self.pools):
            given = len(self.biases[index]) if pool is None else len(pool)
            if given != self.weights[index + 1].shape[1]:
                raise ValueError(f"layer {index + 2} of a network does not fit the one before it")

    @property
    def pixels(self) -> int:
        return self.weights[0].shape[1]

    @property
    def classes(self) -> int:
        return len(self.biases[-1])

    @cached_property
    def hidden(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return tuple(len(bias) for bias in self.biases[:-1])

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each hidden layer begins when all hidden units are counted through."""
        return tuple(int(n) for n in np.cumsum([0, *self.hidden]))

    def units(self, layer: int) -> slice:
        """The units of a hidden layer among all."""
        return slice(self.starts[layer], self.starts[layer + 1])

    @property
    def pooled(self) -> bool:
        """Whether maxima of groups are taken."""
        return any(pool is not None for pool in self.pools)

    def values(self, a: Array) -> tuple[Array, list[Array]]:
        """Logits (N x K) of the vectors ``a`` (N x P), and h of each hidden layer."""
        hidden, z = [], a
        for weight, bias, pool in zip(self.weights[:-1], self.biases[:-1], self.pools, strict=True):
            h = z @ weight.T + bias
            hidden.append(h)
            z = np.maximum(h, 0)
            if pool is not None:
                z = z[:, pool].max(2)
        return z @ self.weights[-1].T + self.biases[-1], hidden

    def logits(self, a: Array) -> Array:
        return self.values(a)[0]

    def margin(self, label: int, target: int) -> tuple[Array, float]:
        """v and g of the margin f_target - f_label = v . z_L + g."""
        row = self.weights[-1][target] - self.weights[-1][label]
        return row, float(self.biases[-1][target] - self.biases[-1][label])

    def slope(self, a: Array, label: int, target: int) -> tuple[Array, Array]:
        """The margins of ``a`` (N x P) and their gradients, N and N x P."""
        logits, hidden = self.values(a)
        row, _ = self.margin(label, target)
        gradient = np.broadcast_to(row, (len(a), len(row)))
        for layer in reversed(range(len(hidden))):
            h, pool = hidden[layer], self.pools[layer]
            if pool is not None:
                largest = pool[np.arange(len(pool)), np.maximum(h, 0)[:, pool].argmax(2)]
                spread = np.zeros(h.shape)
                np.add.at(spread, (np.arange(len(a))[:, None], largest), gradient)
                gradient = spread
            gradient = (gradient * (h > 0)) @ self.weights[layer]
        return logits[:, target] - logits[:, label], gradient

    def arrays(self) -> dict[str, Array]:
        """The network as an artifact has it."""
        found = {}
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            found[f"network.weight{index}"], found[f"network.bias{index}"] = weight, bias
        for index, pool in enumerate(self.pools):
            if pool is not None:
                found[f"network.pool{index}"] = pool
        return found

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Array]) -> ReluNetwork:
        """What :meth:`arrays` has stored."""
        count = sum(name.startswith("network.weight") for name in arrays)
        return cls(
            tuple(arrays[f"network.weight{index}"] for index in range(count)),
            tuple(arrays[f"network.bias{index}"] for index in range(count)),
            tuple(arrays.get(f"network.pool{index}") for index in range(count - 1)),
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights."""
        return digest(self.arrays())
