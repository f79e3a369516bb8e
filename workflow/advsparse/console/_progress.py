"""How far a run is, and how long the rest of it takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean


class Progress:
    """How many jobs of a run are done, and how long the others will take.

    rules: the rule of each job; earlier: seconds that a job took when it last ran. Jobs that have
    never run are taken to last as others of their rule, or as all on average.
    """

    def __init__(
        self, rules: Mapping[int, str], earlier: Mapping[int, float], began: float
    ) -> None:
        self.rules = dict(rules)
        self.earlier = dict(earlier)
        self.began = began
        self.running: dict[int, float] = {}
        self.took: dict[int, float] = {}
        self.failed: set[int] = set()
        self.lost: set[int] = set()

    def start(self, job: int, now: float) -> None:
        self.running[job] = now
        self.failed.discard(job)

    def finish(self, job: int, now: float) -> float | None:
        """The seconds that the job took, if it was seen to start."""
        started = self.running.pop(job, None)
        self.took[job] = 0.0 if started is None else now - started
        return None if started is None else self.took[job]

    def fail(self, job: int, lost: Iterable[int] = ()) -> None:
        """A job has failed, and those that are lost with it will not run."""
        self.running.pop(job, None)
        self.failed.add(job)
        self.lost.update(lost)

    def seconds_left(self, now: float) -> float | None:
        """About how long the rest takes; None as long as nothing is known of any job."""
        if not self.took and not self.earlier:
            return None
        expected = self._expected()
        over = self.took.keys() | self.failed | self.lost
        rest = {
            job: max(expected[job] - (now - self.running.get(job, now)), 0.0)
            for job in self.rules.keys() - over
        }
        longest = max(rest.values(), default=0.0)
        return max(longest, sum(rest.values()) / self._at_a_time(now))

    def _expected(self) -> dict[int, float]:
        """What each job takes, at the pace of those that have also run earlier."""
        again = self.took.keys() & self.earlier.keys()
        before = sum(self.earlier[job] for job in again)
        pace = sum(self.took[job] for job in again) / before if before else 1.0
        known = {job: pace * seconds for job, seconds in self.earlier.items()} | self.took
        by_rule = defaultdict(list)
        for job, seconds in known.items():
            by_rule[self.rules.get(job)].append(seconds)
        average = fmean(known.values())
        return {
            job: known.get(job, fmean(by_rule[rule]) if rule in by_rule else average)
            for job, rule in self.rules.items()
        }

    def _at_a_time(self, now: float) -> float:
        """How many jobs have run at a time so far."""
        busy = sum(self.took.values()) + sum(now - start for start in self.running.values())
        return max(busy / max(now - self.began, 1e-3), 1.0)
