"""The classifier stage of the pipeline: artifacts in, a classifier's tensors out."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advsparse import registry
from advsparse.artifacts import Chosen, Rows, Slices, read_arrays
from advsparse.coding._io import description, load_coder
from advsparse.data._io import load_described
from advsparse.data._pixels import channel_statistics
from advsparse.data._selection import choose
from advsparse.errors import ArchitectureError
from advsparse.jobs import Job
from advsparse.lazy import torch
from advsparse.models._adversarial import Adversarial
from advsparse.models._examples import Joined, placed
from advsparse.models._io import network_of, network_weights, with_defense
from advsparse.models._training import Training, labelled, train_on
from advsparse.models._weights import WeightsFile, give
from advsparse.settings import from_plain

Made = tuple[Mapping[str, "torch.Tensor"], dict[str, Any]]
"""The tensors of a network, and what it takes to build it again."""


class ClassifierStage:
    """A classifier, as a job's settings name it, and the artifacts that it is made of, by the names
    that the stage declares.

    checkpoint: what an interrupted training is resumed from.
    """

    def __init__(self, job: Job, inputs: Mapping[str, str], checkpoint: Path) -> None:
        self.job, self.inputs, self.checkpoint = job, inputs, checkpoint
        self.settings = settings = job.settings
        self.data, source = load_described(inputs["dataset"])
        self.classes, self.shape = len(self.data.classes), self.data.x_train.shape[1:]
        self.trained_on, self.defense = [source.payload_sha256], None
        if path := inputs.get("defense"):
            # By name: an edit of it is to rerun no classifier without a defence.
            self.defenses = importlib.import_module("advsparse.defenses._io")
            self.defense, self.learned, metadata = self.defenses.load_defense(path)
            self.trained_on.append(metadata.payload_sha256)
            self.described = self.defenses.description(
                settings["defense"], metadata, settings["seed"]
            )

    def made(self) -> Made:
        """The tensors of the classifier's artifact, and what to note beside them."""
        tensors, network = self._of_another() if "network" in self.inputs else self._own()
        noted = {"shape": list(self.shape), "classes": self.classes}
        if self.defense is not None:
            noted |= {"defense": self.described, "network": network}
            return with_defense(tensors, self.learned), noted
        return tensors, noted | ({"coder": network["coder"]} if "coder" in network else {})

    def _takes(self) -> tuple[int, ...]:
        """The shape of what the network takes."""
        if self.defense is None:
            return tuple(self.shape)
        return tuple(self.defenses.taken(self.defense, self.shape))

    def _of_another(self) -> Made:
        """The network of another classifier, as it is, behind the defence."""
        path = self.inputs["network"]
        tensors, metadata = network_weights(path)
        network, takes = network_of(metadata), self._takes()
        if tuple(network["shape"]) != takes:
            raise ArchitectureError(
                f"{self.settings['defense']} gives images of shape {takes}, and {path} takes "
                f"{tuple(network['shape'])}: train a network behind the defence"
            )
        return tensors, network

    def _own(self) -> Made:
        """A network of its own, given the weights of a file or trained."""
        settings, takes = self.settings, self._takes()
        network: dict[str, Any] = {"architecture": settings["architecture"], "shape": list(takes)}
        coder = None
        if path := self.inputs.get("coder"):
            coder, metadata = load_coder(path)
            network["coder"] = description(metadata)
            self.trained_on.append(metadata.payload_sha256)
        architecture = registry.from_spec("models", settings["architecture"])
        model = architecture.build(takes, self.classes, settings["seed"], coder)
        if weights := settings.get("weights"):
            file = WeightsFile(**weights)
            give(model, file.read(Path(settings["directory"])), file.path)
        else:
            self._train(model, network)
        return model.cpu().state_dict(), network

    def _train(self, model: torch.nn.Module, network: Mapping[str, Any]) -> None:
        device, settings = self.job.device, self.settings
        told = dict(settings["training"])
        adversarial = Adversarial.of(told.pop("adversarial", None))
        training = from_plain(Training, told)
        (x_train, y_train), behind = self._images(), None
        if self.defense is not None and adversarial:
            # While it is trained, images are attacked, not what the defence makes of them.
            behind = self.defenses.trained_behind(
                self.defense, model, self.learned, seed=settings["seed"], device=device
            )
        if path := self.inputs.get("start"):
            tensors, metadata = network_weights(path)
            give(model, tensors, path)
            self.trained_on.append(metadata.payload_sha256)
        else:
            seen = x_train if behind is None else self.defenses.seen_by(behind, x_train, device)
            model.normalise.set_statistics(*channel_statistics(seen))
        model.to(device)
        x, y = placed(x_train, device), placed(y_train, device)
        if path := self.inputs.get("adversarial_set"):
            arrays, metadata = read_arrays(path, stage="attack")
            self.trained_on.append(metadata.payload_sha256)
            x = Joined(x, placed(arrays["x_adv"], device))
            y = placed(np.concatenate([y_train, arrays["label"]]), device)
        identity = json.dumps([self.job.code, settings, device, self.trained_on, network])
        train_on(
            labelled(training, x, y, adversarial=adversarial, device=device),
            training,
            model if behind is None else behind,
            seed=settings["seed"],
            checkpoint=self.checkpoint,
            identity=hashlib.sha256(identity.encode()).hexdigest(),
        )

    def _images(self) -> tuple[Rows, np.ndarray]:
        """The training images, as a defence in front of the network has transformed them, and their
        labels: all of them, or those that were chosen."""
        images: Rows = self.data.x_train
        labels, chosen = self.data.y_train[:], self.settings.get("images")
        index = choose(len(labels), **chosen) if chosen else None
        if path := self.inputs.get("transformed"):
            stored = Slices(path, stage="transformed")
            self.trained_on.append(stored.metadata.payload_sha256)
            images = stored["x_train"]
            if index is not None and "images" in stored.metadata.params:
                # Those that were chosen alone were transformed: the first of them come first.
                return Chosen(images, np.arange(len(index))), labels[index]
        return (images, labels) if index is None else (Chosen(images, index), labels[index])
