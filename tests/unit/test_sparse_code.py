"""The linear classifier of codes, and trained coders as artifacts."""

import copy
import logging

import pytest
import torch

from advsparse.artifacts import make_metadata, write_tensors
from advsparse.attacks.fgsm import FGSM
from advsparse.coding._io import description, load_coder
from advsparse.coding._signals import Signals
from advsparse.coding._ssim import ssim
from advsparse.coding.convlista import ConvLISTA
from advsparse.coding.lista import LISTA
from advsparse.errors import ArchitectureError, ArtifactError
from advsparse.models._io import load_classifier
from advsparse.models._training import Training, train
from advsparse.models.lenet import LeNet
from advsparse.models.sparse_code import SparseCode
from advsparse.registry import spec_of

SHAPE, CLASSES = (1, 6, 6), 3
METHOD = ConvLISTA(filters=4, size=3, threshold=0.01)
finetuned_or_not = pytest.mark.parametrize("finetune", [False, True])


@pytest.fixture
def coder():
    return METHOD.build(SHAPE, seed=1)


@pytest.fixture
def images():
    x = torch.rand((20, *SHAPE), generator=torch.Generator().manual_seed(0))
    return x, torch.arange(20) % CLASSES


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one, other):
    return {name: torch.equal(value, other[name]) for name, value in one.items()}


# The network.


def test_logits_are_linear_in_the_code(coder, images):
    model = SparseCode().build(SHAPE, CLASSES, seed=2, coder=coder)
    x, _ = images
    code = coder.encode(x)
    assert model.weights.shape == (CLASSES, *code.shape[1:]) == (CLASSES, 4, 6, 6)
    expected = torch.einsum("nkij,ckij->nc", code, model.weights) + model.linear.bias
    torch.testing.assert_close(model(x), expected, rtol=1e-4, atol=1e-5)
    assert model.synthesis.filters is coder.decoder


def test_pixels_reach_the_coder_as_they_are(coder, images):
    model = SparseCode().build(SHAPE, CLASSES, coder=coder)
    before = model(images[0])
    model.normalise.set_statistics([0.5], [0.2])
    assert torch.equal(model(images[0]), before)


def test_attacks_get_gradients_of_pixels(coder, images):
    model = SparseCode().build(SHAPE, CLASSES, coder=coder).double()
    x = images[0][:2].double().requires_grad_()
    assert torch.autograd.gradcheck(model, (x,))


def test_linear_layer_comes_from_the_seed_alone(coder):
    before, weights = torch.get_rng_state(), state(coder)
    one, again, other = (
        SparseCode().build(SHAPE, CLASSES, seed, coder).weights for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert all(same(weights, state(coder)).values())


def test_coder_that_is_missing_or_does_not_fit_is_refused(coder):
    with pytest.raises(ArchitectureError, match="trained coder"):
        SparseCode().build(SHAPE, CLASSES)
    with pytest.raises(ArchitectureError, match=r"\(1, 6, 6\), the images have \(3, 6, 6\)"):
        SparseCode().build((3, 6, 6), CLASSES, coder=coder)
    with pytest.raises(ArchitectureError, match=r"lenet .* takes no coder"):
        LeNet().build((1, 28, 28), CLASSES, coder=coder)


# Training.


@finetuned_or_not
def test_only_fine_tuning_changes_the_coder(finetune, coder, images):
    model = SparseCode(finetune=finetune).build(SHAPE, CLASSES, coder=coder)
    before = state(model)
    train(Training(epochs=2, batch_size=8), model, *images, seed=0)
    kept = same(before, state(model))
    assert not kept.pop("linear.weight")
    assert not kept.pop("linear.bias")
    assert set(kept.values()) == {not finetune}


def test_loss_of_fine_tuning_is_cross_entropy_and_the_coders_own(coder, images):
    model = SparseCode(finetune=True, reconstruction=0.3).build(SHAPE, CLASSES, coder=coder)
    x, y = images
    loss, logits = model.loss(x, y)
    entropy = torch.nn.functional.cross_entropy(model(x), y, reduction="sum")
    torch.testing.assert_close(loss, entropy + 0.3 * coder.loss(x, None))
    torch.testing.assert_close(logits, model(x))


def test_loss_with_a_frozen_coder_is_the_cross_entropy(coder, images):
    model = SparseCode().build(SHAPE, CLASSES, coder=coder)
    x, y = images
    expected = torch.nn.functional.cross_entropy(model(x), y, reduction="sum")
    torch.testing.assert_close(model.loss(x, y)[0], expected)


def test_frozen_coder_is_told_by_no_graph(coder, images):
    model = SparseCode().build(SHAPE, CLASSES, coder=coder)
    assert not coder(images[0]).requires_grad
    assert model(images[0]).requires_grad


def test_fine_tuning_without_reconstruction_leaves_the_dictionary(coder, images):
    model = SparseCode(finetune=True, reconstruction=0).build(SHAPE, CLASSES, coder=coder)
    before = state(coder)
    train(Training(epochs=1), model, *images, seed=0)
    assert [name for name, kept in same(before, state(coder)).items() if kept] == ["decoder"]


@finetuned_or_not
def test_resumed_training_ends_in_the_same_weights(finetune, images, tmp_path, caplog):
    caplog.set_level(logging.INFO)

    def trained(epochs, **options):
        coder = METHOD.build(SHAPE, seed=1)
        model = SparseCode(finetune=finetune).build(SHAPE, CLASSES, 2, coder)
        training = Training(epochs=epochs, batch_size=8, learning_rate=0.01)
        train(training, model, *images, seed=3, **options)
        return state(model)

    path = tmp_path / "checkpoint.safetensors"
    trained(2, checkpoint=path)
    resumed = trained(4, checkpoint=path)
    assert "after epoch 2" in caplog.text
    assert all(same(resumed, trained(4)).values())


# In less precision.


def half():
    return torch.autocast("cpu", torch.bfloat16)


def gradients(model, value):
    return torch.autograd.grad(value, [p for p in model.parameters() if p.requires_grad])


def assert_near(found, expected):
    """Up to some of bfloat16's roundings, each of 0.4 %."""
    assert found.dtype == expected.dtype
    assert (found - expected).norm() <= 0.1 * expected.norm()


@pytest.fixture(params=["convolutions", "matrices"])
def fine_tuned(request, coder, images):
    """A classifier whose coder learns, and what it is fine-tuned on."""
    if request.param == "convolutions":
        return SparseCode(finetune=True).build(SHAPE, CLASSES, coder=coder), *images
    x = images[0].flatten(1)
    dictionary = Signals(size=36, atoms=50, sparsity=4).dictionary(0)
    lista = LISTA(layers=3).build((36,), dictionary=dictionary)
    return SparseCode(finetune=True).build((36,), CLASSES, coder=lista), x, images[1]


@pytest.mark.parametrize("back", [False, True], ids=["outside", "way back inside"])
def test_gradients_under_autocast_are_near_those_of_float32(fine_tuned, back):
    model, x, y = fine_tuned
    expected = gradients(model, model.loss(x, y)[0])
    with half():
        loss, _ = model.loss(x, y)
        found = gradients(model, loss) if back else None
    for one, other in zip(found or gradients(model, loss), expected, strict=True):
        assert_near(one, other)


def test_gradients_of_pixels_under_autocast_are_near_those_of_float32(fine_tuned):
    model, x, y = fine_tuned
    x = x.requires_grad_()
    (expected,) = torch.autograd.grad(model.loss(x, y)[0], x)
    with half():
        loss = model.loss(x, y)[0]
    assert_near(torch.autograd.grad(loss, x)[0], expected)


@finetuned_or_not
@pytest.mark.parametrize("inside", [False, True], ids=["around the attack", "in the model"])
def test_attack_under_autocast(coder, images, finetune, inside):
    x, y = images
    model = SparseCode(finetune=finetune).build(SHAPE, CLASSES, coder=coder).eval()
    attack, attacked = FGSM(norm="linf", eps=0.05), model
    expected = attack(model, x, y).x
    if inside:
        attacked = torch.nn.Sequential(model)
        attacked.forward = half()(model.forward)
        found = attack(attacked, x, y).x
    else:
        with half():
            found = attack(model, x, y).x
    # The signs of a few gradients are lost in the rounding.
    assert ((found - expected).abs() > 1e-6).float().mean() < 0.1


@finetuned_or_not
def test_training_in_bfloat16_is_near_that_in_float32(finetune, images):
    def trained(precision):
        model = SparseCode(finetune=finetune).build(SHAPE, CLASSES, 2, METHOD.build(SHAPE, seed=1))
        train(Training(epochs=3, batch_size=8, precision=precision), model, *images, seed=0)
        return state(model)

    start = state(SparseCode().build(SHAPE, CLASSES, 2, METHOD.build(SHAPE, seed=1)))
    mixed = trained("bfloat16")
    for name, value in trained("float32").items():
        assert mixed[name].dtype == value.dtype
        # Adam's steps have the size of the learning rate, whatever that of a gradient.
        assert (mixed[name] - value).norm() <= 0.3 * (value - start[name]).norm()


def test_similarity_in_a_loss_is_taken_without_autocast(coder, images):
    x = images[0]
    with torch.no_grad():
        found = (x + 0.01).bfloat16()
        expected = ssim(x, found.float(), 3)
        with half():
            assert torch.equal(ssim(x, found, 3), expected)


# Artifacts.


def saved_coder(path, method, network, shape):
    metadata = make_metadata(
        "coder", params={"method": spec_of(method)}, code="", seed=0, extra={"shape": list(shape)}
    )
    write_tensors(path, network.state_dict(), metadata)
    return path


def test_loaded_coder_codes_as_the_saved_one(coder, images, tmp_path):
    path = saved_coder(tmp_path / "coder.safetensors", METHOD, coder, SHAPE)
    loaded, metadata = load_coder(path)
    assert metadata.extra == {"shape": [1, 6, 6]}
    assert not loaded.training
    assert torch.equal(loaded(images[0]), coder(images[0]))
    code = coder(images[0])
    assert torch.equal(loaded.decode(code), coder.decode(code))


def test_loaded_lista_has_its_dictionary(tmp_path):
    signals = Signals(size=6, atoms=9, sparsity=2)
    d = signals.dictionary(3)
    lista = LISTA(layers=3)
    network = lista.build((6,), dictionary=d)
    with torch.no_grad():
        network.feedback += 0.1
    loaded, _ = load_coder(saved_coder(tmp_path / "lista.safetensors", lista, network, (6,)))
    x, _ = signals.draw(5, d, torch.Generator().manual_seed(0))
    assert torch.equal(loaded.synthesis.matrix, d)
    assert torch.equal(loaded(x), network(x))


def test_other_artifacts_are_no_coders(tmp_path):
    path = tmp_path / "other.safetensors"
    write_tensors(path, {}, make_metadata("classifier", params={}, code="", seed=0))
    with pytest.raises(ArtifactError, match="stage 'classifier'"):
        load_coder(path)


@finetuned_or_not
def test_loaded_classifier_holds_its_coder_as_fine_tuned(finetune, coder, images, tmp_path):
    path = saved_coder(tmp_path / "coder.safetensors", METHOD, coder, SHAPE)
    architecture = SparseCode(finetune=finetune)
    trained, metadata = load_coder(path)
    untouched = copy.deepcopy(trained)
    model = architecture.build(SHAPE, CLASSES, coder=trained)
    train(Training(epochs=1, learning_rate=0.01), model, *images, seed=0)
    classifier = tmp_path / "classifier.safetensors"
    write_tensors(
        classifier,
        model.state_dict(),
        make_metadata(
            "classifier",
            params={"architecture": spec_of(architecture)},
            code="",
            seed=0,
            extra={"shape": list(SHAPE), "classes": CLASSES, "coder": description(metadata)},
        ),
    )
    loaded, _ = load_classifier(classifier)
    assert torch.equal(loaded(images[0]), model(images[0]))
    assert torch.equal(loaded.synthesis.filters, model.synthesis.filters)
    assert torch.equal(loaded.synthesis.filters, untouched.decoder) == (not finetune)
