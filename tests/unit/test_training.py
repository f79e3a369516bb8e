"""Training of classifiers: reproducible, resumable, and loud when it fails."""

import dataclasses
import logging
import re

import numpy as np
import pytest
import torch

from advsparse.data._pixels import batches, channel_statistics, floats
from advsparse.data.digits import Digits
from advsparse.errors import TrainingError
from advsparse.models._examples import Stored
from advsparse.models._layers import Normalise
from advsparse.models._training import Training, train, train_on
from advsparse.models.lenet import LeNet

SHAPES = {(3, 32, 32), (1, 28, 28), (1, 32, 32), (3, 28, 28)}
TRAININGS = {
    "adam": Training(optimizer="adam", learning_rate=0.01, batch_size=16, weight_decay=1e-3),
    "sgd": Training(optimizer="sgd", learning_rate=0.05, batch_size=16, weight_decay=1e-3),
    "bfloat16": Training(optimizer="sgd", learning_rate=0.05, batch_size=16, precision="bfloat16"),
}
both = pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)


@pytest.fixture(scope="module")
def images():
    """A little data of a shape that makes the channels_last layout matter: 50 colour images."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((50, 3, 28, 28), dtype=np.float32))
    return x, torch.from_numpy(rng.integers(0, 4, 50))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    data = Digits(train_per_class=80).load(tmp_path_factory.getbasetemp())
    return [
        (torch.from_numpy(x).float() / 255, torch.from_numpy(y))
        for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test))
    ]


def built(x, seed=1, classes=4):
    model = LeNet().build(tuple(x.shape[1:]), classes, seed)
    std, mean = torch.std_mean(x.double(), (0, 2, 3), correction=0)
    model.normalise.set_statistics(mean, std)
    return model


def with_epochs(training: Training, epochs: int) -> Training:
    return dataclasses.replace(training, epochs=epochs)


def trained(training, x, y, seed=3, **options):
    model = built(x)
    train(training, model, x, y, seed=seed, **options)
    return model


def assert_same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def differs(one, other) -> bool:
    return any(
        not torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items()
    )


# The network.


@pytest.mark.parametrize("shape", sorted(SHAPES))
def test_lenet_gives_logits(shape):
    model = LeNet().build(shape, 7)
    logits = model(torch.rand(5, *shape))
    assert logits.shape == (5, 7)
    assert logits.isfinite().all()
    assert not torch.allclose(logits.softmax(1), logits)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 8, 8), (1, 28, 32), (3, 32, 28), (3, 31, 31)])
def test_lenet_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match=f"not {shape[1]}x{shape[2]}"):
        LeNet().build(shape, 10)


def test_lenet_refuses_settings():
    with pytest.raises(ValueError, match="width"):
        LeNet(width=3)


def test_weights_come_from_the_seed_alone(images):
    torch.manual_seed(5)
    one = built(images[0], seed=1)
    torch.manual_seed(6)
    two = built(images[0], seed=1)
    assert_same(one, two)
    assert differs(one, built(images[0], seed=2))


def test_building_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    LeNet().build((3, 32, 32), 10, seed=9)
    assert torch.equal(torch.get_rng_state(), before)


def test_building_that_fails_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="lenet"):
        LeNet().build((3, 5, 5), 10, seed=9)
    assert torch.equal(torch.get_rng_state(), before)


def test_convolutions_are_in_the_fast_layout():
    weight = LeNet().build((3, 32, 32), 10).layers[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_normalisation_is_part_of_what_is_saved():
    state = LeNet().build((3, 32, 32), 10).state_dict()
    assert {"normalise.mean", "normalise.std"} <= state.keys()


def normalisation(pixels, size=1000):
    layer = Normalise(pixels.shape[1])
    layer.set_statistics(*channel_statistics(pixels, size))
    return layer


@pytest.mark.parametrize("shape", [(40, 3, 28, 28), (1, 1, 32, 32), (1000, 1, 5, 7)])
def test_normalised_images_have_mean_0_and_deviation_1(shape):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, np.linspace(26, 256, shape[1])[:, None, None], shape, dtype=np.uint8)
    out = normalisation(pixels)(floats(torch.from_numpy(pixels))).double()
    assert out.mean((0, 2, 3)).abs().max() < 1e-5
    assert (out.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("value", [0, 26, 85, 179, 255])
@pytest.mark.parametrize("shape", [(1, 1, 7, 3), (13, 2, 9, 11), (101, 2, 28, 28)])
def test_constant_channel_is_centred_only(value, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pixels[:, 0] = value
    layer, x = normalisation(pixels), floats(torch.from_numpy(pixels))
    assert layer(x)[:, 0].abs().max() == 0
    # A pixel that is not constant later on is not blown up.
    assert layer(x + 0.5)[:, 0].abs().max() < 0.51


@pytest.mark.parametrize("size", [1, 7, 100])
def test_statistics_do_not_depend_on_how_many_images_are_looked_at_at_once(size):
    pixels = np.random.default_rng(0).integers(0, 200, (50, 3, 9, 7), dtype=np.uint8)
    mean, std = channel_statistics(pixels, size)
    whole = pixels.astype(np.float64) / 255
    np.testing.assert_allclose(mean, whole.mean((0, 2, 3)), rtol=1e-7)
    np.testing.assert_allclose(std, whole.std((0, 2, 3)), rtol=1e-7)
    for one, other in zip((mean, std), channel_statistics(pixels), strict=True):
        np.testing.assert_array_equal(one, other)


def test_statistics_of_one_level_are_the_number_that_networks_are_given():
    for level in range(256):
        mean, deviation = channel_statistics(np.full((1, 1, 1, 2), level, dtype=np.uint8))
        assert mean.tolist() == [float(np.float32(level) / np.float32(255))]
        assert deviation.tolist() == [0]


def test_pixels_are_float32_whatever_torchs_default_type():
    torch.set_default_dtype(torch.float64)
    try:
        assert floats(torch.tensor([255, 0], dtype=torch.uint8)).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_pixels_are_the_same_numbers_as_numpys_on_whatever_device():
    levels = np.arange(256, dtype=np.uint8).reshape(2, 2, 8, 8)
    expected = levels.astype(np.float32) / np.float32(255)
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        found = floats(torch.from_numpy(levels).to(device))
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.cpu().numpy(), expected)
    given = torch.rand(3)
    assert floats(given) is given


def test_batches_are_all_images_in_their_order():
    pixels = np.random.default_rng(0).integers(0, 256, (10, 1, 2, 2), dtype=np.uint8)
    found = list(batches(pixels, 4))
    assert [len(part) for part in found] == [4, 4, 2]
    assert torch.equal(torch.cat(found), floats(torch.from_numpy(pixels)))


# Training.


def test_learns_digits(digits):
    (x, y), (x_test, y_test) = digits
    model = built(x, classes=10)

    def loss():
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(model(x), y))

    before = loss()
    train(Training(epochs=3), model, x, y, seed=0)
    assert loss() < before / 2
    accuracy = (model(x_test).argmax(1) == y_test).float().mean()
    assert accuracy > 0.7  # chance is 0.1
    assert not model.training


def test_mixed_precision_changes_less_than_another_seed(digits):
    (x, y), (x_test, _) = digits

    def predicted(precision, seed):
        model = built(x, seed, classes=10)
        train(Training(epochs=4, precision=precision), model, x, y, seed=seed)
        assert {value.dtype for value in model.parameters()} == {torch.float32}
        return model(x_test)

    full, mixed, other = (
        predicted(*options) for options in (("float32", 1), ("bfloat16", 1), ("float32", 2))
    )
    assert not torch.equal(full, mixed)
    same, differ = ((full.argmax(1) != one.argmax(1)).float().mean() for one in (mixed, other))
    assert same < differ / 2


@both
def test_training_is_reproducible_whatever_the_global_generator(training, images):
    training = with_epochs(training, 2)
    torch.manual_seed(1)
    one = trained(training, *images)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = trained(training, *images)
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(one, two)
    assert differs(one, trained(training, *images, seed=4))


def test_checkpoints_change_nothing(images, tmp_path):
    training = with_epochs(TRAININGS["adam"], 2)
    path = tmp_path / "new" / "checkpoint.safetensors"
    assert_same(trained(training, *images), trained(training, *images, checkpoint=path))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_images_and_labels_are_left_alone(images):
    x, y = images[0].clone(), images[1].clone()
    trained(with_epochs(TRAININGS["sgd"], 1), x, y)
    assert torch.equal(x, images[0])
    assert torch.equal(y, images[1])


class Interruption(Exception):
    """What ends a training from outside."""


@both
def test_continued_training_ends_in_the_same_weights(training, images, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    options = {"checkpoint": tmp_path / "checkpoint.safetensors", "identity": "this one"}
    trained(with_epochs(training, 2), *images, **options)
    continued = trained(with_epochs(training, 4), *images, **options)
    assert "after epoch 2" in caplog.text
    assert_same(continued, trained(with_epochs(training, 4), *images))


@both
def test_training_interrupted_within_an_epoch_ends_in_the_same_weights(training, images, tmp_path):
    training = with_epochs(training, 4)
    options = {"checkpoint": tmp_path / "checkpoint.safetensors", "identity": "this one"}
    model = built(images[0])
    batches = 0

    def interrupt(*_):
        nonlocal batches
        batches += 1
        if batches == 2 * 4 + 2:  # the second of the four batches of the third epoch
            raise Interruption

    model.register_forward_pre_hook(interrupt)
    with pytest.raises(Interruption):
        train(training, model, *images, seed=3, **options)
    assert differs(model, built(images[0]))
    resumed = trained(training, *images, **options)
    assert_same(resumed, trained(training, *images))
    # Once more: nothing is left to do, and nothing changes.
    assert_same(trained(training, *images, **options), resumed)


def test_resumed_layout_is_that_of_an_uninterrupted_training(images, tmp_path):
    training = with_epochs(TRAININGS["adam"], 1)
    path = tmp_path / "checkpoint.safetensors"
    trained(training, *images, checkpoint=path)
    model = trained(training, *images, checkpoint=path)
    assert model.layers[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_checkpoint_of_another_training_is_not_used(images, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    training = with_epochs(TRAININGS["adam"], 2)
    trained(with_epochs(TRAININGS["sgd"], 1), *images, checkpoint=path, identity="another")
    afresh = trained(training, *images, checkpoint=path, identity="this one")
    assert_same(afresh, trained(training, *images))


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :]


def header(data: bytes) -> int:
    return 8 + int.from_bytes(data[:8], "little")


DAMAGES = {
    "empty": lambda data: b"",
    "cut in the header": lambda data: data[:100],
    "cut in the weights": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "other length of the header": lambda data: flipped(data, 1),
    "huge header": lambda data: flipped(data, 6),
    "no JSON": lambda data: flipped(data, 8),
    "another name": lambda data: data.replace(b"layers.0.weight", b"layers.0.weighu", 1),
    "another epoch": lambda data: re.sub(rb'(epoch\W*)1', rb"\g<1>2", data, count=1),
    "another weight": lambda data: flipped(data, header(data) + 5000),
    "another file": lambda data: b"PK\3\4" + data[4:],
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_checkpoint_is_not_used(damage, images, tmp_path, caplog):
    path = tmp_path / "checkpoint.safetensors"
    training = with_epochs(TRAININGS["adam"], 2)
    options = {"checkpoint": path, "identity": "this one"}
    trained(with_epochs(training, 1), *images, **options)
    data = path.read_bytes()
    assert damage(data) != data
    path.write_bytes(damage(data))
    model = trained(training, *images, **options)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert str(path) in warnings[0].getMessage()
    assert "afresh" in warnings[0].getMessage()
    assert_same(model, trained(training, *images))
    # The damaged file was replaced by a good one.
    caplog.clear()
    assert_same(trained(training, *images, **options), model)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_loss_that_is_not_finite_is_an_error(images, tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    training = Training(optimizer="sgd", learning_rate=1e20, epochs=5, batch_size=16)
    with pytest.raises(TrainingError) as caught:
        trained(training, *images, checkpoint=path)
    message = str(caught.value)
    assert re.search(r"\b(nan|inf)\b", message)
    assert "epoch 1 of 5" in message
    assert "learning_rate of 1e+20 (sgd)" in message
    assert not path.exists()  # a training that failed leaves nothing to resume from


def test_a_loss_that_grows_is_an_error_also_after_a_pause(tmp_path):
    class Square(Stored):
        def loss(self, model, x):
            return (model(x) ** 2).sum(), None

    def go_on(epochs):
        torch.nn.init.ones_(model.weight)
        # One step an epoch: the first takes w from 1 to -5, and the loss from 1 to 25.
        training = Training(optimizer="sgd", learning_rate=3.0, epochs=epochs)
        options = {"seed": 0, "checkpoint": tmp_path / "checkpoint.safetensors"}
        train_on(Square(torch.ones(1, 1)), training, model, **options)

    model = torch.nn.Linear(1, 1, bias=False)
    go_on(1)
    with pytest.raises(TrainingError, match="loss is 25 in epoch 2 of 2, after 1 in the first"):
        go_on(2)


def test_weights_that_are_not_finite_are_an_error(images):
    model = built(images[0])
    with torch.no_grad():
        model.layers[0].weight[0, 0, 0, 0] = torch.inf
    with pytest.raises(TrainingError, match="epoch 1 of 2"):
        train(Training(epochs=2), model, *images, seed=0)


def test_last_batch_may_be_a_single_image(images):
    x, y = images[0][:17], images[1][:17]
    assert trained(with_epochs(TRAININGS["adam"], 1), x, y)(x).isfinite().all()


def test_progress_is_logged(images, caplog):
    caplog.set_level(logging.INFO)
    trained(with_epochs(TRAININGS["adam"], 2), *images)
    said = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in said] == ["epoch 1 of 2", "epoch 2 of 2"]
    assert all("loss" in line and "accuracy" in line for line in said)


@pytest.mark.parametrize(
    "values",
    [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": float("nan")},
     {"weight_decay": -1.0}, {"optimizer": "lbfgs"}, {"epoch": 1}],
)  # fmt: skip
def test_training_refuses_bad_settings(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Training(**values)
