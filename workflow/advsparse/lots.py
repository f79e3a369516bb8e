"""Images in lots of a fixed number, which are worked on together, and parts of whole lots.

How images round depends on how many are worked on at once. Lots keep that the same, so that images
come out alike however many of them one job is given.
"""

from __future__ import annotations

ATTACKED, TRANSFORMED, CERTIFIED = 256, 64, 1
"""Images of a lot that is attacked, of one that a defence transforms, and of one that is certified.
"""


def rows_of(count: int, lot: int, part: tuple[int, int] | None = None) -> slice:
    """The rows of ``count`` that make up part i of n, with ``part`` = (i, n) and i from 1 on: whole
    lots, as evenly as that goes. All of them where there is no part."""
    i, n = part or (1, 1)
    lots = -(-count // lot)
    first, last = lots * (i - 1) // n, lots * i // n
    return slice(min(first * lot, count), min(last * lot, count))
