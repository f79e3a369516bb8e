"""What every job of the pipeline does around its one call into the library."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from advsparse import failures
from advsparse.allocator import keep_freed_memory
from advsparse.artifacts import Metadata, make_metadata
from advsparse.artifacts.atomic import writing
from advsparse.errors import UserError
from advsparse.quick_torch import leave_out_tracing
from advsparse.spent import age, most_memory

logger = logging.getLogger(__name__)

# The last line of a job's log: its own work, what went before since the process began or was asked
# for, and the most memory that it held.
_DONE = "done in %.2f s, %.2f s after its start, with at most %.0f MiB"
DONE = re.compile(
    r"done in (?P<work>[\d.]+) s, (?P<start>[\d.]+) s after its start"
    r"(, with at most (?P<mib>\d+) MiB)?$"
)


class Job:
    """One running job: its settings, its device, and the record that its artifact will carry."""

    def __init__(self, snakemake: Any, stage: str) -> None:
        self.stage = stage
        self._params = snakemake.params
        self.settings: dict[str, Any] = dict(snakemake.params.settings)
        self.code: str = snakemake.params.code
        # What the configuration says, of which --cores may grant fewer: another number of threads
        # rounds otherwise.
        self.threads: int = self.settings.get("threads", snakemake.threads)
        # The rule asks for a GPU where the configuration says cuda: the grant decides.
        self.device = "cuda" if getattr(snakemake.resources, "gpu", 0) else "cpu"
        self.imported_torch = False
        self._begin()

    def _begin(self) -> None:
        """From here on it is the job's own work that takes time."""
        # What importing has made lives until the end: nothing of it is garbage to look for.
        gc.freeze()
        self._started = time.monotonic()

    def seconds(self) -> float:
        """What the job's own work has taken, which importing torch is no part of."""
        return time.monotonic() - self._started

    def told(self, *names: str) -> dict[str, Any]:
        """The job's settings, and other parameters of its rule by their names."""
        return self.settings | {name: getattr(self._params, name) for name in names}

    def metadata(self, **extra: Any) -> Metadata:
        """The metadata of the job's artifact."""
        return make_metadata(
            self.stage,
            params=self.settings,
            code=self.code,
            seed=self.settings.get("seed", 0),
            device=self.device,
            wall_seconds=self.seconds(),
            extra=extra | self._gpu(),
        )

    def _gpu(self) -> dict[str, str]:
        if self.device != "cuda":
            return {}
        if not self.imported_torch:
            self.prepare_torch()
        from advsparse.lazy import torch

        return {"gpu": torch.cuda.get_device_name()}

    def prepare_torch(self) -> None:
        """Import torch, fix what decides its rounding (threads, algorithms, reduced precision), and
        have memory kept that passes need again and again."""
        from advsparse.lazy import torch

        keep_freed_memory()
        # Looking for garbage while torch is imported, and in all of it at the end, takes a third of
        # the time of starting and ending a process.
        gc.disable()
        leave_out_tracing()
        fix_rounding(self.threads)
        gc.enable()
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserError("device is cuda, but torch finds no GPU here: set 'device: cpu'")
        self.imported_torch = True
        self._begin()


def fix_rounding(threads: int, deterministic: str = "error") -> None:
    """Fix what decides how torch rounds: threads, algorithms, reduced precision.

    deterministic: what becomes of an operation that is none ("error"), or "default" for any.
    """
    from advsparse.lazy import torch

    torch.set_num_threads(threads)
    # Read by cuBLAS when it starts; without it, deterministic algorithms refuse to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # "error" is use_deterministic_algorithms(True), which imports a compiler for a second.
    torch.set_deterministic_debug_mode(deterministic)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@contextmanager
def job(snakemake: Any, stage: str) -> Iterator[Job]:
    """Run a job: log to its log file, and end with one clear message where the user can act.

    Everything else that goes wrong leaves its traceback in the log, and its last line on the
    terminal. A job with a parameter ``failure`` keeps a record there of why it has failed.
    """
    # A disk that is full is said once, not at each line of the log.
    logging.raiseExceptions = False
    log = Path(snakemake.log[0])
    record: Any = getattr(snakemake.params, "failure", None)
    if not failures.may_run(record):
        said = f"failed earlier in this run: {failures.told(record)}"
        # Snakemake has removed the log of the first pass.
        log.write_text(f"{said}\n", encoding="utf-8")
        sys.exit(f"{stage}: {said}")
    try:
        _log_to(log)
        failures.begin(record, log)
        this = Job(snakemake, stage)
        yield this
        work = this.seconds()
        logger.info(_DONE, work, age() - work, most_memory())
    except UserError as error:
        failures.end(record, str(error))
        _give_up(stage, str(error))
    except Exception as error:
        logger.error(traceback.format_exc())
        said = f"{type(error).__name__}: {error}"
        failures.end(record, said)
        _give_up(stage, f"{said} (traceback in {log})")
    except KeyboardInterrupt:
        failures.end(record)
        raise
    failures.end(record)
    if this.imported_torch:
        _end()


def _end() -> NoReturn:
    """End the process, with all of its job done, as multiprocessing ends its own.

    To free first, object by object, what importing torch has made takes a sixth of a second.
    """
    atexit._run_exitfuncs()  # of them, that of logging
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _log_to(log: Path) -> None:
    with writing(log):
        logging.basicConfig(
            filename=log,
            filemode="w",
            level=logging.INFO,
            format="%(asctime)s %(message)s",
            force=True,
        )
    logging.captureWarnings(True)
    # What torch says of its caches when a job is interrupted would bury the rest.
    logging.getLogger("torch").setLevel(logging.WARNING)


def _give_up(stage: str, message: str) -> None:
    logger.error(message)
    print(f"{stage}: {message}", file=sys.stderr)
    # Not an exception: its traceback would bury the message.
    logging.shutdown()
    sys.exit(1)
