"""``python -m benchmarks [word ...]``: measure, keep the data, and write the page.

The words choose among the benchmarks, by what is in their titles; none means all. What is not
measured anew keeps its place in docs/benchmarks.json, with the machine and versions that it was
measured with.
"""

from __future__ import annotations

import argparse
import datetime
import json
import logging
from pathlib import Path

import torch

from advsparse.allocator import keep_freed_memory
from advsparse.provenance import commit, machine
from benchmarks import (
    certificates,
    coders,
    convlista,
    convolutional,
    defenses,
    dict_attack,
    page,
    passes,
    patches,
    scada,
    slices,
)
from benchmarks.attacks import comparisons
from benchmarks.equal_cost import section as equal_cost
from benchmarks.equal_cost.measuring import NORMS
from benchmarks.measure import as_data, measure
from benchmarks.peers import versions
from benchmarks.subject import subject

THREADS = 2

logger = logging.getLogger("benchmarks")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("words", nargs="*", help="measure only what has one of these in its title")
    parser.add_argument("--mnist", type=Path, help="an .npz file, for attacks at equal cost")
    parser.add_argument(
        "--norms", nargs="+", default=[], choices=NORMS, help="of attacks at equal cost these alone"
    )
    given = parser.parse_args()
    words = [word.lower() for word in given.words]
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s")
    logger.setLevel(logging.INFO)
    torch.set_num_threads(THREADS)
    keep_freed_memory()

    def wanted(title: str) -> bool:
        return not words or any(word in title.lower() for word in words)

    data = json.loads(page.DATA.read_text()) if page.DATA.exists() else {}
    found = {}
    for alone in (scada, passes, dict_attack, convlista, slices, defenses):
        if wanted(alone.TITLE):
            found[alone.TITLE] = alone.measure()
    if wanted(equal_cost.TITLE):
        before = data.get(equal_cost.TITLE, {})
        found[equal_cost.TITLE] = equal_cost.measure(given.mnist, given.norms, before)
    on = subject()
    for comparison in comparisons(on):
        if wanted(comparison.title):
            found[comparison.title] = as_data(comparison, measure(comparison, on))
    for module in (coders, patches, convolutional, certificates):
        for comparison in module.comparisons():
            if wanted(comparison.title):
                found[comparison.title] = coders.measure(comparison)
    if not found:
        parser.error(f"no benchmark has {' or '.join(words)} in its title")
    origin = {
        "measured": datetime.date.today().isoformat(),
        "commit": commit()["commit"],
        "machine": machine()["processor"],
        "threads": THREADS,
        "versions": {"torch": torch.__version__} | versions(),
    }
    data |= {
        title: measured | {"origin": origin | measured.get("origin", {})}
        for title, measured in found.items()
    }
    page.DATA.write_text(json.dumps(data, indent=1) + "\n")
    page.PAGE.write_text(page.render(data))
    print(f"written: {page.PAGE.relative_to(page.ROOT)}")


if __name__ == "__main__":
    main()
