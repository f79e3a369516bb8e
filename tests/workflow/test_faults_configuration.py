"""Configurations with mistakes through snakemake itself: a message, or a plan of jobs."""

from __future__ import annotations

import pytest

from advsparse.config.loading import load
from advsparse.errors import ConfigError
from mutations import mutated_configuration


def refusal(project, seed: int) -> str | None:
    """What is said of a mutated configuration, which stands in config.yaml then."""
    path = project.path / "config.yaml"
    path.write_bytes(mutated_configuration(seed, "test"))
    try:
        load([path], workflow=project.path / "workflow")
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("refused", [True, False])
def test_a_mutated_configuration(sources, refused, monkeypatch):
    monkeypatch.chdir(sources.path)
    seeds = (seed for seed in range(1000) if bool(refusal(sources, seed)) == refused)
    for seed in [next(seeds) for _ in range(2)]:
        message = refusal(sources, seed)
        done = sources.snakemake("--dry-run", check=False)
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert bool(done.returncode) == refused, said
        assert not refused or message.splitlines()[0] in said
