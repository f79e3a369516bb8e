"""Tallies of the pixels that attacks changed."""

from typing import Annotated

from advsparse.config.names import Name, Of
from advsparse.settings import PositiveFloat, settings
from advsparse.stages._stage import Job, Section, Stage


@settings
class TallyEntry:
    """What is tallied."""

    attack: Annotated[Name, Of("attacks")]
    """The attack."""
    eps: PositiveFloat
    """The point of its grid."""


class TallyStage(Stage):
    """A tally for each entry of ``tallies``."""

    name, folder, wildcard = "tally", "tallies", "tally"
    suffixes = (".json",)
    section = readable = "tallies"
    blamed, gpu = True, False

    def sections(self):
        return {"tallies": Section(TallyEntry, "Tallies by name.")}

    def needs(self, plan, job):
        entry = self.entry(plan, job)
        return {"attack": Job("attack", f"{entry.attack}/eps={entry.eps:g}", job.paper)}

    def settings(self, plan, job):
        return {"attack": self.entry(plan, job).attack}
