"""What a run shows on the terminal: a line a job, and failures with their reason.

Snakemake's own lines, a dozen a job, go to its log file alone, which the last line names. The
Snakefile puts this in the place of Snakemake's terminal output (:func:`follow`); it is no logger
plugin, which would have to be installed before the Snakefile is read, and named by a profile that
no Snakemake without it could use. Where something here goes wrong, Snakemake's own output appears.
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from advsparse import cost
from advsparse.console._failed import reason
from advsparse.console._progress import Progress
from advsparse.console._screen import (
    Screen,
    duration,
    fitted,
    listed,
    number_of,
    plain,
    short_duration,
)

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


class Console(logging.Handler):
    """Shows a run on a terminal or in a pipe, and all that is not about its jobs as usual."""

    def __init__(self, workflow: Any, preset: str, usual: Any) -> None:
        super().__init__()
        self.workflow = workflow
        self.preset = preset
        self.usual = usual
        self.screen = Screen(usual.stream)
        self.progress: Any = None  # of a run that has begun
        self.interrupted = False
        self.names: dict[int, str] = {}
        self.outputs: dict[int, list[str]] = {}

    def emit(self, record: Any) -> None:
        try:
            self._show(record)
        except Exception:
            with contextlib.suppress(Exception):
                self.usual.handle(record)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.screen.clear()
        super().close()

    def _show(self, record: Any) -> None:
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

    def _is_shown(self, record: Any, message: str) -> bool:
        """Whether what Snakemake says beside events is for the user."""
        if record.levelno >= logging.WARNING:
            return not (_STATUS in message or (self.interrupted and _SIGNAL in message))
        if self.progress:
            return message.startswith(_ENDING)
        return not message.startswith(_NOISE)

    def _begin(self, record: Any) -> None:
        jobs = list(self.workflow.dag.needrun_jobs())
        rules = {job.jobid: job.rule.name for job in jobs}
        earlier = {job.jobid: seconds for job in jobs if (seconds := _took(job.benchmark))}
        self.progress = Progress(rules, earlier, record.created)
        made = Counter(sorted(job.rule.name for job in jobs if job.output))
        kinds = [f"{count} {rule}" for rule, count in made.most_common()]
        said = f"{number_of(len(jobs), 'job')} (preset {self.preset}): "
        self.screen.say(said + listed(kinds, (self.screen.width() or 100) - len(said)))

    def _start(self, record: Any) -> None:
        job = record.jobid
        self.names[job] = _name(record)
        self.outputs[job] = list(record.output)
        self.progress.start(job, record.created)
        self._say_what_runs()

    def _finish(self, record: Any) -> None:
        job = record.job_id
        seconds = self.progress.finish(job, record.created)
        took = "" if seconds is None else f" ({short_duration(seconds)})"
        name = self.names.get(job) or self.progress.rules.get(job, f"job {job}")
        left = self.progress.seconds_left(record.created)
        # Of a job that takes longer than it was expected to, nothing is known.
        about = f"~{duration(left)} left" if left and left >= 0.5 else ""
        start = f"{self._counted()} {about:>13}  "
        self.screen.say(fitted(start, name, took, self.screen.width()))
        self._say_what_runs()

    def _fail(self, record: Any) -> None:
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
                self.screen.say(f"  {plain(line)}")
        for log in logs:
            self.screen.say(f"  log: {log}")
        self._say_what_runs()

    def _say_of_group(self, record: Any) -> None:
        jobs = number_of(len(record.job_error_info), "job")
        self.screen.say(f"A submission of {jobs} failed:")
        for log in record.aux_logs:
            self.screen.say(f"  log: {log}")

    def _end(self, record: Any, logs: str) -> None:
        progress, self.progress = self.progress, None
        if progress:
            done, total = len(progress.took), len(progress.rules)
            rest = total - done - len(progress.failed)
            said = f"{done} of {number_of(total, 'job')} done"
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


def folders(outputs: Iterable[str]) -> list[str]:
    """Where figures and tables lie that are among some outputs."""
    shown = defaultdict(set)
    for path in map(Path, outputs):
        if path.parent.name in ("figures", "tables"):
            shown[path.parent.parent].add(path.parent.name)
    return [f"{folder} ({', '.join(sorted(names))})" for folder, names in sorted(shown.items())]


def _name(record: Any) -> str:
    """A job as the user knows it: its rule and the values of its wildcards."""
    values = (str(value).lstrip("/") for value in dict(record.wildcards).values())
    return plain(" ".join([record.rule_name, *filter(None, values)]))


def _took(benchmark: Any) -> float:
    """Seconds that a job took earlier, by its benchmark file; 0 if there is none."""
    with contextlib.suppress(OSError, ValueError):
        return cost.seconds(Path(benchmark)) if benchmark else 0.0
    return 0.0


def _relative(path: str) -> str:
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
