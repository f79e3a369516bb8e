"""Train one classifier, or give it the weights of a file, or put a defence to those of another."""

import hashlib
import importlib
import json
from pathlib import Path

import numpy as np

from advsparse import registry
from advsparse.artifacts import Chosen, Slices, read_arrays, write_tensors
from advsparse.coding._io import description, load_coder
from advsparse.data._io import load_described
from advsparse.data._pixels import channel_statistics
from advsparse.data._selection import choose
from advsparse.errors import ArchitectureError
from advsparse.jobs import job
from advsparse.models._adversarial import Adversarial
from advsparse.models._examples import Joined, placed
from advsparse.models._io import network_of, network_weights, with_defense
from advsparse.models._training import Training, labelled, train_on
from advsparse.models._weights import WeightsFile, give
from advsparse.settings import from_plain

with job(snakemake, "classifier") as this:
    this.prepare_torch()
    given, settings = snakemake.input, this.settings
    data, source = load_described(given.dataset)
    x_train, y_train = data.x_train, data.y_train[:]
    shape, classes = x_train.shape[1:], len(data.classes)
    chosen = settings.get("images")
    if chosen:
        index = choose(len(y_train), **chosen)
        x_train, y_train = Chosen(x_train, index), y_train[index]
    described = {"shape": list(shape), "classes": classes}
    trained_on, learned, takes = [source.payload_sha256], {}, shape
    if path := given.get("defense"):
        defenses = importlib.import_module("advsparse.defenses._io")
        defense, learned, its_metadata = defenses.load_defense(path)
        described["defense"] = defenses.description(
            settings["defense"], its_metadata, settings["seed"]
        )
        trained_on.append(its_metadata.payload_sha256)
        takes = defenses.taken(defense, shape)
    checkpoint = Path(snakemake.params.checkpoint)
    if path := given.get("network"):
        tensors, its_metadata = network_weights(path)
        network = network_of(its_metadata)
        if tuple(network["shape"]) != tuple(takes):
            raise ArchitectureError(
                f"{settings['defense']} gives images of shape {tuple(takes)}, and {path} takes "
                f"{tuple(network['shape'])}: train a network behind the defence"
            )
    else:
        network = {"architecture": settings["architecture"], "shape": list(takes)}
        coder = None
        if path := given.get("coder"):
            coder, its_metadata = load_coder(path)
            network["coder"] = description(its_metadata)
            trained_on.append(its_metadata.payload_sha256)
        if path := given.get("transformed"):
            stored = Slices(path, stage="transformed")
            x_train = stored["x_train"]
            if chosen:
                # Of those that were chosen for it, the first come first; else all are there.
                some = "images" in stored.metadata.params
                x_train = Chosen(x_train, np.arange(len(index)) if some else index)
            trained_on.append(stored.metadata.payload_sha256)
        architecture = registry.from_spec("models", settings["architecture"])
        model = architecture.build(tuple(takes), classes, settings["seed"], coder)
        behind = None
        if "defense" in described and settings.get("training", {}).get("adversarial"):
            # While it is trained, images are attacked, not what the defence makes of them.
            behind = defenses.trained_behind(
                defense, model, learned, seed=settings["seed"], device=this.device
            )
        weights, start = settings.get("weights"), given.get("start")
        if weights is not None:
            file = WeightsFile(**weights)
            give(model, file.read(Path(settings["directory"])), file.path)
        elif start is not None:
            tensors, its_metadata = network_weights(start)
            give(model, tensors, start)
            trained_on.append(its_metadata.payload_sha256)
        else:
            seen = x_train if behind is None else defenses.seen_by(behind, x_train, this.device)
            model.normalise.set_statistics(*channel_statistics(seen))
        model.to(this.device)
        if weights is None:
            told = dict(settings["training"])
            adversarial = Adversarial.of(told.pop("adversarial", None))
            training = from_plain(Training, told)
            x, y = placed(x_train, this.device), placed(y_train, this.device)
            if path := given.get("adversarial_set"):
                made, its_metadata = read_arrays(path, stage="attack")
                trained_on.append(its_metadata.payload_sha256)
                x = Joined(x, placed(made["x_adv"], this.device))
                y = placed(np.concatenate([y_train, made["label"]]), this.device)
            identity = json.dumps([this.code, settings, this.device, trained_on, network])
            train_on(
                labelled(training, x, y, adversarial=adversarial, device=this.device),
                training,
                model if behind is None else behind,
                seed=settings["seed"],
                checkpoint=checkpoint,
                identity=hashlib.sha256(identity.encode()).hexdigest(),
            )
        tensors = model.cpu().state_dict()
    if "defense" in described:
        described["network"] = network
        tensors = with_defense(tensors, learned)
    elif "coder" in network:
        described["coder"] = network["coder"]
    write_tensors(snakemake.output[0], tensors, this.metadata(**described))
    checkpoint.unlink(missing_ok=True)
