"""What a run shows on the terminal: lines that fit, estimates, and that it never ends a run."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import termios
from types import SimpleNamespace

import pytest
from snakemake.logging import LoggerManager
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings

from advsparse import console
from advsparse.console import Console, Progress, duration, fitted, folders, reason

NAME = "run_attack frecon2021 scada/lambda1=0.01_lambda2=0.001"


@pytest.fixture(autouse=True)
def no_columns(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setenv("TERM", "xterm")


# Lines


@pytest.mark.parametrize("width", [10, 40, 60, 79, 200])
def test_a_line_fits_its_width_and_keeps_both_ends_of_a_name(width):
    line = fitted("[ 1/37]  ", NAME, " (3.1 s)", width)
    assert len(line) <= width
    assert line.startswith("[ 1/37]")
    if width >= 40:
        assert line.endswith(f"{NAME[-5:]} (3.1 s)")
        assert line.startswith(f"[ 1/37]  {NAME[:5]}")
    assert ("..." in line) == (width in (40, 60))


def test_a_line_of_unknown_width_is_whole():
    assert fitted("> ", NAME, " <", None) == f"> {NAME} <"


def test_a_line_holds_nothing_that_moves_the_cursor():
    assert fitted("", "a\nb\x1b[2Jc\rd", "", None) == "a b [2Jc d"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (3570, "1 h 00 min"),
        (3900, "1 h 05 min"),
        (7 * 86400, "7 days"),
    ],
)
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_folders_to_look_at():
    made = ["r/p/figures/a.png", "r/p/tables/b.csv", "r/q/tables/c.csv", "r/p/attacks/d.npz"]
    assert folders(made) == ["r/p (figures, tables)", "r/q (tables)"]


# Estimates


def test_nothing_is_estimated_before_anything_is_known():
    assert Progress({1: "a", 2: "a"}, {}, 0.0).seconds_left(5.0) is None


def test_the_rest_takes_what_jobs_of_the_rule_took_shared_by_those_that_run_at_a_time():
    progress = Progress(dict.fromkeys(range(10), "a"), {}, 0.0)
    for job in range(4):
        began = 10.0 * (job // 2)
        progress.start(job, began)
        progress.finish(job, began + 10.0)
    assert progress.seconds_left(20.0) == pytest.approx(6 * 10 / 2)
    progress.start(4, 20.0)
    progress.start(5, 20.0)
    assert progress.seconds_left(24.0) == pytest.approx((2 * 6 + 4 * 10) / 2)


def test_jobs_that_ran_earlier_take_that_long_at_the_pace_of_this_run():
    progress = Progress({1: "a", 2: "a", 3: "b"}, {1: 10.0, 2: 30.0}, 0.0)
    assert progress.seconds_left(0.0) == pytest.approx(10 + 30 + 20)
    progress.start(1, 0.0)
    progress.finish(1, 20.0)
    assert progress.seconds_left(20.0) == pytest.approx(60 + (20 + 60) / 2)


def test_the_rest_takes_no_less_than_its_longest_job():
    progress = Progress({1: "a", 2: "a", 3: "b"}, {3: 100.0}, 0.0)
    for job in (1, 2):
        progress.start(job, 0.0)
        progress.finish(job, 10.0)
    assert progress.seconds_left(10.0) == pytest.approx(100.0)


def test_what_is_lost_with_a_failed_job_is_not_waited_for():
    progress = Progress(dict.fromkeys(range(4), "a"), {}, 0.0)
    progress.start(0, 0.0)
    progress.finish(0, 10.0)
    progress.start(1, 10.0)
    progress.fail(1, {2})
    assert progress.seconds_left(20.0) == pytest.approx(10.0)
    progress.start(1, 20.0)  # tried again
    assert progress.seconds_left(20.0) == pytest.approx(20.0)


# Reasons


def test_a_reason_is_the_record_of_the_job_or_the_last_entry_of_its_log(tmp_path):
    log, record = tmp_path / "job.log", tmp_path / "record.txt"
    log.write_text(
        "2026-01-01 10:00:00,000 begins\n2026-01-01 10:00:01,000 ValueError: two\nlines\n"
    )
    assert reason(str(record), [log]) == "ValueError: two\nlines"
    record.write_text("the record's\n")
    assert reason(str(record), [log]) == "the record's"
    assert reason(None, [tmp_path / "none.log"]) is None
    log.write_text("2026-01-01 10:00:00,000 done in 1.00 s, 2.00 s after its start\n")
    assert reason(None, [log]) is None


# The handler


def job(id: int, rule: str = "run_attack") -> SimpleNamespace:
    return SimpleNamespace(
        jobid=id,
        rule=SimpleNamespace(name=rule),
        output=["results/test/frecon2021/figures/a.png"],
        benchmark=None,
        params={},
        restart_times=0,
        attempt=1,
    )


class Readers:
    """What reads the output of a job: here nothing does."""

    def __getitem__(self, job: SimpleNamespace) -> dict:
        return {}


def workflow(*jobs: SimpleNamespace) -> SimpleNamespace:
    dag = SimpleNamespace(needrun_jobs=lambda: jobs, jobs=jobs, depending=Readers())
    return SimpleNamespace(dag=dag, local_exec=True)


def shown_on(stream, *jobs: SimpleNamespace) -> Console:
    return Console(workflow(*jobs), "test", logging.StreamHandler(stream))


def say(handler: logging.Handler, event: str | None, level: int = logging.INFO, **said) -> None:
    handler.handle(logging.makeLogRecord({"event": event, "levelno": level, **said}))


def start(handler: logging.Handler, id: int, at: float) -> None:
    say(
        handler,
        "job_info",
        jobid=id,
        rule_name="run_attack",
        wildcards={"paper": "frecon2021", "attack": f"scada/lambda1=0.01_lambda2=0.00{id}"},
        output=["results/test/frecon2021/figures/a.png"],
        created=at,
    )


def run_of_two(handler: logging.Handler, message: str = "no luck") -> None:
    """A run in which the first job ends well and the second fails."""
    say(handler, None, msg="Using shell: /bin/sh")
    say(handler, "run_info", msg="Job stats:", created=0.0)
    start(handler, 1, 0.1)
    say(handler, "shellcmd", msg="Shell command: None")
    start(handler, 2, 1.2)
    say(handler, "job_finished", job_id=1, created=3.2)
    failed = {"jobid": 2, "rule_name": "run_attack", "log": [], "indent": False}
    say(handler, "job_error", logging.ERROR, rule_msg=message, **failed)
    status = "Command 'x' returned non-zero exit status 1."
    say(handler, "error", logging.ERROR, msg=status)
    say(handler, None, msg="Removing output files of failed job")
    say(handler, None, logging.WARNING, msg="the disk is slow")
    say(handler, None, msg="Complete log(s): /elsewhere/a.snakemake.log", created=4.0)
    say(handler, None, msg="Elapsed time: 0:00:04")
    handler.close()


EXPECTED = """\
2 jobs (preset test): 2 run_attack
[1/2]     ~1 s left  run_attack frecon2021 scada/lambda1=0.01_lambda2=0.001 (3.1 s)
[1/2] FAILED: run_attack frecon2021 scada/lambda1=0.01_lambda2=0.002
  without a message
  no luck
the disk is slow
1 of 2 jobs done in 4 s, 1 failed
Look at:  results/test/frecon2021 (figures)
Full log: /elsewhere/a.snakemake.log
"""


def test_in_a_pipe_it_is_a_line_a_job_and_no_control_characters():
    stream = io.StringIO()
    run_of_two(shown_on(stream, job(1), job(2)))
    assert stream.getvalue() == EXPECTED


class TerminalOfNoSize(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_of_unknown_size_it_is_as_in_a_pipe():
    stream, pipe = TerminalOfNoSize(), io.StringIO()
    run_of_two(shown_on(stream, job(1), job(2)))
    run_of_two(shown_on(pipe, job(1), job(2)))
    assert stream.getvalue() == pipe.getvalue()


def on_a_terminal(columns: int) -> str:
    """What a terminal is sent."""
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (24, columns))
    with os.fdopen(follower, "w") as stream:
        run_of_two(shown_on(stream, job(1), job(2)))
    sent = b""
    # One read returns what has come through so far; at the end Linux has an error for a terminal
    # that nobody writes to.
    with contextlib.suppress(OSError):
        while more := os.read(leader, 100_000):
            sent += more
    os.close(leader)
    return sent.decode()


def test_on_a_narrow_terminal_lines_fit_and_what_runs_is_shown_until_the_next_line():
    sent = on_a_terminal(60)
    running = re.findall(r"running: [^\r\n\x1b]*(?=\x1b\[A\r)", sent)
    assert len(running) >= 3 and all(len(line) < 60 for line in running)
    # Each of them is gone before anything else is written.
    assert sent.count("\x1b[A\r") == sent.count("\r\x1b[J")
    stayed = re.sub(r"\r?\nrunning: [^\x1b]*\x1b\[A\r\r\x1b\[J", "", sent)
    lines = stayed.replace("\r\n", "\n").splitlines()
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", "\n".join(lines))
    assert len(lines) == len(EXPECTED.splitlines())
    (done,) = [line for line in lines if line.endswith(" s)")]
    assert len(done) <= 60 and done.endswith("2=0.001 (3.1 s)")


def test_a_dumb_terminal_is_sent_no_control_characters(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in on_a_terminal(60)


def test_columns_hold_in_a_pipe_too(monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    stream = io.StringIO()
    run_of_two(shown_on(stream, job(1), job(2)))
    (done,) = [line for line in stream.getvalue().splitlines() if line.endswith(" s)")]
    assert len(done) <= 50


def test_a_job_that_is_tried_again_is_said_to_be():
    stream = io.StringIO()
    first = job(2)
    first.restart_times = 2
    run_of_two(shown_on(stream, job(1), first))
    assert "[1/2] FAILED, tried again: run_attack" in stream.getvalue()


def test_of_a_submission_that_failed_the_jobs_with_a_reason_are_named(tmp_path):
    stream, logs = io.StringIO(), {}
    ends = {1: "done in 1.00 s, 2.00 s after its start", 2: "ValueError: no luck"}
    for id, end in ends.items():
        logs[id] = tmp_path / f"{id}.log"
        logs[id].write_text(f"2026-01-01 10:00:00,000 {end}\n")
    handler = shown_on(stream, job(1), job(2), job(3))
    say(handler, "run_info", created=0.0)
    for id in (1, 2, 3):
        start(handler, id, 0.0)
    say(handler, "group_error", logging.ERROR, aux_logs=["slurm.log"], job_error_info=[{}] * 3)
    for id in (1, 2, 3):
        log = [str(logs[id])] if id in logs else []
        failed = {"jobid": id, "rule_name": "run_attack", "log": log, "indent": True}
        say(handler, "job_error", logging.ERROR, rule_msg=None, **failed)
    assert stream.getvalue().splitlines()[1:] == [
        "A submission of 3 jobs failed:",
        "  log: slurm.log",
        "[0/3] FAILED: run_attack frecon2021 scada/lambda1=0.01_lambda2=0.002",
        "  ValueError: no luck",
        f"  log: {logs[2]}",
    ]
    assert not handler.progress.running


def test_jobs_that_the_user_interrupts_are_no_failures():
    stream = io.StringIO()
    handler = shown_on(stream, job(1))
    say(handler, "run_info", created=0.0)
    start(handler, 1, 0.0)
    said = "Terminating processes on user request, this might take some time."
    say(handler, None, msg=said)
    say(handler, "error", logging.ERROR, msg="Command 'x' died with <Signals.SIGINT: 2>.")
    failed = {"jobid": 1, "rule_name": "run_attack", "log": [], "indent": False}
    say(handler, "job_error", logging.ERROR, rule_msg=None, **failed)
    say(handler, None, msg="Complete log(s): /elsewhere/a.snakemake.log", created=4.0)
    assert stream.getvalue().splitlines()[1:] == [
        said,
        "0 of 1 job done in 4 s, interrupted, 1 not run",
        "Full log: /elsewhere/a.snakemake.log",
    ]


def test_where_it_fails_snakemakes_own_output_appears():
    stream = io.StringIO()
    handler = shown_on(stream)
    handler.workflow = None
    say(handler, "run_info", msg="Job stats:")
    assert stream.getvalue() == "Job stats:\n"


class Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def test_a_stream_that_is_gone_ends_no_run(monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    run_of_two(shown_on(Closed(), job(1), job(2)))


# Where it is used


@pytest.fixture
def usual():
    """Snakemake's logger, with its handler for the terminal alone."""
    logger = logging.getLogger(console._LOGGER)
    before = logger.handlers[:]
    handler = logging.StreamHandler(io.StringIO())
    handler.name = console._USUAL
    logger.handlers[:] = [handler]
    yield handler
    logger.handlers[:] = before


def asking(**asked) -> SimpleNamespace:
    usually = dict.fromkeys(("dryrun", "verbose", "debug_dag", "printshellcmds"), False)
    settings = SimpleNamespace(**(usually | {"quiet": None} | asked))
    return SimpleNamespace(is_main_process=True, output_settings=settings)


def handlers() -> list[logging.Handler]:
    return logging.getLogger(console._LOGGER).handlers


def test_a_run_is_followed(usual):
    console.follow(asking(quiet={Quietness.HOST}), "test")
    (handler,) = handlers()
    assert isinstance(handler, Console) and handler.usual is usual


@pytest.mark.parametrize(
    "asked",
    [
        asking(dryrun=True),
        asking(verbose=True),
        asking(printshellcmds=True),
        asking(debug_dag=True),
        asking(quiet={Quietness.RULES}),
        SimpleNamespace(is_main_process=False),
        SimpleNamespace(),
    ],
    ids=["dry run", "verbose", "shell commands", "dag", "quiet", "a job", "another snakemake"],
)
def test_otherwise_snakemake_shows_what_it_does(usual, asked):
    console.follow(asked, "test")
    assert handlers() == [usual]


def test_a_logger_that_the_user_names_stays(usual):
    usual.name = None
    console.follow(asking(), "test")
    assert handlers() == [usual]


def test_what_is_looked_at_is_named_as_snakemake_does():
    """The attributes that are read of snakemake's settings, and its handler's name."""
    logger = logging.getLogger("a test's")
    LoggerManager(logger, OutputSettings(quiet={Quietness.HOST, Quietness.REASON}))
    assert [handler.name for handler in logger.handlers] == [console._USUAL]
    assert not console._otherwise(OutputSettings(quiet={Quietness.HOST, Quietness.REASON}))
    assert console._otherwise(OutputSettings(quiet={Quietness.ALL}))
    assert LoggerManager.__module__ == console._LOGGER
