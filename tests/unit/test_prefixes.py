"""Arrays of one part among those of others, by how their names begin."""

from __future__ import annotations

from advsparse.prefixes import below, under


def test_a_part_is_found_again_among_parts_of_like_names():
    parts = {"1.": {"a": 1, "1.a": 2}, "1.1.": {"b": 3}, "11.": {"a": 4}, "": {"b.1.a": 5}}
    together = {}
    for prefix, arrays in parts.items():
        together |= under(arrays, prefix)
    assert len(together) == 5
    assert below(together, "11.") == {"a": 4}
    assert below(together, "1.") == {"a": 1, "1.a": 2, "1.b": 3}
    assert below(together, "") == together and below(together, "2.") == {}
