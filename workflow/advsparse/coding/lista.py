"""LISTA, the unrolled iterations of ISTA with learned weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from advsparse.arguments import check_real
from advsparse.coding._base import LearnedCoder
from advsparse.coding._maps import Matrix
from advsparse.settings import PositiveFloat, PositiveInt, settings


@settings
class LISTA(LearnedCoder):
    r"""Learned iterative shrinkage-thresholding: K layers with weights of their own.

    .. math::
        a_k = S_{\theta_k}(W_k x + V_k a_{k-1}), \quad k = 1, \dots, K, \quad a_0 = 0

    where S soft-thresholds by one number :math:`\theta_k` a layer, a negative one acting as 0.
    Trained on pairs of signals x, of m entries, and codes a, of n, by
    :math:`\|a_K - a\|_2^2`; the dictionary D, m x n, is known and stays as it is.

    Source: Gregor and LeCun 2010; weitzner2023, section 2 and its supplement.
    """

    layers: PositiveInt = 16
    """The number K of layers."""
    start: Literal["ista", "random"] = "ista"
    r"""What training starts from: the iterations of ISTA for D, :math:`W = D^T / L`,
    :math:`V = I - D^T D / L` and :math:`\theta = \lambda / L` with the largest eigenvalue L of
    :math:`D^T D`; or torch's random weights of linear layers and thresholds 0, as in the code of
    weitzner2023's authors."""
    weight: PositiveFloat = 0.2
    r"""The weight :math:`\lambda` of the l1 norm in the problem that ISTA solves. On weitzner2023's
    signals 0.2 gives the least error before training; afterwards it hardly matters."""

    def network(self, shape, dictionary):
        from advsparse.coding._lista import LISTANetwork

        if dictionary is None:
            raise ValueError("lista needs the dictionary of its signals")
        check_real("dictionary", dictionary)
        if dictionary.ndim != 2:
            raise ValueError(f"dictionary: expected m x n, got shape {tuple(dictionary.shape)}")
        if shape != tuple(dictionary.shape[:1]):
            raise ValueError(
                f"signals of shape {shape} have no dictionary of shape {tuple(dictionary.shape)}"
            )
        Matrix(dictionary).require_finite()
        return LISTANetwork(dictionary, **asdict(self))
