"""Networks that several test files share, trained once a session, and what else they share."""

from __future__ import annotations

import contextlib
import copy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from models_for_tests import SHARED, predictions, state_of

from advsparse.config import loading
from advsparse.data._pixels import channel_statistics
from advsparse.data.photos import Photos
from advsparse.models._training import Training, train
from advsparse.models.lenet import LeNet
from config_keys import files_read_once

# The networks are small: threads would spend their time waiting for each other.
torch.set_num_threads(1)


@dataclass(frozen=True)
class Trained:
    """A classifier, and test images that it classifies correctly, classes mixed."""

    model: torch.nn.Module
    x: torch.Tensor
    y: torch.Tensor

    def double(self) -> Trained:
        return Trained(copy.deepcopy(self.model).double(), self.x.double(), self.y)


@contextlib.contextmanager
def double_precision():
    """What torch makes within is of float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.fixture(scope="session")
def lenet() -> Trained:
    """A LeNet trained for seconds on patches of photographs, 3 x 32 x 32.

    In double precision, from its first weights on: processors round float32 differently, training
    makes another network of that, and a test whose margin is narrow passes on one of them only.
    """
    splits = Photos(train_per_class=120, test_per_class=40).load(Path())
    x, y = torch.from_numpy(splits.images("train")), torch.from_numpy(splits.labels("train"))
    with double_precision():
        model = LeNet().build((3, 32, 32), 10, seed=0)
        model.normalise.set_statistics(*channel_statistics(splits.x_train))
        train(Training(epochs=5, batch_size=32, learning_rate=0.002), model, x.double(), y, seed=0)
    model.float()
    x, y = torch.from_numpy(splits.images("test")), torch.from_numpy(splits.labels("test"))
    mixed = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    correct = mixed[predictions(model, x[mixed]) == y[mixed]]
    assert len(correct) >= 150, "the network has not learned: what follows would say nothing"
    return Trained(model, x[correct], y[correct])


@pytest.fixture(scope="session", autouse=True)
def shipped_files_are_read_once():
    """Else most of the time that tests take of configurations goes into reading YAML."""
    with files_read_once():
        yield


@pytest.fixture(autouse=True)
def nothing_shared_changes():
    """A test that changes what others use makes them depend on their order."""
    yield
    for index, (shared, before) in enumerate(SHARED):
        SHARED[index] = shared, (now := state_of(shared))
        assert now == before, "this test has changed the network, images or labels of all tests"


@pytest.fixture
def unplayed(monkeypatch):
    """From the name of a role: no preset says any more which dataset plays it."""

    def unplayed(role: str) -> None:
        read = loading.read_yaml

        def without(path):
            tree = copy.deepcopy(read(path))
            if isinstance(roles := tree.values.get("roles"), dict):
                roles.pop(role, None)
            return tree

        monkeypatch.setattr(loading, "read_yaml", without)

    return unplayed
