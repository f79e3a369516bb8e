"""What trainings of networks share beyond classifiers: step sizes, and examples of an epoch."""

import logging
import math
import re
from types import SimpleNamespace

import pytest
import torch

from advsparse.errors import TrainingError
from advsparse.models import _training
from advsparse.models._examples import Examples, LabelledImages, Stored
from advsparse.models._training import Training, train, train_on
from advsparse.models.lenet import LeNet
from advsparse.seeding import Random


def steps(**settings):
    training = Training(**settings)
    return [training.learning_rate_at(epoch) for epoch in range(training.epochs)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"epochs": 3}, [1, 1, 1]),
        ({"epochs": 6, "decay_at": [1 / 3, 2 / 3]}, [1, 1, 0.1, 0.1, 0.01, 0.01]),
        ({"epochs": 4, "decay_at": [0.5], "decay": 0.5}, [1, 1, 0.5, 0.5]),
        ({"epochs": 3, "decay_at": [0.3333, 0.6667]}, [1, 0.1, 0.01]),
        ({"epochs": 6, "decay_at": [0.6666]}, [1, 1, 1, 1, 0.1, 0.1]),
        # A single epoch is trained with the step that was asked for.
        ({"epochs": 1, "decay_at": [0.3333, 0.6667]}, [1]),
    ],
)
def test_step_sizes(settings, expected):
    assert steps(learning_rate=1.0, **settings) == pytest.approx(expected)


def test_optimizer_takes_the_steps_of_the_schedule():
    class Constant(Examples):
        def batches(self, training, generator):
            yield (torch.zeros(1),)

        def loss(self, model, batch):
            return model.weight.sum(), None

    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    training = Training(epochs=4, optimizer="adam", learning_rate=0.01, decay_at=[0.5])
    train_on(Constant(), training, model, seed=0)
    # Adam's step on a constant gradient is the step size.
    assert 1 - float(model.weight.detach()) == pytest.approx(0.022, rel=1e-4)


def test_decay_holds_in_a_resumed_training(tmp_path):
    x = torch.rand((30, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    y = torch.arange(30) % 4
    path = tmp_path / "checkpoint.safetensors"
    training = Training(epochs=3, batch_size=10, decay_at=[1 / 3, 2 / 3])

    class Interruption(Exception):
        pass

    def trained(interrupt_after=None, **options):
        model, seen = LeNet().build((1, 28, 28), 4), []

        def count(*_):
            seen.append(1)
            if len(seen) == interrupt_after:
                raise Interruption

        model.register_forward_pre_hook(count)
        train(training, model, x, y, seed=1, **options)
        return model.state_dict()

    with pytest.raises(Interruption):
        trained(interrupt_after=8, checkpoint=path)
    resumed, whole = trained(checkpoint=path), trained()
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_epoch_of_some_examples_takes_the_first_of_its_order():
    source = LabelledImages(torch.arange(10), 10 * torch.arange(10))

    def epoch(**settings):
        generator = torch.Generator().manual_seed(3)
        return list(source.batches(Training(batch_size=3, **settings), generator))

    whole = torch.cat([first for first, _ in epoch()])
    assert sorted(whole.tolist()) == list(range(10))
    some = epoch(examples=7)
    assert [len(first) for first, _ in some] == [3, 3, 1]
    assert torch.equal(torch.cat([first for first, _ in some]), whole[:7])
    assert all(torch.equal(second, 10 * first) for first, second in some)


def test_parameters_without_gradients_are_left_alone():
    x = torch.rand((8, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    model = LeNet().build((1, 28, 28), 2)
    frozen = model.layers[0].requires_grad_(False)
    before = frozen.weight.clone()
    # Weight decay would move them.
    train(Training(epochs=2, weight_decay=0.1), model, x, torch.arange(8) % 2, seed=0)
    assert torch.equal(frozen.weight, before)


def test_classifier_with_a_loss_of_its_own():
    class Own(torch.nn.Linear):
        def loss(self, x, y, smoothing):
            return self.weight.square().sum(), self(x)

    loss, correct = LabelledImages().loss(Own(2, 3), torch.zeros(4, 2), torch.zeros(4).long())
    assert loss.ndim == 0
    assert 0 <= int(correct) <= 4


@pytest.mark.parametrize("values", [{"decay_at": [0.0]}, {"decay_at": [1.0]}, {"decay": 0.0},
                                    {"examples": 0}])  # fmt: skip
def test_bad_settings_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Training(**values)


class Watched(Stored):
    """A loss that a weight lowers by its batch, of the numbers 1 to ``count`` in random order."""

    def __init__(self, count=8, correct=None):
        super().__init__(torch.arange(1.0, count + 1))
        self.correct, self.batches_seen, self.losses = correct, [], []

    def loss(self, model, batch):
        self.batches_seen.append(batch.tolist())
        right = None if self.correct is None else torch.tensor(self.correct)
        loss = model.weight.sum() * batch.sum()
        self.losses.append(float(loss.detach()))
        return loss, right


def one_weight(value=1.0):
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, value)
    return model


def orders(seed, **settings):
    source = Watched()
    train_on(
        source, Training(batch_size=8, learning_rate=1e-6, **settings), one_weight(), seed=seed
    )
    return source.batches_seen


def test_each_epoch_has_an_order_of_its_own():
    seen = orders(0, epochs=6)
    assert all(sorted(order) == list(range(1, 9)) for order in seen)
    assert len({tuple(order) for order in seen}) == 6
    # It is that of the epoch, however many follow, and of the seed.
    assert seen[:3] == orders(0, epochs=3) and seen != orders(1, epochs=6)


def test_each_epoch_of_some_examples_has_others():
    seen = orders(0, epochs=6, examples=3)
    assert all(len(order) == 3 for order in seen)
    assert len({tuple(sorted(order)) for order in seen}) > 1


def test_steps_follow_the_mean_gradient_of_each_batch():
    source, model = Watched(5), one_weight()
    training = Training(epochs=1, batch_size=2, optimizer="sgd", learning_rate=0.01)
    train_on(source, training, model, seed=0)
    weight, velocity = 1.0, 0.0
    for batch in source.batches_seen:
        velocity = 0.9 * velocity + sum(batch) / len(batch)
        weight -= 0.01 * velocity
    assert [len(batch) for batch in source.batches_seen] == [2, 2, 1]
    assert float(model.weight.detach()) == pytest.approx(weight, rel=1e-5)


def test_weight_decay_is_that_of_half_the_squared_norm():
    class Nothing(Stored):
        def loss(self, model, batch):
            return 0 * model.weight.sum(), None

    model = one_weight(2.0)
    training = Training(epochs=1, optimizer="sgd", learning_rate=0.1, weight_decay=0.5)
    train_on(Nothing(torch.ones(1)), training, model, seed=0)
    assert float(model.weight.detach()) == pytest.approx(2 - 0.1 * 0.5 * 2)


def test_losses_and_accuracies_are_means_over_examples(caplog):
    caplog.set_level(logging.INFO)
    source = Watched(5, correct=1)
    train_on(source, Training(epochs=1, batch_size=2, learning_rate=1e-9), one_weight(), seed=0)
    mean = sum(source.losses) / 5
    assert f"epoch 1 of 1: loss {mean:.4f}, training accuracy 0.6000, 0 s left" in caplog.text
    caplog.clear()
    train_on(Watched(5), Training(epochs=1, learning_rate=1e-9), one_weight(), seed=0)
    assert "accuracy" not in caplog.text


def test_the_time_left_is_that_of_the_epochs_to_come(caplog, monkeypatch, tmp_path):
    caplog.set_level(logging.INFO)
    clock = iter([100.0, 110.0, 130.0, 500.0, 510.0, 511.0])
    monkeypatch.setattr(_training, "time", SimpleNamespace(monotonic=lambda: next(clock)))

    def left(epochs):
        caplog.clear()
        training = Training(epochs=epochs, learning_rate=1e-9)
        saved = {"checkpoint": tmp_path / "checkpoint.safetensors"}
        train_on(Watched(), training, one_weight(), seed=0, **saved)
        return re.findall(r"epoch (\d) of \d: .* (\d+) s left", caplog.text)

    assert left(2) == [("1", "10"), ("2", "0")]
    # Resumed after 2 epochs: only those since then tell how long one takes.
    assert left(4) == [("3", "10"), ("4", "0")]


@pytest.mark.parametrize(("last", "fails"), [(1.9, False), (2.0, False), (2.1, True)])
def test_a_loss_of_twice_the_first_is_still_a_result(last, fails):
    class Given(Stored):
        losses = iter([1.0, 0.5, last])

        def loss(self, model, batch):
            return 0 * model.weight.sum() + next(self.losses), None

    training, model = Training(epochs=3), one_weight()
    if not fails:
        train_on(Given(torch.ones(1)), training, model, seed=0)
        return
    message = (
        r"loss is 2\.1 in epoch 3 of 3, after 1 in the first.* learning_rate of 0\.001 \(adam\)"
    )
    with pytest.raises(TrainingError, match=message):
        train_on(Given(torch.ones(1)), training, model, seed=0)


def test_after_a_pause_losses_are_still_compared_with_the_first(tmp_path):
    class Given(Stored):
        losses = iter([1.0, 0.5, 1.9, 2.1])

        def loss(self, model, batch):
            return 0 * model.weight.sum() + next(self.losses), None

    model, options = one_weight(), {"seed": 0, "checkpoint": tmp_path / "checkpoint.safetensors"}
    for epochs in (2, 3):
        train_on(Given(torch.ones(1)), Training(epochs=epochs), model, **options)
    with pytest.raises(TrainingError, match="after 1 in the first"):
        train_on(Given(torch.ones(1)), Training(epochs=4), model, **options)


@pytest.mark.parametrize("first", [math.inf, math.nan])
def test_a_first_loss_that_is_not_finite_is_an_error(first):
    class Given(Stored):
        def loss(self, model, batch):
            return model.weight.sum() + first, None

    with pytest.raises(TrainingError, match=f"loss is {first} in epoch 1 of 2; lower"):
        train_on(Given(torch.ones(1)), Training(epochs=2), one_weight(), seed=0)


def test_networks_are_trained_in_training_mode_and_left_in_evaluation_mode():
    modes = []

    class Mode(Stored):
        def loss(self, model, batch):
            modes.append(model.training)
            return model.weight.sum(), None

    model = one_weight().eval()
    train_on(Mode(torch.ones(1)), Training(epochs=2), model, seed=0)
    assert modes == [True, True] and not model.training


def test_correct_predictions_are_those_of_the_largest_logit():
    images = LabelledImages()
    logits = torch.tensor([[1.0, 2.0], [2.0, 1.0], [0.0, 5.0]])
    loss, correct = images.loss(lambda x: logits, torch.zeros(3, 2), torch.tensor([1, 1, 1]))
    assert int(correct) == 2
    assert float(loss) == pytest.approx(sum(math.log1p(math.exp(d)) for d in (-1, 1, -5)))
    # The loss is taken in float32, whatever the network's precision.
    loss, _ = images.loss(lambda x: logits.bfloat16(), torch.zeros(3, 2), torch.tensor([1, 1, 1]))
    assert loss.dtype == torch.float32


@pytest.mark.parametrize(
    ("optimizer", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_the_optimizer_is_told_all_that_is_asked_for(optimizer, kind):
    training = Training(optimizer=optimizer, learning_rate=0.3, weight_decay=0.02)
    made = training.make_optimizer(one_weight().parameters())
    (group,) = made.param_groups
    assert type(made) is kind and (group["lr"], group["weight_decay"]) == (0.3, 0.02)
    assert optimizer == "adam" or group["momentum"] == 0.9


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_precision_is_that_of_the_networks_passes_and_of_nothing_else(precision):
    seen = []

    class Looking(Stored):
        def loss(self, model, batch):
            seen.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
            return model(batch[:, None]).float().sum(), None

    train_on(Looking(torch.ones(2)), Training(precision=precision), one_weight(), seed=0)
    assert set(seen) == {(precision == "bfloat16", torch.bfloat16)}
    assert not torch.is_autocast_enabled("cpu")


def test_the_order_of_an_epoch_is_that_of_its_own_generator():
    orders = []

    class Ordered(Stored):
        def loss(self, model, batch):
            orders.append(batch.tolist())
            return model.weight.sum(), None

    train_on(Ordered(torch.arange(20.0)), Training(epochs=2), one_weight(), seed=5)
    generators = [Random(5).generator("epoch", epoch) for epoch in range(2)]
    assert orders == [torch.randperm(20, generator=g).tolist() for g in generators]


def test_the_log_says_what_is_left(monkeypatch, caplog):
    clock = iter([100.0, 106.0, 112.0, 118.0])
    monkeypatch.setattr(_training.time, "monotonic", lambda: next(clock))

    class Constant(Stored):
        def loss(self, model, batch):
            return 0 * model.weight.sum() + len(batch), None

    with caplog.at_level(logging.INFO):
        train_on(Constant(torch.ones(2)), Training(epochs=3), one_weight(), seed=0)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"epoch {done} of 3: loss 1.0000, {left} s left" for done, left in ((1, 12), (2, 6), (3, 0))
    ]


def test_a_diverged_training_says_what_to_do():
    class Lost(Stored):
        def loss(self, model, batch):
            return model.weight.sum() * math.nan, None

    with pytest.raises(
        TrainingError, match=r"; lower the learning_rate of 0\.001 \(adam\), or check"
    ):
        train_on(Lost(torch.ones(1)), Training(), one_weight(), seed=0)
    with pytest.raises(TrainingError, match=r"the data$"):
        train_on(Lost(torch.ones(1)), Training(), one_weight(), seed=0)


# Step sizes that change from step to step.


def test_a_cosine_falls_from_the_whole_step_size_to_none():
    training = Training(epochs=10, learning_rate=0.3, schedule="cosine")
    reference = torch.optim.SGD(one_weight().parameters(), lr=0.3)
    published = torch.optim.lr_scheduler.CosineAnnealingLR(reference, T_max=10)
    for epoch in range(11):
        expected = reference.param_groups[0]["lr"]
        assert training.learning_rate_at(epoch) == pytest.approx(expected, abs=1e-12)
        reference.step()
        published.step()


@pytest.mark.parametrize("schedule", ["steps", "cosine"])
def test_a_warm_up_rises_in_a_line_and_the_rest_follows_it(schedule):
    training = Training(epochs=6, learning_rate=0.2, warmup=2.0, schedule=schedule)
    assert [training.learning_rate_at(t) for t in (0.0, 0.5, 1.0)] == pytest.approx([0, 0.05, 0.1])
    assert training.learning_rate_at(2.0) == pytest.approx(0.2)
    at = {"steps": 0.2, "cosine": 0.1}
    assert training.learning_rate_at(4.0) == pytest.approx(at[schedule])


def test_each_step_has_the_size_of_its_middle():
    sizes = []

    class Looking(Stored):
        def loss(self, model, batch):
            return 0 * model.weight.sum(), None

    class Recording(Training):
        def learning_rate_at(self, time):
            sizes.append(time)
            return super().learning_rate_at(time)

    training = Recording(epochs=2, batch_size=4, warmup=0.5)
    train_on(Looking(torch.zeros(10)), training, one_weight(), seed=0)
    assert sizes == pytest.approx([0.2, 0.6, 0.9, 1.2, 1.6, 1.9])
    # Of examples without a known number an epoch has one size.
    sizes.clear()

    class Endless(Examples):
        def batches(self, training, generator):
            yield from [(torch.zeros(2),)] * 3

        def loss(self, model, batch):
            return 0 * model.weight.sum(), None

    train_on(Endless(), training, one_weight(), seed=0)
    assert sizes == [0.5] * 3 + [1.5] * 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"schedule": "cosine", "decay_at": [0.5]}, "decay_at: a cosine has no steps"),
        ({"epochs": 3, "warmup": 3.0}, "warmup must end before the 3 epochs do"),
    ],
)
def test_schedules_that_contradict_themselves_are_refused(values, said):
    with pytest.raises(ValueError, match=said):
        Training(**values)


def test_what_layers_draw_follows_from_the_seed_and_leaves_the_callers_numbers_alone():
    x = torch.rand((12, 6), generator=torch.Generator().manual_seed(0))

    def trained(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(6, 3))
        state = torch.get_rng_state()
        train(Training(epochs=2, batch_size=12), model, x, torch.arange(12) % 3, seed=seed)
        assert torch.equal(torch.get_rng_state(), state)
        return model[1].weight.detach()

    one = trained(1)
    torch.rand(7)
    assert torch.equal(trained(1), one) and not torch.equal(trained(2), one)
