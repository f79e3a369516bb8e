"""Compute one analysis of coders and attacked images."""

import importlib
from pathlib import Path

from advsparse import registry
from advsparse.analyses._base import Attacked, Given
from advsparse.artifacts import read_arrays, write_arrays
from advsparse.coding._io import load_coder
from advsparse.coding._signals import Signals
from advsparse.data._io import load_dataset
from advsparse.jobs import job
from advsparse.lazy import torch
from advsparse.models._io import load_classifier
from advsparse.seeding import Random

with job(snakemake, "analysis") as this:
    this.prepare_torch()
    settings = this.settings
    coders = {
        Path(p).stem: load_coder(p, this.device)[0] for p in snakemake.input.get("coders", [])
    }
    attacks, classifier = {}, None
    if settings["attacks"]:
        data = load_dataset(snakemake.input.dataset)
        classifier, _ = load_classifier(snakemake.input.classifier, this.device)
    judges = [load_classifier(p, this.device)[0] for p in snakemake.input.get("judges", [])]
    for name, path in zip(settings["attacks"], snakemake.input.get("attacks", []), strict=True):
        arrays, metadata = read_arrays(path, stage="attack")
        clean = data.images(metadata.params["images"]["split"], arrays["index"])
        tensors = (clean, arrays["x_adv"], arrays["label"])
        x, x_adv, label = (torch.from_numpy(array).to(this.device) for array in tensors)
        method = metadata.params["method"]
        norm = method.get("attack", method).get("norm", "l2")
        attacks[name] = Attacked(x, x_adv, label, arrays["index"], norm)
    defenses = {}
    for name, path in zip(
        settings.get("defenses", []), snakemake.input.get("defenses", []), strict=True
    ):
        loaded = importlib.import_module("advsparse.defenses._io").load_defense(path, this.device)
        defenses[name] = loaded[:2]
    given = Given(
        Random(settings["seed"]),
        coders,
        attacks,
        classifier,
        judges,
        defenses,
        Signals(**settings["signals"]) if "signals" in settings else None,
    )
    method = registry.from_spec("analyses", settings["method"])
    write_arrays(snakemake.output[0], method.run(given), this.metadata())
