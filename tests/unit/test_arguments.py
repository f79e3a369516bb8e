"""What is said of arguments of another type than the one that is expected."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
import torch

from advsparse.arguments import check_real, check_tensor, kind_of


def test_what_is_no_tensor_is_named_with_what_makes_one():
    check_tensor("x", torch.ones(2, dtype=torch.int64))
    with pytest.raises(TypeError) as caught:
        check_tensor("x", np.ones(2))
    assert str(caught.value) == (
        "x: expected a torch.Tensor, got numpy.ndarray; torch.as_tensor makes one of arrays and "
        "lists"
    )


def test_tensors_of_other_numbers_are_named_by_their_type():
    check_real("code", torch.ones(2, dtype=torch.float16))
    with pytest.raises(ValueError) as caught:
        check_real("code", torch.ones(2, dtype=torch.int64))
    assert str(caught.value) == "code: expected floating-point numbers, got torch.int64"
    with pytest.raises(TypeError, match=r"^code: expected a torch\.Tensor, got list; "):
        check_real("code", [1.0])


@pytest.mark.parametrize(
    ("given", "kind"),
    [(None, "None"), (1.5, "float"), ([], "list"), (Decimal(1), "decimal.Decimal")],
)
def test_kinds_are_named_in_words(given, kind):
    assert kind_of(given) == kind
