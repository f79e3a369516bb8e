"""Which attacks are measured as a whole: one of each kind, on the network that it attacks."""

from __future__ import annotations

from typing import Any

from advsparse import registry
from advsparse.config.plan import Plan
from advsparse.estimate.passes import Counter
from advsparse.estimate.work import Counting
from advsparse.stages._points import points


def wholes(plan: Plan, papers: list[str]) -> list[dict[str, Any]]:
    """The settings and the network of the first attack of each kind on single images, where no
    defence is in between."""
    counting, found = Counting(plan, papers, Counter()), {}
    for paper in papers:
        for point in points(plan, paper).values():
            model = plan.paper(paper).models[point.entry.model]
            if point.kind in found or point.method.universal or model.defense:
                continue
            network = counting.network(paper, point.entry.model)
            spec = registry.spec_of(point.method)
            found[point.kind] = {"method": spec, "network": network}
    return [*found.values()]
