"""``python -m benchmarks.equal_cost FILE``: the attacks' distances, one run a line of JSON.

It runs in the folder of the published libraries (``make install-attackbench``), which
``make bench`` sees to.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

import torch

from benchmarks.equal_cost.measuring import IMAGES, NORMS, SEEDS, runs
from benchmarks.equal_cost.networks import networks


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equal_cost", description=__doc__)
    parser.add_argument("file", type=Path, help="what it is written to")
    parser.add_argument("--mnist", type=Path, help="an .npz file; without it, digits stand in")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--first", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=NORMS)
    parser.add_argument("--networks", nargs="+", choices=["plain", "pgd"], default=["plain", "pgd"])
    parser.add_argument("--libraries", nargs="+", help="these alone; none means all")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    logging.getLogger("benchmarks").setLevel(logging.INFO)
    logging.getLogger("advsparse.attacks").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with chosen.file.open("w") as out:

        def write(one: dict) -> None:
            out.write(json.dumps(one) + "\n")
            out.flush()

        made = []
        for name in chosen.networks:
            made.append(networks(chosen.mnist)[name]())
            write({"network": name, "described": made[-1].said})
        write({"trained": time.process_time()})
        for seed in range(chosen.first, chosen.first + chosen.seeds):
            for network in made:
                for norm in chosen.norms:
                    for one in runs(network, norm, chosen.images, seed, chosen.libraries):
                        write(one)
        write({"cpu": time.process_time()})


if __name__ == "__main__":
    main()
