"""Adversarial training: what is attacked, by whom, and what comes of it."""

import logging
import math
import subprocess
import sys
import warnings

import pytest
import torch
from models_for_tests import predictions, small_images, small_network
from sklearn.datasets import load_digits

from advsparse.attacks._checks import AttackWarning
from advsparse.attacks.fgsm import FGSM
from advsparse.attacks.pgd import PGD
from advsparse.attacks.uap import UAP
from advsparse.config.loading import WORKFLOW
from advsparse.models._adversarial import Adversarial
from advsparse.models._augmentation import Augmentation
from advsparse.models._examples import AdversarialImages, LabelledImages
from advsparse.models._training import Training, labelled, train, train_on

X = small_images(20)
Y = torch.arange(20) % 4


@pytest.mark.parametrize(("share", "count"), [(1.0, 20), (0.5, 10), (0.33, 7), (0.001, 1)])
def test_the_first_share_of_a_mini_batch_is_attacked_and_the_rest_is_left(share, count):
    model, attack = small_network(X).eval(), PGD(eps=0.1, steps=3)
    found = Adversarial(attack=attack, share=share).attacked(model, X, Y, 7)
    assert torch.equal(found[:count], attack(model, X[:count], Y[:count], rng=7).x)
    assert torch.equal(found[count:], X[count:]) and math.ceil(share * 20) == count


def test_the_network_is_attacked_as_it_is_evaluated_and_goes_on_training():
    model = small_network(X).train()
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    adversarial = Adversarial(attack=PGD(eps=0.1, steps=3), against="prediction")
    found = adversarial.attacked(model, X, Y, 7)
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(value, statistics[name]) for name, value in model.named_buffers())
    model.eval()
    expected = PGD(eps=0.1, steps=3)(model, X, predictions(model, X), rng=7).x
    assert torch.equal(found, expected)
    assert not torch.equal(
        found, Adversarial(attack=PGD(eps=0.1, steps=3)).attacked(model, X, Y, 7)
    )


def test_attacked_images_have_the_loss_of_others_with_its_smoothing():
    model, attack = small_network(X).eval(), PGD(eps=0.1, steps=3)
    adversarial = Adversarial(attack=attack)
    source = AdversarialImages(X, Y, adversarial=adversarial, smoothing=0.3)
    loss, _ = source.loss(model, X, Y, 7)
    expected, _ = LabelledImages(X, Y, smoothing=0.3).loss(model, attack(model, X, Y, rng=7).x, Y)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(("share", "count"), [(0.5, 10), (0.33, 7), (1.0, 20)])
def test_a_weight_makes_the_loss_that_of_kurakin(share, count, smoothing):
    model, attack = small_network(X).eval(), FGSM(eps=0.1)
    adversarial = Adversarial(attack=attack, share=share, against="prediction", weight=0.3)
    source = AdversarialImages(X, Y, adversarial=adversarial, smoothing=smoothing)
    loss, right = source.loss(model, X, Y, 7)
    said = predictions(model, X)
    x = torch.cat([attack(model, X[:count], said[:count], rng=7).x, X[count:]])
    logs = model(x).log_softmax(1)
    wanted = torch.full((20, 4), smoothing / 4)
    wanted[torch.arange(20), Y] += 1 - smoothing
    each = -(wanted * logs).sum(1)
    clean, attacked = each[count:].sum(), each[:count].sum()
    expected = (clean + 0.3 * attacked) / ((20 - count) + 0.3 * count)
    # What is lowered is the loss over the size of the mini-batch.
    torch.testing.assert_close(loss / 20, expected)
    assert int(right) == int((logs.argmax(1) == Y).sum())


def test_without_a_weight_the_loss_is_the_same_to_the_last_bit():
    model = small_network(X).eval()
    adversarial = Adversarial(attack=FGSM(eps=0.1), share=0.5)
    assert adversarial.weights(20) is None
    loss, _ = AdversarialImages(X, Y, adversarial=adversarial).loss(model, X, Y, 7)
    x = adversarial.attacked(model, X, Y, 7)
    assert torch.equal(loss, torch.nn.functional.cross_entropy(model(x), Y, reduction="sum"))


def test_a_loss_of_a_networks_own_can_not_be_weighed():
    class Own(torch.nn.Module):
        def loss(self, x, y, smoothing):
            return x.sum(), x.flatten(1)

    with pytest.raises(ValueError, match="weight: a network with a loss of its own"):
        LabelledImages(X, Y).loss(Own(), X, Y, torch.ones(20))
    with pytest.raises(ValueError, match="weight"):
        Adversarial(attack=FGSM(eps=0.1), weight=0.0)


def test_images_that_are_to_be_attacked_are_moved_as_others_are():
    training = Training(batch_size=5, augmentation=Augmentation(crop=2, flip=True))
    adversarial = Adversarial(attack=FGSM(eps=0.1))
    plain = LabelledImages(X, Y).batches(training, torch.Generator().manual_seed(3))
    attacked = AdversarialImages(X, Y, adversarial=adversarial)
    batches = list(attacked.batches(training, torch.Generator().manual_seed(3)))
    for (x, y), (moved, labels, _) in zip(plain, batches, strict=True):
        assert torch.equal(moved, x) and torch.equal(labels, y)
    seeds = [int(seed) for *_, seed in batches]
    assert len({*seeds}) == 4 and max(seeds) > 2**58


def test_each_mini_batch_has_numbers_of_its_own_and_the_same_again():
    training, adversarial = Training(batch_size=5), Adversarial(attack=FGSM(eps=0.1))
    attacked = labelled(training, X, Y, adversarial=adversarial)

    def seeds(epoch):
        generator = torch.Generator().manual_seed(epoch)
        return [int(batch[2]) for batch in attacked.batches(training, generator)]

    assert len({*seeds(0), *seeds(1)}) == 8 and seeds(0) == seeds(0)
    assert type(labelled(Training(), X, Y)) is LabelledImages
    assert type(attacked) is AdversarialImages


def test_the_order_of_an_epoch_does_not_depend_on_the_attack():
    training, orders = Training(batch_size=5), []
    for adversarial in (None, Adversarial(attack=FGSM(eps=0.1))):
        examples = labelled(training, X, torch.arange(20), adversarial=adversarial)
        batches = examples.batches(training, torch.Generator().manual_seed(3))
        orders.append(torch.cat([batch[1] for batch in batches]))
    assert torch.equal(*orders)


def test_a_resumed_training_attacks_as_an_uninterrupted_one(tmp_path):
    adversarial = Adversarial(attack=PGD(eps=0.1, steps=2))
    path = tmp_path / "checkpoint.safetensors"

    def trained(*parts, **options):
        model = small_network(X)
        for epochs in parts:
            settings = Training(epochs=epochs, batch_size=10)
            train(settings, model, X, Y, adversarial=adversarial, seed=1, **options)
        return model.state_dict()

    resumed, whole = trained(1, 3, checkpoint=path), trained(3)
    assert all(torch.equal(value, whole[name]) for name, value in resumed.items())


def test_what_the_attack_says_is_heard_once(caplog):
    caplog.set_level(logging.INFO)
    # A network that ends in a softmax, which attacks warn of.
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4), torch.nn.Softmax(1))
    training, adversarial = Training(epochs=2, batch_size=5), Adversarial(attack=FGSM(eps=0.1))
    level = logging.getLogger("advsparse.attacks").level
    with pytest.warns(AttackWarning) as heard:
        train(training, model, X, Y, adversarial=adversarial, seed=0)
    assert len([w for w in heard if issubclass(w.category, AttackWarning)]) == 1
    assert caplog.text.count("images attacked") == 1
    assert logging.getLogger("advsparse.attacks").level == level
    with warnings.catch_warnings(record=True) as again:
        warnings.simplefilter("always")
        FGSM(eps=0.1)(model, X, Y)
    assert again, "others go on warning"


def test_an_attack_that_learns_from_many_images_is_refused():
    with pytest.raises(ValueError, match="uap learns from many images"):
        Adversarial(attack=UAP(eps=0.1))


def test_a_network_trained_on_attacked_images_withstands_more():
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target)
    attack = PGD(eps=0.1, steps=5, step=0.04)

    def robust(adversarial=None):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            nn = torch.nn
            model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
        training = Training(epochs=8, batch_size=50, learning_rate=0.01)
        examples = labelled(training, x[:1200], y[:1200], adversarial=adversarial)
        train_on(examples, training, model, seed=0)
        found = PGD(eps=0.1, steps=30, step=0.01)(model, x[1200:1500], y[1200:1500])
        return float((~found.success).float().mean())

    plain = robust()
    assert robust(Adversarial(attack=attack)) > plain + 0.15
    assert robust(Adversarial(attack=attack, share=0.5)) > plain + 0.1


def test_plain_values_describe_it():
    spec = {"attack": {"kind": "fgsm", "norm": "linf", "eps": 0.1}, "share": 0.5}
    expected = Adversarial(attack=FGSM(eps=0.1), share=0.5)
    assert Adversarial.of(spec | {"against": "label"}) == expected and Adversarial.of(None) is None


def test_a_training_without_it_loads_no_attack():
    code = (
        "import sys, advsparse.models._training; sys.exit('advsparse.attacks.pgd' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(WORKFLOW)})
