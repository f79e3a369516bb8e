"""Which images of a split a stage works on."""

from __future__ import annotations

import numpy as np
import pytest

from advsparse.data._selection import choose
from advsparse.errors import DataError


def chosen(start=0, count=10, order=3):
    return choose(10, split="test", start=start, count=count, order=order).tolist()


def test_slices_share_no_image_and_together_are_all():
    whole = chosen()
    assert sorted(whole) == list(range(10)) != whole
    assert chosen(0, 4) + chosen(4, 5) + chosen(9, 1) == whole


def test_the_order_is_that_of_its_seed():
    assert chosen() == np.random.default_rng(3).permutation(10).tolist() != chosen(order=4)


def test_a_count_beyond_the_last_image_takes_what_is_left():
    assert chosen(start=9, count=5) == chosen()[9:]


@pytest.mark.parametrize("start", [10, 11])
def test_a_start_beyond_the_last_image_is_an_error(start):
    with pytest.raises(DataError) as caught:
        chosen(start=start)
    assert str(caught.value) == f"images from {start} on were asked for: the test split has 10"
