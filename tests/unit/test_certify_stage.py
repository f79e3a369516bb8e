"""From a trained classifier to a file of certificates that anyone can check."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from advsparse import registry
from advsparse.artifacts import make_metadata, read_arrays, write_arrays
from advsparse.certify.__main__ import main
from advsparse.certify._certified import REPLAYED, SOLVER, WORDS, Certified, Target
from advsparse.certify._extract import relu_network
from advsparse.certify._file import check, history, proofs
from advsparse.certify._proof import Proof
from advsparse.certify._stage import together
from advsparse.certify.nearest import Nearest
from advsparse.errors import CertificateError

METHOD = {"kind": "nearest", "norm": "linf", "targets": "all", "confidence": 1e-3, "seconds": 20}


def classifier(kind="feedforward", shape=(1, 6, 6), seed=0, **settings):
    network = registry.from_spec("models", {"kind": kind} | settings).build(shape, 3, seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3.0)  # as training would: so that classes differ
    return network.eval()


def images(count=3, shape=(1, 6, 6)):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("kind", "settings", "shape"),
    [
        ("feedforward", {"hidden": [7]}, (1, 6, 6)),
        ("feedforward", {"hidden": [7, 5]}, (3, 4, 4)),
        ("pooled_convnet", {"width": 2, "size": 3, "stride": 1}, (1, 8, 8)),
        ("pooled_convnet", {"width": 3, "size": 4, "stride": 2}, (3, 12, 12)),
        ("lenet", {}, (1, 28, 28)),
    ],
)
def test_the_network_is_that_of_the_classifier(kind, settings, shape):
    model = classifier(kind, shape, **settings)
    network = relu_network(model, shape)
    x = images(4, shape)
    with torch.no_grad():
        expected = model.double()(x.double()).numpy()
    assert np.allclose(network.logits(x.flatten(1).double().numpy()), expected, atol=1e-10)


def test_normalisation_and_batch_norm_become_part_of_affine_maps():
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(2)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3, padding=1), norm, torch.nn.ReLU(), torch.nn.AvgPool2d(2),
        torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(18, 4), torch.nn.ReLU(),
        torch.nn.Linear(4, 3),
    )  # fmt: skip
    model(torch.rand(32, 1, 6, 6))  # statistics
    model.eval()
    network = relu_network(model, (1, 6, 6))
    x = images()
    with torch.no_grad():
        expected = model.double()(x.double()).numpy()
    assert network.hidden == (72, 4)
    assert np.allclose(network.logits(x.flatten(1).double().numpy()), expected, atol=1e-10)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ([torch.nn.Flatten(), torch.nn.Linear(36, 4), torch.nn.Sigmoid()], "no layer Sigmoid"),
        ([torch.nn.Flatten(), torch.nn.Linear(36, 3)], "networks with a ReLU"),
        ([torch.nn.MaxPool2d(2)], "max-pooling that follows a ReLU"),
        ([torch.nn.Conv2d(1, 600, 1)], "has 21600 units"),
    ],
)
def test_what_certificates_do_not_know_is_named(layers, said):
    with pytest.raises(CertificateError, match=said):
        relu_network(torch.nn.Sequential(*layers), (1, 6, 6))


def test_gradients_are_those_of_torch():
    model = classifier("pooled_convnet", (1, 8, 8), width=2, size=3, stride=1).double()
    network = relu_network(model, (1, 8, 8))
    x = images(3, (1, 8, 8)).double().requires_grad_()
    logits = model(x)
    (logits[:, 2] - logits[:, 0]).sum().backward()
    margins, gradients = network.slope(x.detach().flatten(1).numpy(), 0, 2)
    assert np.allclose(margins, (logits[:, 2] - logits[:, 0]).detach().numpy())
    assert np.allclose(gradients, x.grad.flatten(1).numpy())


def made(tmp_path, network, x, **changes):
    """A file as the stage writes it."""
    method = METHOD | changes
    certificate = registry.from_spec("certify", method)
    rows = [certificate.row(network, one.flatten().double().numpy()) for one in x]
    arrays = {"index": np.arange(len(x)), "label": np.zeros(len(x), dtype=int)}
    arrays |= together(certificate, rows) | network.arrays()
    path = tmp_path / "certificate.npz"
    noted = {"network_digest": network.digest, "classifier_sha256": "0"}
    metadata = make_metadata("certificate", params={"method": method}, code="", seed=0, extra=noted)
    write_arrays(path, arrays, metadata)
    return path


def test_a_file_is_checked_without_a_solver(tmp_path, capsys, monkeypatch):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    path = made(tmp_path, network, images())
    monkeypatch.setitem(__import__("sys").modules, "highspy", None)
    assert main(["check", str(path)]) == 0
    said = capsys.readouterr().out
    assert said.count("replayed") == 3 and "all of it holds" in said
    assert network.digest[:16] in said


def altered(path, **changes):
    arrays, metadata = read_arrays(path)
    for name, change in changes.items():
        arrays[name] = change(arrays[name].copy())
    write_arrays(path, arrays, metadata)
    return path


def raised(array, factor):
    array[0] = array[0] * factor
    return array


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"lower": lambda a: raised(a, 1.1), "upper": lambda a: raised(a, 1.2)},
            "the lower bound is above that of a class",
        ),
        ({"lower": lambda a: raised(a, 1.1)}, "the lower bound is above the upper one"),
        ({"target_lower": lambda a: raised(a, 1.01)}, "a part of the proof is left open"),
        ({"upper": lambda a: raised(a, 0.99999)}, "farther away than the upper bound"),
        ({"witness": lambda a: raised(a, 0.999)}, "the witness"),
        ({"nearest": lambda a: (a + 1) % 3}, "the witness is not adversarial"),
        ({"network.weight1": lambda a: a[::-1].copy()}, "the network gives the image another"),
        ({"x": lambda a: np.clip(a + 0.2, 0, 1)}, ""),
        ({"targets": lambda a: raised(a, 0)}, "not all other classes have a bound"),
        ({"target_status": lambda a: raised(a, 0)}, "a bound without a proof"),
        ({"proof_integers": lambda a: a[::-1].copy()}, "class"),
    ],
)
def test_forged_certificates_are_found(tmp_path, capsys, changes, said):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    path = altered(made(tmp_path, network, images(2)), **changes)
    assert main(["check", str(path)]) == 1
    text = capsys.readouterr().out
    assert "WRONG" in text and said in text


@pytest.mark.parametrize("status", [-1, 3, 7])
def test_a_status_that_there_is_not_claims_nothing(tmp_path, status):
    """-1 would be the last of the words, counted from their end."""
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    path = made(tmp_path, network, images(1))
    upper = read_arrays(path)[0]["upper"][0]
    forged = altered(
        path,
        lower=lambda a: a * 0 + upper,
        target_lower=lambda a: a * 0 + upper,
        target_status=lambda a: a * 0 + status,
        proof_integers=lambda a: a * 0,
    )
    arrays, metadata = read_arrays(forged)
    (found,) = check(arrays, metadata.params["method"])
    assert found.rests_on == "open"
    assert sum(f"there is no status {status}" in word for word in found.wrong) == 2


@pytest.mark.parametrize("name", ["lower", "upper", "target_lower"])
def test_a_bound_that_is_no_number_is_wrong(tmp_path, name):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    path = made(tmp_path, network, images(1))
    changes = {name: lambda a: a * np.nan, "target_status": lambda a: a * 0}
    assert main(["check", str(altered(path, **changes))]) == 1


def test_other_weights_are_told_by_their_digest(tmp_path, capsys):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    path = altered(made(tmp_path, network, images(1)), **{"network.bias1": lambda a: a + 1e-13})
    assert main(["check", str(path)]) == 1
    said = capsys.readouterr().out
    assert "the network is not the one that the certificates were made for" in said
    assert network.digest[:16] not in said


def test_a_file_that_is_none_is_one_message(tmp_path, capsys):
    assert main(["check", str(tmp_path / "none.npz")]) == 2
    assert "none.npz" in capsys.readouterr().err


def test_a_certificate_of_one_class_says_so(tmp_path, capsys):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    path = made(tmp_path, network, images(1), targets="second")
    arrays, metadata = read_arrays(path)
    assert arrays["targets"].shape == (1, 1)
    assert main(["check", str(path)]) == 0 and "second" in capsys.readouterr().out
    (found,) = check(
        arrays | {"targets": 3 - arrays["targets"] - arrays["prediction"][:, None]},
        metadata.params["method"],
    )
    assert "the bound is not of the second class" in found.wrong
    # One that claims to be of all classes is found out.
    metadata.params["method"]["targets"] = "all"
    write_arrays(path, arrays, metadata)
    assert main(["check", str(path)]) == 1


def test_a_certificate_of_a_class_by_number(tmp_path, capsys):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    x = images(3)
    classes = network.logits(x.flatten(1).double().numpy()).argmax(1)
    path = made(tmp_path, network, x, target=int(classes[0]))
    assert main(["check", str(path)]) == 0
    assert f"class {classes[0]}" in capsys.readouterr().out
    arrays, metadata = read_arrays(path)
    assert arrays["upper"][0] == arrays["lower"][0] == 0
    metadata.params["method"]["target"] = int((classes[0] + 1) % 3)
    write_arrays(path, arrays, metadata)
    assert main(["check", str(path)]) == 1
    assert "of another class than was asked for" in capsys.readouterr().out


def test_pooling_is_said_to_be_the_solvers_word(tmp_path, capsys):
    model = classifier("pooled_convnet", (1, 6, 6), width=2, size=2, stride=1)
    network = relu_network(model, (1, 6, 6))
    path = made(tmp_path, network, images(1), seconds=10)
    assert main(["check", str(path)]) == 0
    assert WORDS[1] in capsys.readouterr().out


def test_what_a_file_holds_of_an_image(tmp_path):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    x = images(3)
    arrays, metadata = read_arrays(made(tmp_path, network, x))
    for row, found in enumerate(check(arrays, metadata.params["method"])):
        own = Nearest(confidence=1e-3).certify(network, x[row].flatten().double().numpy())
        assert found.wrong == () and found.index == row
        assert (found.lower, found.upper) == pytest.approx((own.lower, own.upper))
        for (integers, reals), one in zip(proofs(arrays, row), own.targets, strict=True):
            assert one.proof is not None
            assert (integers == one.proof.arrays()[0]).all()
            assert np.allclose(reals, one.proof.arrays()[1])
        seconds, lower, upper = history(arrays, row)
        assert (np.diff(seconds) >= 0).all() and lower[-1] == found.lower
        assert upper[-1] == found.upper


def found_in(path, **changes):
    """What a check finds of an altered file of one image."""
    arrays, metadata = read_arrays(altered(path, **changes))
    (found,) = check(arrays, metadata.params["method"])
    return found


def filled(value):
    return lambda array: np.full_like(array, value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prediction": lambda a: a + 1}, ["the network gives the image another class"]),
        ({"targets": lambda a: a[:, [0, 0]]}, ["not all other classes have a bound"]),
        ({"lower": filled(0.9), "upper": filled(np.inf)}, ["the lower bound is above that of a "
                                                           "class"]),
        ({"lower": filled(0.9), "target_lower": filled(0.9), "target_status": filled(1)},
         ["the lower bound is above the upper one"]),
        ({"witness": filled(2.0), "upper": filled(9.0)}, ["the witness is no image"]),
        ({"witness": filled(-2.0), "upper": filled(9.0)}, ["the witness is no image"]),
        ({"witness": filled(1.0), "upper": filled(0.5)},
         ["the witness is farther away than the upper bound"]),
        ({"upper": lambda a: a * (1 - 1e-11)},
         ["the witness is farther away than the upper bound"]),
        ({"witness": lambda a: a * 0 + 0.5, "upper": filled(1.0)},
         ["the witness is not adversarial"]),
        ({"target_status": filled(0), "lower": filled(0.0)},
         ["class {0}: a bound without a proof", "class {1}: a bound without a proof"]),
        ({"target_lower": lambda a: a * 2}, ["class {0}: a part of the proof is left open"]),
    ],
)  # fmt: skip
def test_a_check_says_what_is_wrong(tmp_path, changes, said):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    path = made(tmp_path, network, images(1))
    arrays, _ = read_arrays(path)
    if said == ["the witness is not adversarial"]:
        changes = changes | {"witness": lambda a: arrays["x"].astype(float)}
    found = found_in(path, **changes).wrong
    missing = [one.format(*arrays["targets"][0]) for one in said]
    assert set(missing) <= set(found)
    # What else is said of the witness, or of another class' proof, depends on where they are.
    rest = set(found) - set(missing)
    assert all("witness" in one or "left open" in one for one in rest)


@pytest.mark.parametrize(
    ("changes", "rests_on"),
    [
        ({}, 2),
        ({"upper": filled(np.inf), "witness": filled(2.0)}, 2),  # which claims nothing
        ({"upper": lambda a: a * (1 - 1e-13)}, 2),
        ({"target_status": filled(0), "target_lower": filled(0.0), "lower": filled(0.0)}, 0),
        ({"target_status": lambda a: a * np.array([1, 0]), "target_lower": filled(0.0),
          "lower": filled(0.0)}, 0),
        ({"target_status": lambda a: a - np.array([1, 0])}, 1),
    ],
)  # fmt: skip
def test_what_a_bound_rests_on_is_the_least_of_its_classes(tmp_path, changes, rests_on):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    found = found_in(made(tmp_path, network, images(1)), **changes)
    assert found.wrong == () and found.rests_on == WORDS[rests_on]


def test_bounds_may_meet(tmp_path):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    path = made(tmp_path, network, images(1))
    upper = filled(read_arrays(path)[0]["upper"][0])
    found = found_in(path, lower=upper, target_lower=upper, target_status=filled(1))
    assert found.wrong == () and found.lower == found.upper


def test_a_proof_for_each_class_is_in_a_file(tmp_path):
    """Where there are fewer, the others would be left out of the check."""
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    path = made(tmp_path, network, images(1))
    arrays, metadata = read_arrays(path)
    kinds = ("proof_integer_ends", "proof_real_ends")
    for names in (kinds, kinds[:1], kinds[1:]):
        fewer = arrays | {name: arrays[name][:, :1] for name in names}
        (found,) = check(fewer, metadata.params["method"])
        assert "there are not as many proofs as classes" in found.wrong
        if len(names) == 1:
            with pytest.raises(ValueError, match="zip"):
                proofs(fewer, 0)


def test_a_proof_with_pooling_is_none(tmp_path):
    model = classifier("pooled_convnet", (1, 6, 6), width=2, size=2, stride=1)
    network = relu_network(model, (1, 6, 6))
    path = made(tmp_path, network, images(1), targets="second", seconds=10)
    target = read_arrays(path)[0]["targets"][0, 0]
    said = f"class {target}: there are no proofs of networks with pooling"
    assert found_in(path, target_status=filled(2)).wrong == (said,)


def test_a_witness_with_pooling_reaches_the_confidence_too(tmp_path):
    model = classifier("pooled_convnet", (1, 6, 6), width=2, size=2, stride=1)
    network = relu_network(model, (1, 6, 6))
    path = made(tmp_path, network, images(1), targets="second", seconds=10)
    assert found_in(path).wrong == ()
    x = read_arrays(path)[0]["x"].astype(float)
    assert found_in(path, witness=lambda a: x).wrong == ("the witness is not adversarial",)


def test_the_history_of_an_image_begins_with_its_first_event(tmp_path):
    network = relu_network(classifier(hidden=[8]), (1, 6, 6))
    arrays, _ = read_arrays(made(tmp_path, network, images(2)))
    ends = arrays["event_seconds_ends"]
    for row, (start, end) in enumerate([(0, ends[0]), (ends[0], ends[1])]):
        parts = zip(history(arrays, row), ("seconds", "lower", "upper"), strict=True)
        for found, name in parts:
            assert (found == arrays[f"event_{name}"][start:end]).all()
            assert len(found) == end - start > 0


def test_what_a_file_has_of_an_image_without_a_witness():
    x = np.array([0.25, 0.5])
    found = Certified(x, 1, [Target(0, 0.5, REPLAYED, Proof([3], [0.5])), Target(2, nodes=4)])
    found.note()
    found.seconds = 2.5
    arrays = found.arrays()
    assert arrays["x"].dtype == np.float32 and arrays["witness"].dtype == np.float64
    assert arrays.pop("event_seconds").shape == (1,)
    expected = {
        "prediction": [1], "x": [x], "lower": [0.0], "upper": [np.inf], "status": [0],
        "nearest": [0], "witness": [x], "seconds": [2.5], "targets": [[0, 2]],
        "target_lower": [[0.5, 0.0]], "target_upper": [[np.inf, np.inf]],
        "target_status": [[2, 0]], "target_nodes": [[0, 4]], "proof_integer_ends": [[1, 1]],
        "proof_real_ends": [[1, 1]], "proof_integers": [3], "proof_reals": [0.5],
        "event_lower": [0.0], "event_upper": [np.inf],
    }  # fmt: skip
    assert arrays.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(arrays[name], np.array(values)), name
    found.targets[1].witness, found.targets[1].upper = np.array([1.0, 0.5]), 0.75
    arrays = found.arrays()
    assert arrays["witness"].tolist() == [[1.0, 0.5]] and arrays["nearest"].tolist() == [2]


def test_the_largest_radius_is_kept():
    first, second = Proof([1]), Proof([2])
    one = Target(0)
    one.proven(0.0, REPLAYED, first)  # of l0, more than nothing
    assert (one.lower, one.status, one.proof) == (0.0, REPLAYED, first)
    one.proven(0.0, SOLVER)
    assert (one.lower, one.status, one.proof) == (0.0, REPLAYED, first)
    one.proven(0.5, SOLVER)
    assert (one.lower, one.status, one.proof) == (0.5, SOLVER, None)
    one.proven(0.25, REPLAYED, second)
    assert (one.lower, one.status, one.proof) == (0.5, SOLVER, None)
    one.proven(0.75, REPLAYED, second)
    assert (one.lower, one.status, one.proof) == (0.75, REPLAYED, second)


def test_an_event_is_a_bound_that_moves(monkeypatch):
    found = Certified(np.zeros(1), 1, [Target(0)], started=10.0)
    now = iter([11.0, 12.0, 13.0, 14.0])
    monkeypatch.setattr("advsparse.certify._certified.time.monotonic", lambda: next(now))
    for lower, upper in ((0.0, np.inf), (0.0, np.inf), (0.0, 2.0), (1.0, 2.0), (1.0, 2.0)):
        found.targets[0].lower, found.targets[0].upper = lower, upper
        found.note()
    assert found.events == [(1.0, 0.0, np.inf), (2.0, 0.0, 2.0), (3.0, 1.0, 2.0)]


@pytest.mark.parametrize(
    ("kernel", "settings"),
    [(2, {}), ((2, 3), {}), (2, {"stride": 1, "dilation": 2}), (3, {"stride": (1, 2)})],
)
def test_maxima_are_those_of_torch(kernel, settings):
    torch.manual_seed(0)
    nn = torch.nn
    pool = nn.MaxPool2d(kernel, **settings)
    layers = [nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Identity(), pool, nn.ReLU(), nn.Flatten()]
    count = nn.Sequential(*layers)(images(1, (2, 8, 7))).numel()
    nested = nn.Sequential(nn.Sequential(*layers[:2]), nn.Sequential(nn.Sequential(*layers[2:])))
    model = nn.Sequential(nested, nn.Linear(count, 3))
    network = relu_network(model, (2, 8, 7))
    x = images(3, (2, 8, 7))
    with torch.no_grad():
        expected = model.double()(x.double()).numpy()
    assert network.hidden == (90,) and len(network.pools[0]) == count
    assert np.allclose(network.logits(x.flatten(1).double().numpy()), expected, atol=1e-12)


def test_a_network_may_begin_with_a_relu():
    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(300, 4), nn.ReLU(), nn.ReLU(),
                          nn.Linear(4, 3))  # fmt: skip
    network = relu_network(model, (3, 10, 10))
    assert network.hidden == (300, 4) and (network.weights[0] == np.eye(300)).all()
    x = images(2, (3, 10, 10))
    with torch.no_grad():
        expected = model.double()(x.double()).numpy()
    assert np.allclose(network.logits(x.flatten(1).double().numpy()), expected, atol=1e-12)


_POOLING = "certificates know max-pooling that follows a ReLU at once, without padding"


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (
            [torch.nn.Tanh()],
            "certificates know no layer Tanh: they are made for networks of affine layers, ReLU "
            "and max-pooling, such as feedforward and pooled_convnet",
        ),
        ([torch.nn.Flatten()], "certificates are made for networks with a ReLU"),
        ([torch.nn.ReLU(), torch.nn.AvgPool2d(2), torch.nn.MaxPool2d(2)], _POOLING),
        ([torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.MaxPool2d(2)], _POOLING),
        ([torch.nn.ReLU(), torch.nn.MaxPool2d(2, padding=1)], _POOLING),
        ([torch.nn.ReLU(), torch.nn.MaxPool2d(2, ceil_mode=True)], _POOLING),
        (
            [torch.nn.Conv2d(1, 556, 1)],
            "a layer of the network has 20016 units, and certificates write out at most 20000: "
            "give it fewer filters, or a larger stride",
        ),
    ],
)
def test_what_certificates_do_not_know_is_said_in_full(layers, said):
    with pytest.raises(CertificateError) as raised:
        relu_network(torch.nn.Sequential(*layers), (1, 6, 6))
    assert str(raised.value) == said
