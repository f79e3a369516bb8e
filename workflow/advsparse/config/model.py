"""The typed configuration: source of the defaults, the JSON schema and the documentation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from advsparse.coding._signals import Signals
from advsparse.models._training import Training
from advsparse.registry import Plugin
from advsparse.settings import NonNegativeInt, PositiveInt, settings

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
Role = Literal["mnist", "cifar10", "tiny_imagenet", "imagenet10", "imagenet"]
Scalar = bool | int | float | str


@settings
class Data:
    """Where data lies."""

    directory: str = "data"
    """Where relative paths of datasets start, and where published datasets are fetched to; itself
    relative to the project's root."""

    mirrors: list[Annotated[str, Field(pattern="^https?://")]] = Field(default_factory=list)
    """Addresses of copies of a data directory, which ``snakemake fetch`` tries before those that it
    knows: a file is at <address>/<kind>/<file>."""


@settings
class CoderEntry:
    """A coder that is learned: from what, what it is, how it is trained."""

    dataset: Role | None = None
    """The role of the images that it learns from; either this or ``signals`` is given."""
    signals: Name | None = None
    """The synthetic signals that it learns from."""
    method: Annotated[Any, Plugin("coding")]
    """The coder: its kind and settings."""
    training: Training = Training()
    """How it is trained."""

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.signals is None):
            raise ValueError("exactly one of dataset and signals must be given")


@settings
class Model:
    """A classifier: what it is trained on, what it is, how it is trained."""

    dataset: Role
    """The role of its training data; the preset says which dataset plays it."""
    architecture: Annotated[Any, Plugin("models")]
    """The network: its kind and settings."""
    coder: Name | None = None
    """The trained coder whose codes it classifies; only where the architecture takes one."""
    training: Training = Training()
    """How it is trained."""


@settings
class Images:
    """Some images: a slice of a split in an order drawn once for each dataset."""

    split: Literal["train", "test"] = "test"
    """The split."""
    start: NonNegativeInt = 0
    """First image; slices that don't overlap share no image."""
    count: PositiveInt
    """Number of images; fewer than the split holds, from ``start`` on."""


@settings
class AttackEntry:
    """An attack of a paper, or a grid of them: one job for each point of the grid."""

    method: Annotated[Any, Plugin("attacks")]
    """The attack: its kind and hyper-parameters."""
    grid: dict[str, Annotated[list[Scalar], Field(min_length=1)]] = Field(default_factory=dict)
    """Hyper-parameters that take several values: all combinations are built."""
    model: Name
    """The classifier that is attacked."""
    images: Name
    """The images that are attacked."""
    learn_from: Name | None = None
    """The images that a universal attack learns from."""
    surrogate: Name | None = None
    """The classifier that a universal attack learns on, to be carried over to ``model``; none
    means ``model`` itself."""
    target: Literal["none", "runner_up"] = "none"
    """Whether an attack is led towards a class: the second choice of the surrogate on the clean
    image, its first where the second is the label."""
    against: Literal["label", "prediction"] = "label"
    """What an untargeted attack leads away from: the true label, or the prediction on the clean
    image, whose changes are the fooling rate."""

    def points(self) -> Iterator[dict[str, Scalar]]:
        """The points of the grid; a single empty one where there is no grid."""
        for values in itertools.product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))


@settings
class AnalysisEntry:
    """What is computed from coders and attacked images, for figures and tables to show."""

    method: Annotated[Any, Plugin("analyses")]
    """The analysis: its kind and settings."""
    coders: list[Name] = Field(default_factory=list)
    """The trained coders that it codes with."""
    attacks: list[Name] = Field(default_factory=list)
    """The attacks whose images it reads, none of them a grid, all on the same images of one
    classifier."""


@settings
class Needed:
    """What a paper's figures and tables can't do without."""

    experiments: dict[Name, list[Name]] = Field(default_factory=dict)
    """Experiments, with the attacks that each must keep."""
    attacks: dict[Name, Name] = Field(default_factory=dict)
    """Attacks whose settings figures tell points by, with their kinds."""
    analyses: dict[Name, Name] = Field(default_factory=dict)
    """Analyses, with their kinds."""


@settings
class Paper:
    """What a paper asks for: its coders, classifiers, images, attacks and experiments."""

    title: str
    """Authors, title and year."""
    signals: dict[Name, Signals] = Field(default_factory=dict)
    """Synthetic signals by name."""
    coders: dict[Name, CoderEntry] = Field(default_factory=dict)
    """Coders that are learned, by name."""
    models: dict[Name, Model]
    """Classifiers by name."""
    images: dict[Name, Images]
    """Sets of images by name."""
    attacks: dict[Name, AttackEntry]
    """Attacks by name."""
    experiments: dict[Name, Annotated[list[Name], Field(min_length=1)]]
    """Attacks whose evaluation rows belong together, by the name of the experiment."""
    analyses: dict[Name, AnalysisEntry] = Field(default_factory=dict)
    """Analyses by name."""
    needed: Needed = Needed()
    """What the paper's figures and tables can't do without; not to be changed."""


@settings
class Configuration:
    """Everything that a run is decided by, after merging."""

    preset: Name = "demo"
    """The data and the scale: a file of workflow/presets."""
    papers: list[Name] = Field(default_factory=list)
    """The papers to rebuild: folders of workflow/papers; none means all of them."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where networks are trained and attacked; with cuda those jobs ask for a GPU each."""
    threads: PositiveInt = 1
    """CPU threads of one job. Another number can change the last digits of results."""
    seed: NonNegativeInt = 0
    """What all random numbers derive from."""
    data: Data = Data()
    """Where data lies."""
    datasets: dict[Name, Annotated[Any, Plugin("data")]]
    """Datasets by name: the preset's, and your own."""
    roles: dict[Role, Name]
    """Which dataset plays which of the papers' datasets."""
    settings: dict[Name, Paper]
    """The papers' settings, as in workflow/papers/<key>/paper.yaml, with what the preset and you
    change in them."""


def shortened(value: Scalar) -> str:
    """A value as file names and rows have it: six digits."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
