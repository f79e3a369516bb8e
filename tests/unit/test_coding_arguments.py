"""What coders are given: other types, what is not finite, and tensors of inference mode."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from solver_cases import noisy, normal, small_convolution, unit_columns

from advsparse.arguments import all_finite
from advsparse.artifacts import make_metadata, write_tensors
from advsparse.attacks.dict_attack import DictAttack
from advsparse.coding._convolution_map import Convolution
from advsparse.coding._io import load_coder
from advsparse.coding._maps import Matrix
from advsparse.coding._solving import Flat, solve_in_parts
from advsparse.coding.convlista import ConvLISTA
from advsparse.coding.lasso import Lasso
from advsparse.coding.lista import LISTA
from advsparse.coding.omp import OMP
from advsparse.errors import ArtifactError
from advsparse.models.sparse_code import SparseCode
from advsparse.registry import spec_of

SHAPE = (2, 6, 7)
DICTIONARY = unit_columns(10, 20).float()
NETWORKS = {
    "lista": lambda: LISTA(layers=3, weight=0.01).build((10,), dictionary=DICTIONARY),
    "lista at random": lambda: LISTA(layers=3, start="random").build((10,), dictionary=DICTIONARY),
    "convlista": lambda: ConvLISTA(filters=4, size=3, threshold=0.01).build(SHAPE),
}
SOLVERS = {"omp": OMP(sparsity=3), "lasso": Lasso(weight=0.1)}
each_network = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
each_solver = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)


def signals(network):
    return normal(4, *network.synthesis.signal_shape).float()


# Other types.


@each_solver
def test_solvers_say_what_they_expect(solver):
    x = normal(3, 10)
    array = DICTIONARY.numpy()
    for given, kind in ((x.numpy(), "numpy.ndarray"), (x.tolist(), "list"), (None, "None")):
        with pytest.raises(TypeError, match=f"^x: expected a torch.Tensor, got {kind}"):
            solver.solve(Matrix(DICTIONARY), given)
    for given, kind in ((DICTIONARY, "torch.Tensor"), (array, "numpy.ndarray"), (None, "None")):
        with pytest.raises(TypeError, match=f"^synthesis: expected a LinearMap, got {kind}"):
            solver.solve(given, x)


def test_shared_parts_of_solvers_say_what_they_expect():
    with pytest.raises(TypeError, match=r"^synthesis: expected a LinearMap, got list; Matrix\(D\)"):
        Flat([[1.0]])
    with pytest.raises(TypeError, match=r"^x: expected a torch.Tensor, got list"):
        solve_in_parts(lambda part: part, Matrix(DICTIONARY), [[1.0] * 10], 1)


def test_maps_say_what_they_expect():
    with pytest.raises(TypeError, match=r"^matrix: expected a torch.Tensor, got numpy.ndarray"):
        Matrix(DICTIONARY.numpy())
    with pytest.raises(ValueError, match=r"^matrix: expected real numbers m x n, .* \(10,\)"):
        Matrix(torch.zeros(10))
    with pytest.raises(ValueError, match=r"^matrix: expected real numbers m x n, got .*complex64"):
        Matrix(DICTIONARY.to(torch.complex64))
    with pytest.raises(TypeError, match=r"^filters: expected a torch.Tensor, got list"):
        Convolution([1.0], (3, 3))
    with pytest.raises(ValueError, match=r"^filters: expected real numbers K x C x h x w"):
        Convolution(torch.zeros(1, 3, 3), (3, 3))
    with pytest.raises(ValueError, match=r"^filters: expected real numbers .*complex64"):
        Convolution(torch.zeros(1, 1, 3, 3, dtype=torch.complex64), (3, 3))


def test_whole_numbers_are_a_dictionary():
    whole = torch.eye(3, dtype=torch.int64)
    x = normal(2, 3)
    torch.testing.assert_close(OMP(sparsity=3).solve(Matrix(whole), x).code, x)


def test_lista_says_what_dictionary_it_expects():
    for given, kind in ((DICTIONARY.numpy(), "numpy.ndarray"), ([[1.0]], "list")):
        with pytest.raises(TypeError, match=f"^dictionary: expected a torch.Tensor, got {kind}"):
            LISTA().build((10,), dictionary=given)
    with pytest.raises(ValueError, match=r"^dictionary: .* floating-point .* got torch.int64"):
        LISTA().build((10,), dictionary=DICTIONARY.long())
    with pytest.raises(ValueError, match=r"^dictionary: expected m x n, got shape \(10,\)"):
        LISTA().build((10,), dictionary=DICTIONARY[:, 0])


@each_network
def test_networks_say_what_they_expect(network):
    network = network()
    x = signals(network)
    for name, function in (("x", network.encode), ("code", network.decode)):
        for given, kind in ((np.zeros((1, 2)), "numpy.ndarray"), ([1.0], "list")):
            with pytest.raises(TypeError, match=f"^{name}: expected a torch.Tensor, got {kind}"):
                function(given)
        with pytest.raises(ValueError, match=f"^{name}: .* floating-point .* got torch.int64"):
            function(x.long())


# What is not finite.


@each_network
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_signals_that_are_not_finite_are_refused(network, value):
    network = network()
    x = signals(network)
    code = network.encode(x).detach()
    for given in (x, code):
        given[(-1,) * given.ndim] = value
    with pytest.raises(ValueError, match=r"^signals must be finite, got NaN or infinity"):
        network.encode(x)
    with pytest.raises(ValueError, match=r"^codes must be finite, got NaN or infinity"):
        network.decode(code)
    # The module itself, which is trained and attacked, looks at nothing.
    assert not network(x).isfinite().all()


@each_network
def test_weights_that_are_not_finite_are_refused(network):
    trained = network()
    x = signals(trained)
    code = trained.encode(x).detach()
    trained.require_finite()
    for name in trained.state_dict():
        broken = copy.deepcopy(trained)
        weights = broken.state_dict()[name]
        weights[(0,) * weights.ndim] = torch.nan
        with pytest.raises(ValueError, match=f"weights of a coder .* infinity in {name}$"):
            broken.require_finite()
        decodes = name in ("decoder", "dictionary")
        function, given = (broken.decode, code) if decodes else (broken.encode, x)
        with pytest.raises(ValueError, match=r"what becomes of 4 of 4 .* not finite in .*weights"):
            function(given)


def test_weights_that_are_not_finite_enter_nowhere(tmp_path):
    method, path = ConvLISTA(filters=4, size=3), tmp_path / "coder.safetensors"
    coder = method.build((1, 6, 6))
    with torch.no_grad():
        coder.threshold[2] = torch.inf
    with pytest.raises(ValueError, match="NaN or infinity in threshold"):
        SparseCode().build((1, 6, 6), 3, coder=coder)
    told = {"params": {"method": spec_of(method)}, "extra": {"shape": [1, 6, 6]}}
    write_tensors(path, coder.state_dict(), make_metadata("coder", code="", seed=0, **told))
    with pytest.raises(ArtifactError, match="NaN or infinity in threshold"):
        load_coder(path)


@pytest.mark.parametrize("factor", [0.0, 1e-200, 1e-30])
def test_dictionaries_too_small_to_start_from_are_refused(factor):
    given = DICTIONARY.double() * factor
    with pytest.raises(ValueError, match=r"^dictionary: it is too small, .* of D\^T D is "):
        LISTA().build((10,), dictionary=given)
    if factor != 1e-200:  # float32 does not have it
        with pytest.raises(ValueError, match=r"^dictionary: it is too small"):
            LISTA().build((10,), dictionary=given.float())
    LISTA(start="random").build((10,), dictionary=given)


@pytest.mark.parametrize("constraint", ["exact", "column_norms"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_dict_attack_refuses_weights_that_are_not_finite(constraint, value):
    coder = ConvLISTA(filters=4, size=3).build((1, 6, 6))
    model = SparseCode().build((1, 6, 6), 3, coder=coder)
    x, y = torch.rand(3, 1, 6, 6), torch.arange(3)
    attack = DictAttack(eps=1.0, constraint=constraint)
    attack.fit(model, x, y)
    with torch.no_grad():
        model.linear.weight[1, 7] = value
    with pytest.raises(ValueError, match=r"model: its weights must be finite, .* 1 of 3 classes"):
        attack.fit(model, x, y)


# Tensors of inference mode.


@each_network
def test_signals_of_inference_mode(network):
    network = network()
    x = signals(network)
    code = network.encode(x)
    with torch.inference_mode():
        given, coded = x.clone(), code.detach().clone()
        within = network.encode(x)
    assert torch.equal(within, code)
    for function in (network, network.encode):
        found = function(given)
        assert torch.equal(found, code) and found.requires_grad
        assert torch.equal(network.decode(coded), network.decode(code))
    network.loss(given, coded).backward()
    found = [p.grad.clone() for p in network.parameters()]
    network.zero_grad()
    network.loss(x, code.detach()).backward()
    for one, other in zip(found, network.parameters(), strict=True):
        assert torch.equal(one, other.grad)


@each_network
def test_networks_built_in_inference_mode_learn(network):
    with torch.inference_mode():
        made = network()
    expected = network()
    for name, value in expected.state_dict().items():
        assert torch.equal(made.state_dict()[name], value)
    x = signals(expected)
    made(x).square().sum().backward()
    assert made.analysis.grad.any()


@each_solver
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_solvers_in_and_of_inference_mode(solver, dtype):
    for synthesis in (Matrix(unit_columns(10, 20)), small_convolution()):
        x = noisy(synthesis, 3, 3).to(dtype)
        expected = solver.solve(synthesis, x).code
        with torch.inference_mode():
            given, same = x.clone(), synthesis.over(1.0)
            assert torch.equal(solver.solve(synthesis, x).code, expected)
        assert torch.equal(solver.solve(same, given).code, expected)


def test_sums_that_overflow_are_of_finite_numbers():
    assert all_finite(torch.full((3,), 3e38)) and all_finite(torch.zeros(0))
    assert not all_finite(torch.tensor([torch.inf, -torch.inf]))
    assert not all_finite(torch.tensor([1.0, torch.nan]))
