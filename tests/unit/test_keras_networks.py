"""The five networks of mitro2018, as the authors' notebook prints them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from advsparse import registry
from advsparse.errors import ArchitectureError
from advsparse.models._keras import Block, EachRow, LastState, batch_norm, parameters
from advsparse.models._training import Training, train

GREY, COLOUR = (1, 28, 28), (3, 32, 32)
# As the authors' notebook prints them, and for colour images as its layers give them.
COUNTS = [
    ("mlp", {}, GREY, 1_159_578),
    ("mlp", {}, COLOUR, 2_962_522),
    ("convnet", {}, GREY, 570_730),
    ("convnet", {}, COLOUR, 964_522),
    ("autoencoder", {"decoded": 3, "activation": "sigmoid"}, GREY, 175_121),
    ("autoencoder", {}, COLOUR, 154_777),
    ("preactivated_resnet", {}, GREY, 274_218),
    ("hrnn", {}, GREY, 1_071_626),
    ("hrnn", {}, COLOUR, 1_073_674),
]
KINDS = sorted({kind for kind, *_ in COUNTS})


def build(kind, shape=GREY, seed=0, **settings):
    return registry.from_spec("models", {"kind": kind} | settings).build(shape, 10, seed)


@pytest.mark.parametrize(("kind", "settings", "shape", "count"), COUNTS)
def test_parameters_are_as_many_as_the_authors_count(kind, settings, shape, count):
    network = build(kind, shape, **settings)
    assert parameters(network) == count
    x = torch.rand(3, *shape)
    assert network.eval()(x).shape == (3, 10)


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_taken_as_they_are_and_weights_start_as_in_keras(kind):
    network = build(kind)
    network.normalise.set_statistics([0.3], [0.2])
    x = torch.rand(2, *GREY)
    assert torch.equal(network.normalise(x), x)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-3, 0.01)
        if isinstance(module, nn.Conv2d | nn.Linear):
            weight = module.weight
            assert not module.bias.any()
            fan_in = weight[0].numel()
            fan_out = weight.numel() // weight.shape[1]
            if kind == "preactivated_resnet" and isinstance(module, nn.Conv2d):
                expected = np.sqrt(2 / fan_in)
            else:
                expected = np.sqrt(2 / (fan_in + fan_out))
                limit = np.sqrt(6 / (fan_in + fan_out))
                assert weight.abs().max() <= limit
            if weight.numel() > 1000:
                assert weight.std().item() == pytest.approx(expected, rel=0.1)
    same, other = build(kind), build(kind, seed=1)
    state, again, differs = (one.state_dict() for one in (network, same, other))
    assert all(torch.equal(state[name], again[name]) for name in state)
    assert not all(torch.equal(state[name], differs[name]) for name in state)


def test_the_units_of_an_hrnn_are_read_as_a_square():
    assert build("hrnn", width=16)(torch.rand(2, *GREY)).shape == (2, 10)
    with pytest.raises(ValueError, match="width must be a square number, got 18"):
        build("hrnn", width=18)


def test_an_lstm_is_that_of_keras():
    """Its equations, gate by gate, in NumPy: one bias, which remembers at first."""
    torch.manual_seed(0)
    network = build("hrnn")
    layer = network.layers[0]
    assert isinstance(layer, EachRow)
    lstm = layer.lstm
    units = lstm.hidden_size
    bias = lstm.bias_ih_l0.detach().numpy()
    assert (bias[units : 2 * units] == 1).all() and bias.sum() == units
    assert not lstm.bias_hh_l0.any() and not lstm.bias_hh_l0.requires_grad
    recurrent = lstm.weight_hh_l0.detach().double()
    assert torch.allclose(recurrent.T @ recurrent, torch.eye(units).double(), atol=1e-5)

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    x = torch.rand(2, 1, 3, 5)
    inputs, kept = (getattr(lstm, name).detach().double().numpy() for name in (
        "weight_ih_l0", "weight_hh_l0"))  # fmt: skip
    h = c = np.zeros((2, 3, units))
    for column in x[:, 0].double().numpy().transpose(2, 0, 1):
        z = column[:, :, None] @ inputs.T + h @ kept.T + bias
        i, f, g, o = np.split(z, 4, axis=2)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    np.testing.assert_allclose(layer(x).detach().numpy(), h, atol=1e-5)


def test_channels_of_a_pixel_come_together():
    layer = EachRow(3, 4)
    x = torch.rand(2, 3, 5, 6)
    one = LastState(3, 4)
    one.load_state_dict(layer.state_dict())
    expected = torch.stack([one(x[:, :, row].transpose(1, 2)) for row in range(5)], dim=1)
    assert torch.allclose(layer(x), expected, atol=1e-6)


def test_a_shortcut_takes_what_was_not_activated():
    torch.manual_seed(0)
    block = Block(4, 4, 1).eval()
    for module in block.branch:
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(block(x), x)
    assert Block(4, 8, 2)(x).shape == (2, 8, 3, 3)
    kinds = [type(module).__name__ for module in Block(4, 8, 2).branch]
    assert kinds == ["BatchNorm2d", "ReLU", "Conv2d"] * 2


def test_what_is_decoded_has_the_images_size_and_pooling_rounds_up():
    network = build("autoencoder", decoded=3, activation="sigmoid").layers
    sides, x = [], torch.rand(1, *GREY)
    for module in network:
        x = module(x)
        if isinstance(module, nn.MaxPool2d | nn.Upsample):
            sides.append(x.shape[-1])
    assert sides == [14, 7, 4, 8, 16, 32]
    assert [type(module).__name__ for module in network[-3:]] == ["Sigmoid", "Flatten", "Linear"]


@pytest.mark.parametrize("kind", ["convnet", "autoencoder", "preactivated_resnet"])
def test_images_that_are_too_small_are_refused(kind):
    with pytest.raises(ArchitectureError, match=f"{kind} takes images of at least 28x28 pixels"):
        build(kind, (1, 27, 28))


def test_a_mini_batch_of_one_takes_running_statistics():
    """The last of an epoch may be one."""
    layer = batch_norm(5, 0)
    x = torch.randn(1, 5)
    expected = (x - layer.running_mean) / (layer.running_var + 1e-3).sqrt()
    assert torch.allclose(layer.train()(x), expected, atol=1e-6)
    assert torch.equal(layer.eval()(x), layer.train()(x))


@pytest.mark.parametrize("kind", KINDS)
def test_they_learn(kind):
    """Dark and bright images are told apart; the last mini-batch is of one."""
    torch.manual_seed(0)
    shape = (1, 8, 8) if kind == "hrnn" else GREY
    y = torch.arange(33) % 2
    x = torch.rand(33, *shape) * 0.3
    x[y == 1] += 0.6
    network = build(kind, shape)
    # Running statistics follow slowly: a hundredth a step.
    epochs = {"hrnn": 12, "preactivated_resnet": 60}.get(kind, 40)
    train(Training(epochs=epochs, batch_size=8, learning_rate=0.001), network, x, y, seed=1)
    with torch.no_grad():
        assert (network(x).argmax(1) == y).float().mean() > 0.9
