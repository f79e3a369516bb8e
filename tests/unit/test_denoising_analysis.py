"""What defences make of attacked images, activation maps, and the quality of images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from scipy.stats import ks_2samp
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from advsparse.analyses import _quality
from advsparse.analyses._base import Attacked, Given
from advsparse.analyses.activation_maps import ActivationMaps, activation_map
from advsparse.analyses.denoising import BINS, Denoising
from advsparse.defenses._denoising import Denoiser
from advsparse.defenses.denoising_dictionary import DenoisingDictionary
from advsparse.defenses.median_filter import MedianFilter
from advsparse.defenses.tvm import TVM
from advsparse.errors import AnalysisError
from advsparse.models._convolutions import last_convolution
from advsparse.models.convnet import ConvNet
from advsparse.models.mlp import MLP
from advsparse.models.preactivated_resnet import PreactivatedResNet
from advsparse.seeding import Random


def images(count, shape=(1, 28, 28), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *shape, generator=generator)


@pytest.fixture(scope="module")
def given():
    """A network, two attacks on it and three defences."""
    x = images(6)
    network = MLP().build((1, 28, 28), 10, 1).eval()
    with torch.no_grad():
        label = network(x).argmax(1)
    spread = x + 0.3 * torch.sign(images(6, seed=1) - 0.5)
    few = x.flatten(1).clone()
    few[:4, 100:130] = 1.0  # two images stay as they are
    index = np.arange(10, 16)
    attacks = {
        "fgsm/eps=0.3": Attacked(x, spread, label, index, "linf"),
        "jsma": Attacked(x, few.reshape(x.shape), label, index, "l0"),
    }
    denoiser = DenoisingDictionary(patch=5, atoms=20, patches=200, passes=1)
    learned = denoiser.fit(images(20, seed=2), torch.zeros(20))
    defenses = {
        "denoiser": (denoiser, learned),
        "median": (MedianFilter(), {}),
        "tvm": (TVM(iterations=3), {}),
    }
    return Given(Random(5), attacks=attacks, classifier=network, defenses=defenses)


@pytest.fixture(scope="module")
def found(given):
    return Denoising(sparsities=[1, 4], shown=2).run(given)


def test_each_source_meets_each_defence_and_controls_meet_none(given, found):
    controls = [f"control:{name}" for name in given.attacks]
    assert found["sources"].tolist() == ["clean", *given.attacks, *controls]
    transforms = ["none", "denoiser", "denoiser:1", "denoiser:4", "median", "tvm"]
    assert found["transforms"].tolist() == transforms
    for source in ("clean", *given.attacks):
        for name in transforms:
            assert found[f"prediction:{source}:{name}"].shape == (6,)
    assert "prediction:control:jsma:none" in found
    assert "prediction:control:jsma:median" not in found
    assert found["index"].tolist() == list(range(10, 16))


def test_predictions_and_quality_are_those_of_what_the_defence_returns(given, found):
    attacked = given.attacks["fgsm/eps=0.3"]
    dictionary = given.defenses["denoiser"][1]["dictionary"]
    for name, t in (
        ("none", lambda x: x),
        ("denoiser", Denoiser(dictionary, 5, 2)),
        ("denoiser:4", Denoiser(dictionary, 5, 4)),
        ("median", MedianFilter().transformation({})),
        ("tvm", lambda x: TVM(iterations=3).transformation({})(x, Random(5).part("defense"))),
    ):
        z = t(attacked.x_adv)
        with torch.no_grad():
            probability = given.classifier(z).softmax(1)
        key = f"fgsm/eps=0.3:{name}"
        assert found[f"prediction:{key}"].tolist() == probability.argmax(1).tolist()
        torch.testing.assert_close(
            torch.from_numpy(found[f"confidence:{key}"]), probability.amax(1)
        )
        assert np.allclose(found[f"psnr:{key}"], _quality.psnr(attacked.x.numpy(), z.numpy()))
        assert np.allclose(found[f"ssim:{key}"], _quality.ssim(attacked.x.numpy(), z.numpy()))
    shown = found["shown:fgsm/eps=0.3:denoised"]
    torch.testing.assert_close(
        torch.from_numpy(shown), Denoiser(dictionary, 5, 2)(attacked.x_adv)[:2]
    )
    assert np.array_equal(found["shown:jsma:attacked"], given.attacks["jsma"].x_adv[:2].numpy())


def test_controls_change_as_much_and_ask_nothing(given):
    from advsparse.analyses.denoising import _control

    for name, attacked in given.attacks.items():
        control = _control(attacked, Random(5))
        moved, own = control - attacked.x, attacked.perturbation
        if attacked.norm == "l0":
            counts = (own != 0).flatten(1).sum(1)
            assert torch.equal((moved != 0).flatten(1).sum(1), counts) and counts[4] == 0
            assert (control[moved != 0] == 1).all()
        else:
            size = own.flatten(1).abs().amax(1)
            torch.testing.assert_close(moved.flatten(1).abs().amin(1), size, rtol=0, atol=1e-6)
            assert abs(float(moved.sign().mean())) < 0.05
        assert torch.equal(_control(attacked, Random(5)), control), name
        assert not torch.equal(_control(attacked, Random(6)), control), name


def test_pixels_are_counted_and_their_shift_is_measured(given, found):
    attacked = given.attacks["fgsm/eps=0.3"]
    counts = found["histogram:fgsm/eps=0.3"]
    assert counts.sum() == attacked.x_adv.numel() and len(counts) == len(BINS) - 1
    pixels = attacked.x_adv.double().numpy().ravel()
    assert found["quantiles:fgsm/eps=0.3"][[0, 50, 100]] == pytest.approx(
        [pixels.min(), np.median(pixels), pixels.max()]
    )
    for row in range(6):
        x, y = (z[row].numpy().ravel() for z in (attacked.x, attacked.x_adv))
        assert found["shift:fgsm/eps=0.3"][row] == pytest.approx(ks_2samp(x, y).statistic)
    assert found["shift:jsma"][4] == 0


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 12, 12)])
def test_quality_is_scikit_images(shape):
    x, y = images(4, shape).numpy(), images(4, shape, seed=3).numpy()
    for row in range(4):
        peak = peak_signal_noise_ratio(
            x[row].astype(np.float64), y[row].astype(np.float64), data_range=float(x[row].max())
        )
        assert _quality.psnr(x, y)[row] == pytest.approx(peak)
        alike = structural_similarity(
            x[row].transpose(1, 2, 0), y[row].transpose(1, 2, 0), channel_axis=2, data_range=1.0
        )
        assert _quality.ssim(x, y)[row] == pytest.approx(alike, abs=1e-6)
    assert np.isinf(_quality.psnr(x, x)).all() and _quality.ssim(x, x) == pytest.approx(np.ones(4))


# Activation maps.


def test_a_map_is_the_class_activation_map_where_a_global_mean_follows():
    """Zhou et al. 2016: weights of the class times the last maps, behind normalisation and ReLU."""
    network = PreactivatedResNet(blocks=1).build((1, 28, 28), 10, 3).eval()
    x = images(3)
    layer = last_convolution(network, x[:1], 4)
    classes = torch.tensor([1, 5, 9])
    found = activation_map(network, layer, x, classes)
    assert found.shape == (3, 28, 28) and found.min() >= 0 and found.max() == pytest.approx(1)
    kept = {}
    layer.register_forward_hook(lambda _, __, result: kept.update(maps=result))
    logits = network(x).gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(logits, kept["maps"])
    by_hand = (gradient.mean((2, 3), keepdim=True) * kept["maps"]).sum(1, keepdim=True).relu()
    by_hand = torch.nn.functional.interpolate(by_hand, (28, 28), mode="bilinear")[:, 0]
    by_hand = by_hand / by_hand.flatten(1).amax(1)[:, None, None]
    np.testing.assert_allclose(found, by_hand.detach().numpy(), atol=1e-5)
    assert LayerGradCam(network, layer) is not None


def test_the_last_convolution_with_room_is_chosen():
    network = ConvNet().build((1, 28, 28), 10, 0).eval()
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    x = images(1)
    # Its results have 28, 26, 13, 11, 3 and 1 pixels a side.
    assert last_convolution(network, x, 4) is convolutions[3]
    assert last_convolution(network, x, 3) is convolutions[4]
    assert last_convolution(network, x, 1) is convolutions[5]
    without = MLP().build((1, 28, 28), 10, 0).eval()
    assert last_convolution(without, x, 1) is None
    attacked = {"only": Attacked(x, x, torch.zeros(1, dtype=torch.long), np.arange(1))}
    with pytest.raises(AnalysisError, match="the network has no convolution whose maps could"):
        ActivationMaps(images=1).run(Given(Random(0), attacks=attacked, classifier=without))


def test_the_surest_mistakes_are_shown_of_a_grids_last_point():
    network = ConvNet().build((1, 28, 28), 10, 0).eval()
    x, x_adv = images(8), images(8, seed=4)
    with torch.no_grad():
        before, after = network(x).argmax(1), network(x_adv).softmax(1)
    label = before.clone()
    label[0] = (label[0] + 1) % 10  # was wrong already
    label[1] = after[1].argmax()
    wrong = (before == label) & (after.argmax(1) != label)
    index = np.arange(8)
    attacks = {
        "other": Attacked(x, x, label, index),
        "last": Attacked(x, x_adv, label, index),
    }
    found = ActivationMaps(images=3).run(Given(Random(0), attacks=attacks, classifier=network))
    order = sorted(range(8), key=lambda row: (not wrong[row], -float(after[row].max())))
    assert found["index"].tolist() == order[:3]
    assert np.array_equal(found["x.attacked"], x_adv[order[:3]].numpy())
    assert found["prediction.attacked"].tolist() == after.argmax(1)[order[:3]].tolist()
    assert found["map.clean"].shape == (3, 28, 28)
