"""What a run shows on the terminal: a line a job, and failures with their reason.

Snakemake's own lines, a dozen a job, go to its log file alone, which the last line names. The
Snakefile puts this in the place of Snakemake's terminal output (:func:`follow`); it is no logger
plugin, which would have to be installed before the Snakefile is read, and named by a profile that
no Snakemake without it could use. Where something here goes wrong, Snakemake's own output appears.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, TextIO

from advsparse import failures
from advsparse.cost import taken
from advsparse.jobs import DONE

# Snakemake's name of its handler for the terminal, and of its logger.
_USUAL = "DefaultStreamHandler"
_LOGGER = "snakemake.logging"

# What Snakemake says before and after a run, and of a report, that only its log file needs.
_NOISE = (
    "Adding ",
    "Assuming unrestricted shared",
    "Conda environments: ignored",
    "Elapsed time: ",
    "Group jobs: inactive",
    "host: ",
    "Loading script code for ",
    "Provided ",
    "Rules claiming more threads",
    "Singularity containers: ignored",
    "Using shell: ",
)
# What it says while jobs run that the user must see.
_INTERRUPTED = "Terminating processes on user request"
_ENDING = (_INTERRUPTED, "Will exit after", "Shutting down")

# What it says of a job that has failed, beside the event that the job is shown by.
_STATUS = "returned non-zero exit status"
_SIGNAL = "died with <Signals."

_LOG_NAMED = "Complete log(s): "
_TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", re.MULTILINE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")

# Events that the lines of jobs stand for, or that nobody asks for.
_SILENT = {
    "group_info",
    "job_started",
    "progress",
    "resources_info",
    "rulegraph",
    "shellcmd",
    "workflow_started",
}


def follow(workflow: Any, preset: str) -> None:
    """Have a run shown as :class:`Console` does.

    A dry run has Snakemake's own output, and so has who asks for more or less (--verbose,
    --quiet rules, ...) or for a logger plugin.
    """
    logger = logging.getLogger(_LOGGER)
    # Whatever Snakemake may have renamed, its own output is no reason to end a run.
    with contextlib.suppress(Exception):
        usual = next(handler for handler in logger.handlers if handler.name == _USUAL)
        if workflow.is_main_process and not _otherwise(workflow.output_settings):
            logger.addHandler(Console(workflow, preset, usual))
            logger.removeHandler(usual)


def _otherwise(asked: Any) -> bool:
    """Whether the user has asked for another output than that of a plain run."""
    quiet = {kind.name for kind in asked.quiet or ()} - {"HOST", "REASON"}
    return bool(asked.dryrun or asked.verbose or asked.debug_dag or asked.printshellcmds or quiet)


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


class Console(logging.Handler):
    """Shows a run on a terminal or in a pipe, and all that is not about its jobs as usual."""

    def __init__(self, workflow: Any, preset: str, usual: logging.StreamHandler) -> None:
        super().__init__()
        self.workflow = workflow
        self.preset = preset
        self.usual = usual
        self.screen = Screen(usual.stream)
        self.progress: Progress | None = None
        self.interrupted = False
        self.names: dict[int, str] = {}
        self.outputs: dict[int, list[str]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._show(record)
        except Exception:
            with contextlib.suppress(Exception):
                self.usual.handle(record)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.screen.clear()
        super().close()

    def _show(self, record: logging.LogRecord) -> None:
        event = str(getattr(record, "event", None) or "")
        message = str(record.msg or "")
        if event == "run_info":
            self._begin(record)
        elif event == "job_info" and self.progress:
            self._start(record)
        elif event == "job_finished" and self.progress:
            self._finish(record)
        elif event == "job_error" and self.progress:
            self._fail(record)
        elif event == "group_error" and not self.interrupted:
            self._say_of_group(record)
        elif event in _SILENT:
            pass
        elif message.startswith(_LOG_NAMED):
            self._end(record, message.removeprefix(_LOG_NAMED))
        elif self._is_shown(record, message):
            self.interrupted |= message.startswith(_INTERRUPTED)
            self.screen.clear()
            self.usual.handle(record)

    def _is_shown(self, record: logging.LogRecord, message: str) -> bool:
        """Whether what Snakemake says beside events is for the user."""
        if record.levelno >= logging.WARNING:
            return not (_STATUS in message or (self.interrupted and _SIGNAL in message))
        if self.progress:
            return message.startswith(_ENDING)
        return not message.startswith(_NOISE)

    def _begin(self, record: logging.LogRecord) -> None:
        jobs = list(self.workflow.dag.needrun_jobs())
        rules = {job.jobid: job.rule.name for job in jobs}
        earlier = {job.jobid: seconds for job in jobs if (seconds := _took(job.benchmark))}
        self.progress = Progress(rules, earlier, record.created)
        made = Counter(sorted(job.rule.name for job in jobs if job.output))
        kinds = [f"{count} {rule}" for rule, count in made.most_common()]
        said = f"{_count(len(jobs), 'job')} (preset {self.preset}): "
        self.screen.say(said + _listed(kinds, (self.screen.width() or 100) - len(said)))

    def _start(self, record: logging.LogRecord) -> None:
        job = record.jobid
        self.names[job] = _name(record)
        self.outputs[job] = list(record.output)
        self.progress.start(job, record.created)
        self._say_what_runs()

    def _finish(self, record: logging.LogRecord) -> None:
        job = record.job_id
        seconds = self.progress.finish(job, record.created)
        took = "" if seconds is None else f" ({_seconds(seconds)})"
        name = self.names.get(job) or self.progress.rules.get(job, f"job {job}")
        left = self.progress.seconds_left(record.created)
        # Of a job that takes longer than it was expected to, nothing is known.
        about = f"~{duration(left)} left" if left and left >= 0.5 else ""
        start = f"{self._counted()} {about:>13}  "
        self.screen.say(fitted(start, name, took, self.screen.width()))
        self._say_what_runs()

    def _fail(self, record: logging.LogRecord) -> None:
        job = self._job(record.jobid)
        logs = [Path(log) for log in record.log]
        why = reason(job.params.get("failure") if job else None, logs)
        # All jobs of a submission are said to have failed, and those that an interrupt has stopped.
        if self.interrupted or (record.indent and not why):
            self.progress.running.pop(record.jobid, None)
            return
        again = job is not None and job.restart_times > job.attempt - 1
        self.progress.fail(record.jobid, () if again else self._lost_with(job))
        name = self.names.get(record.jobid, record.rule_name)
        self.screen.say(f"{self._counted()} FAILED{', tried again' * again}: {name}")
        for line in (why or "without a message", record.rule_msg):
            if line:
                self.screen.say(f"  {_plain(line)}")
        for log in logs:
            self.screen.say(f"  log: {log}")
        self._say_what_runs()

    def _say_of_group(self, record: logging.LogRecord) -> None:
        count = _count(len(record.job_error_info), "job")
        self.screen.say(f"A submission of {count} failed:")
        for log in record.aux_logs:
            self.screen.say(f"  log: {log}")

    def _end(self, record: logging.LogRecord, logs: str) -> None:
        progress, self.progress = self.progress, None
        if progress:
            done, total = len(progress.took), len(progress.rules)
            rest = total - done - len(progress.failed)
            said = f"{done} of {_count(total, 'job')} done"
            said += f" in {duration(record.created - progress.began)}"
            said += ", interrupted" * self.interrupted
            said += f", {len(progress.failed)} failed" if progress.failed else ""
            said += f", {rest} not run" if rest else ""
            self.screen.say(said)
            made = [path for job in progress.took for path in self.outputs.get(job, [])]
            for line in folders(made):
                self.screen.say(f"Look at:  {line}")
        self.screen.say(f"Full log: {', '.join(map(_relative, logs.split(', ')))}")

    def _counted(self) -> str:
        total = len(self.progress.rules)
        return f"[{len(self.progress.took):{len(str(total))}}/{total}]"

    def _say_what_runs(self) -> None:
        running = [self.names[job] for job in self.progress.running if job in self.names]
        said = "running" if self.workflow.local_exec else "submitted"
        self.screen.show_for_now(f"{said}: {', '.join(running)}" if running else "")

    def _job(self, id: int) -> Any:
        return next((job for job in self.workflow.dag.jobs if job.jobid == id), None)

    def _lost_with(self, job: Any) -> set[int]:
        """The jobs that would have read, directly or not, what a job makes."""
        lost, waiting = set(), [job] if job else []
        while waiting:
            for reader in self.workflow.dag.depending[waiting.pop()]:
                if reader.jobid not in lost:
                    lost.add(reader.jobid)
                    waiting.append(reader)
        return lost


class Screen:
    """Lines on a stream; on a terminal, also a last line that the next one takes the place of.

    The cursor waits above that line, where what jobs print themselves goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.terminal = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.for_now = False

    def width(self) -> int | None:
        """The columns that a line may take; None if that doesn't matter or is not known."""
        with contextlib.suppress(ValueError):
            if columns := int(os.environ.get("COLUMNS", "")):
                return columns
        with contextlib.suppress(OSError, ValueError):
            return os.get_terminal_size(self.stream.fileno()).columns or None
        return None

    def say(self, line: str) -> None:
        self.clear()
        self._write(f"{line}\n")

    def show_for_now(self, line: str) -> None:
        self.clear()
        width = self.width()
        if line and self.terminal and width:
            self._write(f"\n{fitted('', line, '', width - 1)}\x1b[A\r")
            self.for_now = True

    def clear(self) -> None:
        if self.for_now:
            self._write("\r\x1b[J")
            self.for_now = False

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()


def fitted(start: str, name: str, end: str, width: int | None) -> str:
    """A line of at most ``width`` columns, where it is the middle of the name that gives way."""
    start, name, end = map(_plain, (start, name, end))
    if width is None or len(start + name + end) <= width:
        return start + name + end
    room = width - len(start + end) - 3
    if room < 8:
        return (start + name + end)[:width]
    tail = room // 2
    return f"{start}{name[: room - tail]}...{name[-tail:]}{end}"


def duration(seconds: float) -> str:
    """A time to wait, as one says it."""
    if seconds < 59.5:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 24 else f"{round(hours / 24, 1):g} days"


def reason(record: str | None, logs: Iterable[Path]) -> str | None:
    """Why a job failed: by the record that it left, or else by the last entry of its log."""
    if record and Path(record).is_file():
        return failures.told(record)
    for log in logs:
        with contextlib.suppress(OSError):
            text = log.read_text(encoding="utf-8", errors="replace").strip()
            if text and not DONE.search(text.splitlines()[-1]):
                return _last_entry(text)
    return None


def _last_entry(text: str) -> str:
    entries = list(_TIMESTAMP.finditer(text))
    return text[entries[-1].end() :] if entries else text.splitlines()[-1]


def folders(outputs: Iterable[str]) -> list[str]:
    """Where figures and tables lie that are among some outputs."""
    shown = defaultdict(set)
    for path in map(Path, outputs):
        if path.parent.name in ("figures", "tables"):
            shown[path.parent.parent].add(path.parent.name)
    return [f"{folder} ({', '.join(sorted(names))})" for folder, names in sorted(shown.items())]


def _name(record: Any) -> str:
    """A job as the user knows it: its rule and the values of its wildcards."""
    return _plain(" ".join([record.rule_name, *map(str, dict(record.wildcards).values())]))


def _plain(text: str) -> str:
    """A text without line breaks or whatever else moves the cursor."""
    return _CONTROL.sub(" ", text)


def _listed(kinds: list[str], width: int) -> str:
    """As many of the kinds as there is room for, and how many more there are."""
    for shown in range(len(kinds), 0, -1):
        more = len(kinds) - shown
        line = ", ".join(kinds[:shown]) + (f", {_count(more, 'other kind')}" if more else "")
        if len(line) <= width:
            return line
    return _count(len(kinds), "kind")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 59.95 else duration(seconds)


def _took(benchmark: Any) -> float:
    """Seconds that a job took earlier, by its benchmark file; 0 if there is none."""
    with contextlib.suppress(OSError, ValueError):
        return taken(Path(benchmark))[0] if benchmark else 0.0
    return 0.0


def _relative(path: str) -> str:
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
