"""ConvLISTA: what it computes, and that it learns a dictionary."""

import pytest
import torch
from torch.nn import functional

from advsparse.coding._ssim import ssim
from advsparse.coding._training import UnlabelledSignals
from advsparse.coding.convlista import ConvLISTA
from advsparse.data.digits import Digits
from advsparse.models._training import Training, train_on

SHAPE = (3, 8, 8)
SMALL = ConvLISTA(filters=5, size=3, threshold=0.02)


def images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def test_network_against_its_definition():
    network = SMALL.build(SHAPE, seed=1)
    threshold = torch.tensor([0.0, 0.01, 0.02, 0.1, -0.3])
    with torch.no_grad():
        network.threshold.copy_(threshold.reshape(5, 1, 1))
    x = images(4, *SHAPE)

    def shrunk(code):
        parts = zip(code.unbind(1), threshold.tolist(), strict=True)
        return torch.stack([functional.softshrink(part, max(t, 0)) for part, t in parts], 1)

    def analysed(x):
        return functional.conv2d(x, network.analysis, padding=1)

    def predicted(code):
        return functional.conv_transpose2d(code, network.prediction, padding=1)

    with torch.no_grad():
        code = shrunk(analysed(x))
        for _ in range(3):
            code = shrunk(code + analysed(x - predicted(code)))
        torch.testing.assert_close(network(x), code, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(network.encode(x), network(x))
        found = functional.conv_transpose2d(code, network.decoder, padding=1)
        torch.testing.assert_close(network.decode(network(x)), found, rtol=1e-4, atol=1e-6)


def test_without_iterations_the_code_is_the_first_one():
    x = images(2, *SHAPE)
    network = ConvLISTA(filters=5, size=3, iterations=0, threshold=0).build(SHAPE)
    torch.testing.assert_close(network(x), functional.conv2d(x, network.analysis, padding=1))


def test_maps_of_the_network_are_linear():
    network = SMALL.build(SHAPE)
    code = network(images(2, *SHAPE))
    for factor in (0.0, -3.0):
        torch.testing.assert_close(network.decode(factor * code), factor * network.decode(code))
    assert network(torch.zeros(1, *SHAPE)).abs().max() == 0


def test_start_is_that_of_the_authors():
    network = ConvLISTA().build((3, 32, 32))
    assert {name: tuple(value.shape) for name, value in network.named_parameters()} == {
        "analysis": (64, 3, 7, 7),
        "prediction": (64, 3, 7, 7),
        "decoder": (64, 3, 7, 7),
        "threshold": (64, 1, 1),
    }
    assert (network.threshold == 0.1).all()
    # torch.nn.Conv2d draws weights uniformly up to 1 / sqrt(inputs).
    for weight, inputs in ((network.analysis, 3), (network.prediction, 64), (network.decoder, 64)):
        bound = (inputs * 49) ** -0.5
        assert 0.99 * bound < weight.detach().abs().max() <= bound
    assert not torch.equal(network.prediction, network.decoder)


def test_weights_come_from_the_seed_alone():
    before = torch.get_rng_state()
    one, again, other = (SMALL.build(SHAPE, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.decoder, again.decoder)
    assert not torch.equal(one.decoder, other.decoder)


def test_loss_is_that_of_its_definition():
    network = SMALL.build(SHAPE)
    x = images(4, *SHAPE)
    with torch.no_grad():
        found = network.decode(network(x))
        expected = sum(
            0.8 * (1 - ssim(one[None], other[None], 3)) + 0.2 * (one - other).abs().mean()
            for one, other in zip(x, found, strict=True)
        )
        torch.testing.assert_close(network.loss(x, None), expected[0])


def test_gradients():
    network = ConvLISTA(filters=3, size=3, iterations=2, threshold=0.01).build((1, 6, 6)).double()
    x = images(2, 1, 6, 6).double().requires_grad_()
    before = x.detach().clone()
    assert torch.autograd.gradcheck(network.encode, (x,))

    def loss(*values):
        named = dict(zip(dict(network.named_parameters()), values, strict=True))
        return torch.func.functional_call(network, named, (x.detach(),)).square().sum()

    encoding = tuple(p.detach().clone().requires_grad_() for p in network.parameters())
    assert torch.autograd.gradcheck(loss, encoding)
    network.loss(x, None).backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())
    assert torch.equal(x, before)


def test_images_do_not_depend_on_each_other():
    network = SMALL.build(SHAPE)
    x = images(6, *SHAPE)
    with torch.no_grad():
        alone = torch.cat([network(one[None]) for one in x])
        torch.testing.assert_close(network(x), alone, rtol=1e-5, atol=1e-6)


def test_training_learns_to_reconstruct_digits(tmp_path):
    data = Digits(train_per_class=20).load(tmp_path)
    x = torch.from_numpy(data.images("train"))
    network = ConvLISTA(filters=16, size=5).build(tuple(x.shape[1:]))

    def error():
        with torch.no_grad():
            found = network.decode(network(x))
        return float((found - x).square().sum() / x.square().sum())

    assert error() > 0.1
    training = Training(epochs=6, batch_size=16, learning_rate=0.003)
    train_on(UnlabelledSignals(x), training, network, seed=0)
    assert error() < 0.05  # 4 is that of the negatives


@pytest.mark.parametrize("settings", [{"size": 4}, {"ssim_window": 2}])
def test_even_sizes_are_refused(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be odd"):
        ConvLISTA(**settings)


@pytest.mark.parametrize("shape", [(250,), (3, 2, 8)])
def test_signals_that_are_no_images_are_refused(shape):
    with pytest.raises(ValueError, match="convlista codes images"):
        ConvLISTA().build(shape)


def test_dictionary_is_refused():
    with pytest.raises(ValueError, match="learns its dictionary"):
        ConvLISTA().build(SHAPE, dictionary=torch.zeros(3, 4))
