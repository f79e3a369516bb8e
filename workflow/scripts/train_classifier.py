"""Train one classifier."""

import hashlib
import json
from pathlib import Path

from advsparse import registry
from advsparse.artifacts import read_arrays, write_tensors
from advsparse.coding._io import description, load_coder
from advsparse.data._io import load_dataset
from advsparse.jobs import job
from advsparse.lazy import torch
from advsparse.models._training import Training, train

with job(snakemake, "classifier") as this:
    this.prepare_torch()
    data = load_dataset(snakemake.input.dataset)
    architecture = registry.from_spec("models", this.settings["architecture"])
    shape, classes = data.x_train.shape[1:], len(data.classes)
    described = {"shape": list(shape), "classes": classes}
    _, source = read_arrays(snakemake.input.dataset)
    trained_on = [source.payload_sha256]
    coder = snakemake.input.get("coder")
    if coder:
        coder, its_metadata = load_coder(coder)
        described["coder"] = description(its_metadata)
        trained_on.append(its_metadata.payload_sha256)
    model = architecture.build(shape, classes, this.settings["seed"], coder)
    x, y = torch.from_numpy(data.images("train")), torch.from_numpy(data.y_train)
    model.normalise.set_statistics(x)
    model.to(this.device)
    identity = json.dumps([this.code, this.settings, this.device, trained_on, described])
    train(
        Training(**this.settings["training"]),
        model,
        x.to(this.device),
        y.to(this.device),
        seed=this.settings["seed"],
        checkpoint=Path(snakemake.params.checkpoint),
        identity=hashlib.sha256(identity.encode()).hexdigest(),
    )
    metadata = this.metadata(**described)
    write_tensors(snakemake.output[0], model.cpu().state_dict(), metadata)
    Path(snakemake.params.checkpoint).unlink(missing_ok=True)
