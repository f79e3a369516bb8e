"""Trained classifiers as the ReLU networks that certificates are about."""

from __future__ import annotations

import numpy as np

from advsparse.certify._network import ReluNetwork
from advsparse.errors import CertificateError
from advsparse.lazy import torch

_MOST = 20_000
"""Units of a layer up to which it is written out as a matrix."""


def relu_network(model: torch.nn.Module, shape: tuple[int, int, int]) -> ReluNetwork:
    """The network of a classifier of images of ``shape`` (C x H x W), in float64.

    Layers between two ReLUs become one affine map. Raises CertificateError for layers that
    certificates do not know.
    """
    building = _Building(shape)
    for layer in _flat(model.eval()):
        building.add(layer)
    return building.network()


def _flat(module: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers of nested sequences, one after the other."""
    if type(module) is torch.nn.Sequential:
        return [layer for child in module for layer in _flat(child)]
    return [module]


class _Building:
    """A network, as far as its layers have been read."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = tuple(shape)
        count = int(np.prod(shape))
        self.weight: np.ndarray | None = None  # the identity
        self.bias = np.zeros(count)
        self.weights: list[np.ndarray] = []
        self.biases: list[np.ndarray] = []
        self.pools: list[np.ndarray | None] = []
        self.after_relu = False

    def add(self, layer: torch.nn.Module) -> None:
        from advsparse.models._layers import Normalise

        nn = torch.nn
        if isinstance(layer, nn.Dropout | nn.Identity):
            return
        if isinstance(layer, nn.Flatten):
            self.shape = (int(np.prod(self.shape)),)
        elif isinstance(layer, nn.ReLU):
            self._relu()
        elif isinstance(layer, nn.MaxPool2d):
            self._pool(layer)
        elif isinstance(
            layer,
            nn.Linear | nn.Conv2d | nn.BatchNorm1d | nn.BatchNorm2d | nn.AvgPool2d | Normalise,
        ):
            self._affine(layer)
        else:
            raise CertificateError(
                f"certificates know no layer {type(layer).__name__}: they are made for networks of "
                "affine layers, ReLU and max-pooling, such as feedforward and pooled_convnet"
            )

    def network(self) -> ReluNetwork:
        if not self.weights:
            raise CertificateError("certificates are made for networks with a ReLU")
        self._close()
        return ReluNetwork(tuple(self.weights), tuple(self.biases), tuple(self.pools))

    def _affine(self, layer: torch.nn.Module) -> None:
        """Put an affine layer behind what is there: its matrix is what it makes of unit vectors."""
        count = int(np.prod(self.shape))
        exact = _copy(layer).double()
        with torch.no_grad():
            zero = exact(torch.zeros(1, *self.shape, dtype=torch.float64))
            if zero.numel() > _MOST:
                raise CertificateError(
                    f"a layer of the network has {zero.numel()} units, and certificates write out "
                    f"at most {_MOST}: give it fewer filters, or a larger stride"
                )
            columns = [
                (exact(part.reshape(-1, *self.shape)) - zero).flatten(1)
                for part in torch.eye(count, dtype=torch.float64).split(256)
            ]
        matrix, offset = torch.cat(columns).T.numpy(), zero.flatten().numpy()
        self.bias = matrix @ self.bias + offset
        self.weight = matrix if self.weight is None else matrix @ self.weight
        self.shape, self.after_relu = tuple(zero.shape[1:]), False

    def _close(self) -> None:
        weight = np.eye(len(self.bias)) if self.weight is None else self.weight
        self.weights.append(np.ascontiguousarray(weight))
        self.biases.append(self.bias)

    def _relu(self) -> None:
        if self.after_relu:  # of values that are not negative
            return
        self._close()
        self.pools.append(None)
        self._begin(int(np.prod(self.shape)))

    def _begin(self, count: int) -> None:
        self.weight, self.bias, self.after_relu = None, np.zeros(count), True

    def _pool(self, layer: torch.nn.MaxPool2d) -> None:
        if not self.after_relu or self.pools[-1] is not None or layer.padding or layer.ceil_mode:
            raise CertificateError(
                "certificates know max-pooling that follows a ReLU at once, without padding"
            )
        channels, height, width = self.shape
        places = torch.arange(channels * height * width, dtype=torch.float64)
        groups = torch.nn.functional.unfold(
            places.reshape(channels, 1, height, width),
            layer.kernel_size,
            dilation=layer.dilation,
            stride=layer.stride,
        )
        with torch.no_grad():
            self.shape = tuple(layer(torch.zeros(1, *self.shape)).shape[1:])
        self.pools[-1] = groups.permute(0, 2, 1).flatten(0, 1).long().numpy()
        self._begin(len(self.pools[-1]))


def _copy(layer: torch.nn.Module) -> torch.nn.Module:
    from copy import deepcopy

    return deepcopy(layer).eval()
