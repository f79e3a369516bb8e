"""Train one classifier, or give it the weights of a file."""

import hashlib
import json
from pathlib import Path

from advsparse import registry
from advsparse.artifacts import read_tensors, write_tensors
from advsparse.coding._io import description, load_coder
from advsparse.data._io import load_described
from advsparse.data._pixels import channel_statistics
from advsparse.jobs import job
from advsparse.models._examples import placed
from advsparse.models._training import Training, labelled, train_on
from advsparse.models._weights import WeightsFile, give
from advsparse.settings import from_plain

with job(snakemake, "classifier") as this:
    this.prepare_torch()
    data, source = load_described(snakemake.input.dataset)
    architecture = registry.from_spec("models", this.settings["architecture"])
    shape, classes = data.x_train.shape[1:], len(data.classes)
    described = {"shape": list(shape), "classes": classes}
    trained_on = [source.payload_sha256]
    coder = snakemake.input.get("coder")
    if coder:
        coder, its_metadata = load_coder(coder)
        described["coder"] = description(its_metadata)
        trained_on.append(its_metadata.payload_sha256)
    model = architecture.build(shape, classes, this.settings["seed"], coder)
    weights, start = this.settings.get("weights"), snakemake.input.get("start")
    if weights is not None:
        given = WeightsFile(**weights)
        give(model, given.read(Path(this.settings["directory"])), given.path)
    elif start is not None:
        tensors, its_metadata = read_tensors(start, stage="classifier")
        give(model, tensors, start)
        trained_on.append(its_metadata.payload_sha256)
    else:
        model.normalise.set_statistics(*channel_statistics(data.x_train))
    model.to(this.device)
    checkpoint = Path(snakemake.params.checkpoint)
    if weights is None:
        identity = json.dumps([this.code, this.settings, this.device, trained_on, described])
        training = from_plain(Training, this.settings["training"])
        columns = (placed(data.x_train, this.device), placed(data.y_train, this.device))
        train_on(
            labelled(training, *columns, device=this.device),
            training,
            model,
            seed=this.settings["seed"],
            checkpoint=checkpoint,
            identity=hashlib.sha256(identity.encode()).hexdigest(),
        )
    metadata = this.metadata(**described)
    write_tensors(snakemake.output[0], model.cpu().state_dict(), metadata)
    checkpoint.unlink(missing_ok=True)
