"""What trainings of networks share beyond classifiers: step sizes, and examples of an epoch."""

import pytest
import torch

from advsparse.models._training import Examples, LabelledImages, Training, train, train_on
from advsparse.models.lenet import LeNet


def steps(**settings):
    training = Training(**settings)
    return [training.learning_rate_in(epoch) for epoch in range(training.epochs)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"epochs": 3}, [1, 1, 1]),
        ({"epochs": 6, "decay_at": [1 / 3, 2 / 3]}, [1, 1, 0.1, 0.1, 0.01, 0.01]),
        ({"epochs": 4, "decay_at": [0.5], "decay": 0.5}, [1, 1, 0.5, 0.5]),
        ({"epochs": 3, "decay_at": [0.3333, 0.6667]}, [1, 0.1, 0.01]),
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
        def loss(self, x, y):
            return self.weight.square().sum(), self(x)

    loss, correct = LabelledImages().loss(Own(2, 3), torch.zeros(4, 2), torch.zeros(4).long())
    assert loss.ndim == 0
    assert 0 <= int(correct) <= 4


@pytest.mark.parametrize("values", [{"decay_at": [0.0]}, {"decay_at": [1.0]}, {"decay": 0.0},
                                    {"examples": 0}])  # fmt: skip
def test_bad_settings_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values))):
        Training(**values)
