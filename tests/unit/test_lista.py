"""Signals of known codes, and LISTA, which learns to find them."""

import pytest
import torch
from sklearn.linear_model import Lasso

from advsparse.coding._signals import Signals
from advsparse.coding._training import GeneratedSignals
from advsparse.coding.lista import LISTA
from advsparse.errors import TrainingError
from advsparse.models._training import Training, train_on

SMALL = Signals(size=20, atoms=40, sparsity=3)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# Signals.


def test_dictionary_is_gaussian_with_normalised_columns():
    d = Signals().dictionary(seed=3)
    assert d.shape == (250, 500)
    assert d.dtype == torch.float32
    torch.testing.assert_close(d.norm(dim=0), torch.ones(500))
    # Entries of a random unit vector: variance 1/m, and as many below one deviation as Gaussians.
    assert float(d.mean()) == pytest.approx(0, abs=4 / 250)
    assert float((d.abs() < 250**-0.5).float().mean()) == pytest.approx(0.6827, abs=0.01)
    assert torch.equal(d, Signals().dictionary(seed=3))
    assert not torch.equal(d, Signals().dictionary(seed=4))


def test_signals_are_those_of_their_codes():
    signals = Signals()
    d = signals.dictionary(0)
    x, code = signals.draw(2000, d, generator())
    assert x.dtype == code.dtype == torch.float32
    torch.testing.assert_close(x, code @ d.T)
    active = code != 0
    assert (active.sum(1) == 50).all()
    # Each place is taken as often: 200 times of 2000, with deviation 13.4.
    assert (active.sum(0) - 200).abs().max() < 5 * 13.4
    values = code[active]
    assert float(values.mean()) == pytest.approx(0, abs=0.015)
    assert float(values.std()) == pytest.approx(1, abs=0.015)
    # Places are drawn apart from values.
    assert float((values.abs() < 1).float().mean()) == pytest.approx(0.6827, abs=0.01)


def test_bernoulli_support_varies():
    signals = Signals(support="bernoulli")
    _, code = signals.draw(2000, signals.dictionary(0), generator())
    count = (code != 0).sum(1).double()
    assert float(count.mean()) == pytest.approx(50, abs=5 * (45 / 2000) ** 0.5)
    assert float(count.var()) == pytest.approx(45, rel=0.2)


def test_signals_come_from_the_generator_alone():
    d = SMALL.dictionary(0)
    before = torch.get_rng_state()
    one, two = (SMALL.draw(4, d, generator(1)) for _ in range(2))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])
    assert not torch.equal(one[1], SMALL.draw(4, d, generator(2))[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_more_nonzero_entries_than_atoms_are_refused():
    with pytest.raises(ValueError, match="sparsity 50 is more than the 40 atoms"):
        Signals(atoms=40)


# The network.


@pytest.fixture
def small():
    d = SMALL.dictionary(0)
    return d, *SMALL.draw(30, d, generator())


def test_untrained_network_is_ista(small):
    d, x, _ = small
    lasso_weight, layers = 0.05, 2000
    network = LISTA(layers=layers, weight=lasso_weight).build((20,), dictionary=d)
    # Another way to the minimum of ||x - D a||^2 / 2 + weight ||a||_1, with m in its scaling.
    peer = Lasso(alpha=lasso_weight / 20, fit_intercept=False, tol=1e-10, max_iter=100_000)
    expected = torch.from_numpy(peer.fit(d.double().numpy(), x.double().numpy().T).coef_).float()
    with torch.no_grad():
        torch.testing.assert_close(network(x), expected, rtol=0, atol=2e-4)


def test_layers_against_their_definition(small):
    d, x, _ = small
    network = LISTA(layers=3, start="random").build((20,), seed=1, dictionary=d)
    with torch.no_grad():
        network.threshold.copy_(torch.tensor([0.1, -0.2, 0.3]))
        code = torch.zeros(30, 40)
        for k, threshold in enumerate([0.1, 0.0, 0.3]):
            fed_back = network.feedback[k - 1] @ code.T if k else 0
            code = (network.analysis[k] @ x.T + fed_back).T
            code = torch.nn.functional.softshrink(code, threshold)
        torch.testing.assert_close(network(x), code, rtol=1e-4, atol=1e-5)
        assert (code != 0).any()


def test_loss_is_the_squared_error_of_the_code_summed_over_signals(small):
    d, x, code = small
    network = LISTA(layers=2).build((20,), dictionary=d)
    expected = sum(float(((network(x) - code)[i].detach() ** 2).sum()) for i in range(30))
    assert float(network.loss(x, code).detach()) == pytest.approx(expected, rel=1e-5)


def test_signals_do_not_depend_on_each_other(small):
    d, x, _ = small
    network = LISTA(layers=4).build((20,), dictionary=d)
    with torch.no_grad():
        alone = torch.cat([network(one[None]) for one in x])
        torch.testing.assert_close(network(x), alone, rtol=1e-5, atol=1e-6)


def test_coding_is_differentiable_and_leaves_the_signals_alone(small):
    d, x, code = small
    network = LISTA(layers=3).build((20,), dictionary=d).double()
    x = x[:2].double().requires_grad_()
    before = x.detach().clone()
    assert torch.autograd.gradcheck(network.encode, (x,), atol=1e-6)
    network.loss(x, code[:2].double()).backward()
    assert all(p.grad.abs().sum() > 0 for p in network.parameters())
    assert torch.equal(x, before)


def test_dictionary_is_kept_and_not_trained(small):
    d, _, code = small
    network = LISTA(layers=2).build((20,), dictionary=d)
    assert torch.equal(network.synthesis.matrix, d)
    torch.testing.assert_close(network.decode(code), code @ d.T)
    assert "dictionary" in network.state_dict()
    assert "dictionary" not in dict(network.named_parameters())


def test_random_start_differs_by_seed(small):
    d = small[0]
    lista = LISTA(layers=2, start="random")
    one, two, again = (lista.build((20,), seed, d).analysis for seed in (1, 2, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    bound = 20**-0.5
    assert bound * 0.95 < one.detach().abs().max() <= bound


@pytest.mark.parametrize(
    ("shape", "dictionary", "said"),
    [((20,), None, "needs the dictionary"), ((21,), torch.zeros(20, 40), "shape"),
     ((1, 4, 5), torch.zeros(20, 40), "shape")],
)  # fmt: skip
def test_dictionary_that_is_missing_or_does_not_fit_is_refused(shape, dictionary, said):
    with pytest.raises(ValueError, match=said):
        LISTA().build(shape, dictionary=dictionary)


# Training.


def error(network, d):
    x, code = SMALL.draw(500, d, generator(9))
    with torch.no_grad():
        return float((network(x) - code).square().sum() / code.square().sum())


def trained(epochs=4, examples=2000, **options):
    d = SMALL.dictionary(0)
    network = LISTA(layers=6, weight=0.2).build((20,), dictionary=d)
    training = Training(epochs=epochs, examples=examples, batch_size=50, decay_at=[0.5])
    train_on(GeneratedSignals(SMALL, d), training, network, seed=5, **options)
    return network


def test_training_lowers_the_error_well_below_that_of_ista():
    d = SMALL.dictionary(0)
    untrained = LISTA(layers=6, weight=0.2).build((20,), dictionary=d)
    assert error(trained(), d) < 0.5 * error(untrained, d)


def test_resumed_training_draws_what_an_uninterrupted_one_would(tmp_path):
    class Interruption(Exception):
        pass

    class Interrupted(GeneratedSignals):
        epochs = 0

        def batches(self, training, generator):
            self.epochs += 1
            for number, batch in enumerate(super().batches(training, generator)):
                if self.epochs == 3 and number == 2:
                    raise Interruption
                yield batch

    d, path = SMALL.dictionary(0), tmp_path / "checkpoint.safetensors"
    network = LISTA(layers=6, weight=0.2).build((20,), dictionary=d)
    training = Training(epochs=4, examples=200, batch_size=50, decay_at=[0.5])
    with pytest.raises(Interruption):
        train_on(Interrupted(SMALL, d), training, network, seed=5, checkpoint=path)
    resumed, whole = trained(examples=200, checkpoint=path), trained(examples=200)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_last_batch_has_what_is_left():
    d = SMALL.dictionary(0)
    training = Training(examples=25, batch_size=10)
    batches = list(GeneratedSignals(SMALL, d).batches(training, generator()))
    assert [len(x) for x, _ in batches] == [10, 10, 5]
    assert not torch.equal(batches[0][0], batches[1][0])


def test_generated_signals_need_a_number():
    with pytest.raises(TrainingError, match="examples"):
        trained(examples=None)
