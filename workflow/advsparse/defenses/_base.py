"""What every defence must give, and what it declares to those who attack it.

A defence acts in one of four places. Three of them are here: in front of the network
(:class:`Transformation`), in it (:class:`Inside`) and beside it (:class:`Detector`). The fourth, in
training, is a setting of that (:class:`advsparse.models._adversarial.Adversarial`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from advsparse.lazy import torch
from advsparse.seeding import Random
from advsparse.settings import Share, settings

if TYPE_CHECKING:
    from advsparse.defenses._defended import Defended

Arrays = Mapping[str, "torch.Tensor"]
"""What a defence has learned, by name."""

Shape = tuple[int, int, int]


@settings
class Defense(ABC):
    """The settings of a defence of a classifier.

    Its declarations are what an attack that adapts to it goes by (Athalye, Carlini and Wagner
    2018): a defence that declares less than it knows is weaker than it looks.
    """

    place: ClassVar[str]
    """Where it acts, for the documentation."""
    stochastic: ClassVar[bool] = False
    """Whether it draws random numbers: then what it calls is called with a
    :class:`advsparse.seeding.Random` besides the images, its only source of them."""
    learns: ClassVar[bool] = False
    """Whether it learns from images before it defends."""
    asks_network: ClassVar[bool] = False
    """Whether it is made for the network that it defends, which :meth:`fit` is then told too."""
    of_parts: ClassVar[bool] = False
    """Whether it is made of others: what an instance declares is then what those declare."""

    def fit(
        self,
        x: torch.Tensor,
        y: torch.Tensor,
        *,
        model: torch.nn.Module | None = None,
        rng: Random | int = 0,
    ) -> Arrays:
        """Learn from clean images ``x`` (N x C x H x W) with labels ``y`` (N); by default nothing.

        ``model``: the classifier to be defended, for a defence that asks for it. What is returned
        is what :meth:`wrap` is to be given.
        """
        return {}

    @abstractmethod
    def wrap(
        self, model: torch.nn.Module, learned: Arrays | None = None, *, seed: int = 0
    ) -> Defended:
        """The defended ``model``; ``seed`` decides what a stochastic defence draws when it is
        evaluated."""


@settings
class Transformation(Defense):
    r"""The settings of a defence that puts a transformation t in front of a classifier f.

    .. math:: x \mapsto f(t(x)), \qquad t: [0, 1]^{C \times H \times W} \to
              \mathbb{R}^{C' \times H' \times W'}

    or, as an ensemble, the logarithm of the mean class probability over N draws of t,

    .. math:: x \mapsto \log \frac{1}{N} \sum_{i=1}^{N} \mathrm{softmax}(f(t_i(x))).
    """

    place = "in front of the network"
    backward: ClassVar[Literal["exact", "identity", "approximation"]] = "exact"
    """What stands for the derivative of t: its own; the identity, where t(x) is close to x; or that
    of :meth:`approximation`. The last two are for a t whose own derivative is 0 or of no use."""
    eight_bits: ClassVar[bool] = True
    """Whether t(x) may be kept in eight bits, as image files hold it, when a network is trained on
    it; if not, it is kept in float32."""
    moves: ClassVar[bool] = False
    """Whether it moves pixels about: then no pixel of t(x) is to be compared with that of x."""

    @property
    def ensemble(self) -> int:
        """Number N of draws over which class probabilities are averaged."""
        return 1

    @abstractmethod
    def transformation(self, learned: Arrays) -> Callable[..., torch.Tensor]:
        """t, a module or function of images that treats each by itself."""

    def for_network(self, learned: Arrays, model: torch.nn.Module) -> Callable[..., torch.Tensor]:
        """t for a network, where that makes a difference."""
        return self.transformation(learned)

    def approximation(self, learned: Arrays) -> Callable[..., torch.Tensor]:
        """A differentiable function close to t, called as t is, with results of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} declares an approximation of t, has none")

    def approximation_for(
        self, learned: Arrays, model: torch.nn.Module
    ) -> Callable[..., torch.Tensor]:
        """The approximation for a network, where that makes a difference."""
        return self.approximation(learned)

    def shape(self, shape: Shape) -> Shape:
        """The shape of t(x) for images of ``shape``."""
        return shape

    def wrap(self, model, learned=None, *, seed=0):
        from advsparse.defenses._defended import InFront

        learned = {} if learned is None else learned
        declared = self.backward
        return InFront(
            model,
            self.for_network(learned, model),
            stochastic=self.stochastic,
            backward=(
                self.approximation_for(learned, model) if declared == "approximation" else declared
            ),
            ensemble=self.ensemble,
            seed=seed,
        )


@settings
class Inside(Defense):
    """The settings of a defence that changes what layers of the network do when it runs."""

    place = "in the network"

    @abstractmethod
    def changed(self, model: torch.nn.Module, learned: Arrays) -> Callable[..., torch.Tensor]:
        """The network as it then runs, from images (and a Random) to logits: ``model`` itself is
        left as it is, and its weights are shared."""

    def wrap(self, model, learned=None, *, seed=0):
        from advsparse.defenses._defended import Changed

        changed = self.changed(model, {} if learned is None else learned)
        return Changed(model, changed, stochastic=self.stochastic, seed=seed)


@settings
class Detector(Defense):
    r"""The settings of a defence beside the network: a score s, and the largest that may pass.

    .. math:: x \mapsto f(x) \text{ if } s(x) \le \tau, \text{ else refused}

    An adversarial image counts as defended if it is refused or still classified right, a clean one
    as right only if it passes and is right.
    """

    place = "beside the network"
    learns = True

    rate: Share = 0.01
    """Share of clean images that may be refused: what is learned last is the threshold at which so
    many of those were that it did not learn from otherwise, rounded down."""

    @abstractmethod
    def score(
        self, learned: Arrays, model: torch.nn.Module | None
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """s, from images to a number each, the larger the more suspicious; differentiable."""

    def wrap(self, model, learned=None, *, seed=0):
        from advsparse.defenses._defended import Beside

        if learned is None:
            raise ValueError("learned: a detector has no threshold before it has learned one")
        return Beside(
            model,
            self.score(learned, model),
            threshold=learned["threshold"],
            spread=learned["spread"],
        )
