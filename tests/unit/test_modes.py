"""Modes that a caller has switched on: what is copied for them, and in which precision."""

from __future__ import annotations

import torch

from advsparse.modes import as_autocast, outside_inference, recordable


def made_in_inference_mode() -> torch.Tensor:
    with torch.inference_mode():
        return torch.ones(3)


def test_only_what_comes_from_inference_mode_and_has_left_it_is_copied():
    plain, inference = torch.ones(3), made_in_inference_mode()
    assert outside_inference(plain) is plain
    copied = outside_inference(inference)
    assert not copied.is_inference() and torch.equal(copied, inference)
    with torch.inference_mode():
        assert outside_inference(plain) is plain
        assert outside_inference(inference) is inference


def test_gradients_can_be_taken_through_what_is_recordable():
    learned = (2 * torch.ones(3, requires_grad=True)).square()
    found = recordable(learned)
    assert not found.requires_grad and found.data_ptr() == learned.data_ptr()
    inference = made_in_inference_mode()
    copied = recordable(inference)
    assert torch.equal(copied, inference)
    weights = torch.full((3,), 2.0, requires_grad=True)
    (weights * copied.requires_grad_()).sum().backward()
    assert weights.grad.tolist() == [1, 1, 1] and copied.grad.tolist() == [2, 2, 2]


def test_operands_come_in_the_precision_of_autocast_but_for_float64():
    single, double = torch.ones(2), torch.ones(2, dtype=torch.float64)
    assert as_autocast(single)[0] is single
    with torch.autocast("cpu", torch.bfloat16):
        assert [one.dtype for one in as_autocast(single)] == [torch.bfloat16]
        found = as_autocast(double, single)
    assert [one.dtype for one in found] == [torch.float64, torch.bfloat16]
