"""What jobs of a preset ask a cluster for on this machine, from what they are estimated to take."""

from __future__ import annotations

from collections.abc import Iterable

from advsparse import requests
from advsparse.estimate.report import Cost
from advsparse.stages._places import Places

COPIES = 3
"""Copies that a job holds at once of the images that it attacks or judges: as they are, as they
come back, and one that is worked on."""


def asked(costs: Iterable[Cost], places: Places, host_mib: float) -> requests.Needs:
    """Memory and time by the keys of :mod:`advsparse.requests`, of jobs whose work was measured.

    host_mib: what the process took that measured: the library, a network, a lot of images. Jobs
    that hold all of their images ask for these besides.
    """
    most: dict[str, tuple[float, float]] = {}
    for one in costs:
        if one.unmeasured or one.at_least or not one.seconds:
            continue
        key = requests.key(places.name(one.work.job).split("/"))
        seconds, mib = most.get(key, (0.0, 0.0))
        held = host_mib + COPIES * one.work.held_mib
        most[key] = max(seconds, one.seconds), max(mib, held)
    return {key: requests.with_margin(*needs) for key, needs in most.items()}
