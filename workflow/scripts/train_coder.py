"""Train one sparse coder, on images or on generated signals."""

import hashlib
import json
from pathlib import Path

from advsparse import registry
from advsparse.artifacts import write_tensors
from advsparse.coding._signals import Signals
from advsparse.coding._training import GeneratedSignals, UnlabelledSignals
from advsparse.data._io import load_described
from advsparse.jobs import job
from advsparse.models._examples import placed
from advsparse.models._training import Training, train_on
from advsparse.settings import from_plain

with job(snakemake, "coder") as this:
    this.prepare_torch()
    if "signals" in this.settings:
        signals = Signals(**this.settings["signals"])
        dictionary = signals.dictionary(this.settings["dictionary_seed"])
        shape, trained_on = (signals.size,), None
        examples = GeneratedSignals(signals, dictionary.to(this.device))
    else:
        data, source = load_described(snakemake.input.dataset)
        shape, dictionary, trained_on = data.x_train.shape[1:], None, source.payload_sha256
        examples = UnlabelledSignals(placed(data.x_train, this.device), device=this.device)
    method = registry.from_spec("coding", this.settings["method"])
    network = method.build(shape, this.settings["seed"], dictionary).to(this.device)
    identity = json.dumps([this.code, this.settings, this.device, trained_on, shape])
    train_on(
        examples,
        from_plain(Training, this.settings["training"]),
        network,
        seed=this.settings["seed"],
        checkpoint=Path(snakemake.params.checkpoint),
        identity=hashlib.sha256(identity.encode()).hexdigest(),
    )
    write_tensors(snakemake.output[0], network.cpu().state_dict(), this.metadata(shape=list(shape)))
    Path(snakemake.params.checkpoint).unlink(missing_ok=True)
