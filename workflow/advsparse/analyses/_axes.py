"""Names along the axes of what analyses write: what computes them and what draws them agree."""

CONDITIONS = ("clean", "noise", "pgd", "da")
"""What the signals of an analysis have been through."""

PARTS = ("excess", "missing", "in support")
"""What makes up the squared error of a code."""

GROUPS = ("top", "bottom", "random")
"""Atoms that sub-matrices are drawn from: the most and the least correlated, and all."""
