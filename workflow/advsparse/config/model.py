"""The typed configuration: source of the defaults, the JSON schema and the documentation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from advsparse.config.assembled import Key, assembled, by_name
from advsparse.config.names import Name, Role
from advsparse.registry import Plugin
from advsparse.settings import NonNegativeInt, PositiveInt, settings
from advsparse.stages._parts import Divided
from advsparse.stages._registry import sections, stages


@settings
class Data:
    """Where data lies."""

    directory: str = "data"
    """Where relative paths of datasets start, and where published datasets are fetched to; itself
    relative to the project's root."""

    mirrors: list[Annotated[str, Field(pattern="^https?://")]] = Field(default_factory=list)
    """Addresses of copies of a data directory, which ``snakemake fetch`` tries before those that it
    knows: a file is at <address>/<kind>/<file>."""


Paper = assembled(
    "Paper",
    "What a paper asks for: its networks, attacks, experiments, figures and tables.",
    {
        "title": Key(str, "Authors, title and year."),
        "repetitions": Key(
            dict[Name, PositiveInt],
            """How often experiments and analyses are made, by their names, where not as often as
            the configuration's ``repetitions`` says.""",
            dict,
        ),
    }
    | {
        name: Key(by_name(section.entry), section.says, *([] if section.required else [dict]))
        for name, section in sections().items()
    },
)


Shards = assembled(
    "Shards",
    "How many jobs, side by side, one is divided into.",
    {
        name: Key(PositiveInt, stage.divides, 1)
        for name, stage in sorted(stages().items())
        if isinstance(stage, Divided)
    },
)


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
    repetitions: PositiveInt = 1
    """How often everything random is drawn and made anew: networks, the images that are chosen,
    dictionaries, noise. Verdicts on claims speak of training anew from three on."""
    shards: Shards = Shards()  # type: ignore[valid-type]
    """How many jobs, side by side, those that work image by image are divided into: what comes out
    is the same."""
    data: Data = Data()
    """Where data lies."""
    datasets: dict[Name, Annotated[Any, Plugin("data")]]
    """Datasets by name: the preset's, and your own."""
    roles: dict[Role, Name]
    """Which dataset plays which of the papers' datasets."""
    settings: dict[Name, Paper]  # type: ignore[valid-type] # it is put together at run time
    """The papers' settings, as in workflow/papers/<key>/paper.yaml, with what the preset and you
    change in them."""
