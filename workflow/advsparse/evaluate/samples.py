"""How the arrays of what each image did are named, for those who judge and those who only read."""

from __future__ import annotations

DEFENDED = "defended"
"""The metric under which the first images stand as the judge's transformation leaves them."""

SHOWN = 6
"""Images of an attack that are kept so: its first."""


def samples_key(judge: str, attack: str, metric: str) -> str:
    """The name of the array of what each image did, as a classifier judges an attack's images."""
    return f"{judge}:{attack}:{metric}"


def of_samples_key(key: str) -> tuple[str, str, str]:
    """The judge, the attack and the metric that :func:`samples_key` made a name of."""
    judge, _, rest = key.partition(":")
    attack, _, metric = rest.rpartition(":")
    return judge, attack, metric
