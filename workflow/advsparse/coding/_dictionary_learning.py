"""Dictionaries that are learned from signals, for codes of few atoms."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

from advsparse.arguments import check_real, check_tensor
from advsparse.lazy import torch
from advsparse.modes import exactly
from advsparse.seeding import Random, seeded
from advsparse.settings import PositiveInt, settings

if TYPE_CHECKING:
    from advsparse.coding._dictionary_updates import LearnedDictionary

logger = logging.getLogger(__name__)


@settings
class DictionaryLearning:
    r"""A dictionary D for sparse codes of the signals x_i.

    .. math:: \min_{D, a_1, \dots, a_N} \frac{1}{2} \sum_i \|x_i - D a_i\|_2^2 \quad \text{s.t.}
              \quad \|a_i\|_0 \le s, \quad \|d_k\|_2 = 1

    in passes over the signals, of which each codes them by orthogonal matching pursuit and then
    improves the atoms in one of three ways:

    - ``mod``: all at once by least squares, :math:`D = X A^T (A A^T)^+`, then normalised (method of
      optimal directions);
    - ``ksvd``: one after the other, each together with its coefficients, by the best approximation
      of rank 1 of what the others leave of the signals that use it;
    - ``online``: after each mini-batch, one after the other, by :math:`A A^T` and :math:`X A^T` of
      all signals seen so far, of which older ones count less and less.

    It starts from random signals. Atoms that no signal uses are replaced by those signals that are
    represented worst.

    Source: Engan et al. 1999 (MOD); Aharon et al. 2006 (K-SVD); Mairal et al. 2010, algorithms 1
    and 2 (online); mitro2018, algorithm 2.
    """

    update: Literal["mod", "ksvd", "online"] = "mod"
    """How the atoms are improved."""
    atoms: PositiveInt = 100
    """The number K of atoms."""
    sparsity: PositiveInt = 2
    """The largest number s of atoms of a code."""
    passes: PositiveInt = 8
    """Passes over the signals."""
    batch_size: PositiveInt = 256
    """Signals in a mini-batch, where the update is online."""

    def learn(self, x: torch.Tensor, rng: Random | int = 0) -> LearnedDictionary:
        """Learn from the signals ``x``, N x m, of which all but zeros can be its first atoms.

        Raises ValueError for signals that are not finite, or all 0.
        """
        from advsparse.coding import _dictionary_updates

        check_tensor("x", x)
        check_real("x", x)
        if x.ndim != 2 or not len(x):
            raise ValueError(f"x: expected signals N x m, got shape {tuple(x.shape)}")
        if not x.any():
            raise ValueError("x: all signals are 0, of which no dictionary can be learned")
        rng = seeded(rng)
        with torch.no_grad(), exactly():
            learning = _dictionary_updates.Learning(self, x.double(), rng)
            improve = getattr(learning, self.update)
            for number in range(self.passes):
                improve()
                logger.info(
                    "pass %d of %d: relative residual %.4f, %d atoms replaced",
                    *(number + 1, self.passes, learning.residuals[-1], learning.replaced[-1]),
                )
            return learning.result()


def relative_residual(dictionary: torch.Tensor, x: torch.Tensor, sparsity: int) -> float:
    """||X - D A|| / ||X|| of the signals ``x``, N x m, with codes of ``sparsity`` atoms of the
    ``dictionary``, m x K, by orthogonal matching pursuit."""
    from advsparse.coding._maps import Matrix
    from advsparse.coding.omp import OMP

    coded = OMP(sparsity=sparsity).solve(Matrix(dictionary.double()), x.double())
    return float(coded.residual.norm() / x.double().norm())
