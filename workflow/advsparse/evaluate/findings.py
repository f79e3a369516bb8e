"""What was found of a paper's claim, and the verdict that follows."""

from __future__ import annotations

from dataclasses import dataclass

INCOMPARABLE = "not comparable: other data, or a reduced preset"
"""The verdict on a paper's own number, where that can't be reproduced."""


@dataclass(frozen=True)
class Finding:
    """What was found of a claim, as words and as comparisons: 1 for it, -1 against it, 0 noise."""

    text: str
    comparisons: tuple[int, ...] = ()
    failed: tuple[str, ...] = ()
    """Attacks that the claim speaks of and that failed."""
    incomparable: bool = False
    """Whether a paper's own number was asked for, where data or preset are not the paper's."""

    @property
    def contradicted(self) -> bool:
        """Whether anything speaks against the claim."""
        return -1 in self.comparisons and not self.incomparable

    @property
    def verdict(self) -> str:
        if self.failed:
            return f"not judged: {', '.join(self.failed)} failed"
        if self.incomparable:
            return INCOMPARABLE
        pro, against = self.comparisons.count(1), self.comparisons.count(-1)
        noise = self.comparisons.count(0)
        if not self.comparisons:
            return "can't be judged"
        if pro and against:
            return f"mixed: {pro} for, {against} against, {noise} within the noise"
        if not pro and not against:
            return "within the noise"
        if noise > pro + against:
            return (
                f"mostly within the noise: {pro} for, {against} against of {noise + pro + against}"
            )
        word = "holds" if pro else "does not hold"
        return f"{word} ({noise} of {len(self.comparisons)} within the noise)" if noise else word
