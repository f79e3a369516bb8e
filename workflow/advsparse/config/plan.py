"""What a validated configuration means: lookups that several stages share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from advsparse import registry
from advsparse.seeding import stable_seed

F = TypeVar("F", bound=Callable[..., Any])


class Plan:
    """A configuration, and what follows from it for the jobs of its papers."""

    def __init__(self, configuration: Any, repetition: int = 0) -> None:
        self.configuration = configuration
        """As :class:`advsparse.config.model.Configuration` has it."""
        self.repetition = repetition
        """The one that seeds are of."""
        self.results = f"results/{configuration.preset}"
        self.remembered: dict[Any, Any] = {}
        """What functions of a plan have computed: see :func:`once_per_plan`."""
        self._repeated = {repetition: self}

    def of(self, repetition: int) -> Plan:
        """The same plan with the seeds of another repetition: all that is random is drawn anew."""
        if repetition not in self._repeated:
            self._repeated[repetition] = Plan(self.configuration, repetition)
            self._repeated[repetition]._repeated = self._repeated
        return self._repeated[repetition]

    def repetitions(self, paper: str, name: str = "") -> int:
        """How often something of a paper is made; ``name``: of what has a number of its own."""
        return self.paper(paper).repetitions.get(name, self.configuration.repetitions)

    def paper(self, key: str) -> Any:
        """The settings of a paper, a section for each attribute."""
        return self.configuration.settings[key]

    def playing(self, role: str) -> str:
        """The dataset that plays a role."""
        return self.configuration.roles[role]

    def dataset_of(self, paper: str, model: str) -> str:
        """The dataset that plays the role which a paper's classifier is trained on."""
        return self.playing(self.paper(paper).models[model].dataset)

    @property
    def data_directory(self) -> Path:
        """Where relative paths of datasets start."""
        return Path(self.configuration.data.directory)

    def seed(self, *parts: Any) -> int:
        """The seed of what is random about a job, from what it is called and never from order."""
        return stable_seed(self.configuration.seed, *parts, self.repetition)

    def origin(self, role: str) -> dict[str, Any]:
        """Which data plays a role, for figures and tables to say."""
        dataset = self.playing(role)
        source = self.configuration.datasets[dataset]
        return {
            "preset": self.configuration.preset,
            "dataset": dataset,
            "role": role,
            "stand_in": type(source).stand_in,
            "note": source.note,
        }

    def described(self) -> dict[str, Any]:
        """The merged configuration with all defaults, as far as the selected papers go."""
        configuration = self.configuration
        described = {
            name: getattr(configuration, name)
            for name in ("preset", "papers", "device", "threads", "seed", "repetitions", "roles")
        }
        described["shards"] = dataclasses.asdict(configuration.shards)
        described["data"] = dataclasses.asdict(configuration.data)
        described["datasets"] = {
            name: registry.spec_of(source) for name, source in configuration.datasets.items()
        }
        described["settings"] = {
            key: registry.plain(self.paper(key)) for key in configuration.papers
        }
        return described


def once_per_plan(function: F) -> F:
    """Have a function of a plan compute its result for the same arguments once."""

    @wraps(function)
    def remembering(plan: Plan, *arguments: Any) -> Any:
        key = (function, *arguments)
        if key not in plan.remembered:
            plan.remembered[key] = function(plan, *arguments)
        return plan.remembered[key]

    return cast(F, remembering)
