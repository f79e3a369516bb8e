"""The fork server: its jobs are as those of a Python of their own, but for what is imported."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.script import PythonScript

from advsparse import forkserver

WORKFLOW = Path(__file__).parents[2] / "workflow"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="jobs are copies on Linux alone")

CLIENT = WORKFLOW / "advsparse/forkserver/client.py"
ADDRESS = Path("jobs.socket")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(WORKFLOW)}

# Says who runs it; the libraries of a job are there, and of the project nothing.
WHO = """
import os, sys
modules = [name for name in sys.modules if name.partition(".")[0] == "advsparse"]
asked = "ADVSPARSE_ASKED" in os.environ
print(asked, "torch" in sys.modules, modules, sys.argv, __name__, __file__)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("jobs")


def start(folder: Path) -> subprocess.Popen:
    before = Path.cwd()
    os.chdir(folder)
    try:
        ADDRESS.unlink(missing_ok=True)
        listening = forkserver._listen(ADDRESS)
    finally:
        os.chdir(before)
    with listening:
        return subprocess.Popen(
            [sys.executable, "-m", "advsparse.forkserver", ADDRESS, str(listening.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listening.fileno()],
            cwd=folder,
            env=ENVIRONMENT,
            start_new_session=True,
        )


@pytest.fixture(scope="module")
def server(folder):
    process = start(folder)
    yield process
    process.kill()
    process.wait()


def command(folder: Path, script: str, name: str = "tmp.script.py") -> list[str]:
    (folder / name).write_text(script)
    return [sys.executable, "-I", "-S", str(CLIENT), str(ADDRESS), name]


def ask(folder: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, script),
        cwd=folder,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def in_its_own_python(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    (folder / "tmp.script.py").write_text(script)
    return subprocess.run(
        [sys.executable, "tmp.script.py"],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )


def test_a_job_finds_torch_imported_and_nothing_of_the_project(folder, server):
    said = ask(folder, WHO)
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == "True True [] ['tmp.script.py'] __main__ tmp.script.py\n"


@pytest.mark.parametrize(
    "script",
    [
        "raise SystemExit(3)",
        "import sys; print('out'); sys.exit('said')",
        "def job():\n    raise ValueError('no luck')\njob()",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
        "syntax error",
        "import sys; print(sys.stdin.read(), sys.path[0].rpartition('/')[2])",
        "import atexit; atexit.register(print, 'at exit')",
        "import signal\nprint(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGCHLD))",
        "import os; print(os.getcwd(), sorted(os.environ.items() - [('ADVSPARSE_ASKED', "
        "os.environ.get('ADVSPARSE_ASKED'))]))",
        # What a process that a job starts makes of the job's module.
        "import multiprocessing\nif __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(abs, [-2]))",
    ],
)
def test_it_ends_and_says_what_it_would_in_a_python_of_its_own(folder, server, script):
    own, asked = in_its_own_python(folder, script), ask(folder, script)
    assert asked.returncode == own.returncode
    # Paths are told relative to where Python was started, or not.
    assert asked.stdout.replace(f"{folder}/", "") == own.stdout.replace(f"{folder}/", "")
    assert (
        asked.stderr.replace(f"{folder}/", "").splitlines()[-1:]
        == (own.stderr.replace(f"{folder}/", "").splitlines()[-1:])
    )


def test_it_computes_the_same_bytes(folder, server):
    script = """
import hashlib
from advsparse.jobs import fix_rounding
fix_rounding(2)
import numpy as np, torch
generator = torch.Generator().manual_seed(0)
x = torch.rand(8, 3, 64, 64, generator=generator, requires_grad=True)
weights = torch.rand(16, 3, 5, 5, generator=generator)
y = torch.nn.functional.conv2d(x, weights).square().sum()
y.backward()
a = np.random.default_rng(0).random((400, 400))
found = [x.grad.numpy(), a @ a, np.linalg.svd(a)[1], np.array(y.item())]
print([hashlib.sha256(each.tobytes()).hexdigest() for each in found])
"""
    own, asked = in_its_own_python(folder, script), ask(folder, script)
    assert own.stdout == asked.stdout and len(own.stdout) > 250, asked.stderr


def test_another_environment_has_a_python_of_its_own(folder, server):
    assert ask(folder, WHO, OMP_NUM_THREADS="5").stdout.startswith("False False [] ")
    assert ask(folder, WHO, TMPDIR=str(folder)).stdout.startswith("True True [] ")


def test_temporary_files_go_where_the_job_is_told(folder, server):
    there = folder / "temporary"
    there.mkdir()
    said = ask(folder, "import tempfile; print(tempfile.gettempdir())", TMPDIR=str(there))
    assert said.stdout == f"{there}\n"


def test_jobs_run_side_by_side_and_say_how_long_and_how_large(folder, server):
    script = """
import time
from advsparse.spent import age, most_memory
held = bytearray(200 * 2**20)
time.sleep(0.5)
print(age(), most_memory())
"""
    began = time.monotonic()
    jobs = [
        subprocess.Popen(command(folder, script), cwd=folder, env=ENVIRONMENT, stdout=-1)
        for _ in range(4)
    ]
    for job in jobs:
        old, held = map(float, job.communicate()[0].split())
        assert 0.5 <= old <= time.monotonic() - began
        assert 200 <= held < 2000


def test_a_job_whose_client_is_killed_ends(folder, server):
    (folder / "begun").unlink(missing_ok=True)
    script = "import pathlib, os, time; p = pathlib.Path('begun')\n"
    script += "p.with_name('_').write_text(str(os.getpid())); p.with_name('_').rename(p)\n"
    script += "time.sleep(600)"
    client = subprocess.Popen(command(folder, script), cwd=folder, env=ENVIRONMENT)
    _until((folder / "begun").exists)
    client.kill()
    client.wait()
    job = int((folder / "begun").read_text())
    _until(lambda: not Path(f"/proc/{job}").exists())


def test_without_a_server_a_job_has_a_python_of_its_own(tmp_path):
    assert ask(tmp_path, WHO).stdout.startswith("False False [] ")
    with socket.socket(socket.AF_UNIX) as dead:  # what a killed server leaves
        dead.bind(str(tmp_path / ADDRESS))
    assert ask(tmp_path, WHO).stdout.startswith("False False [] ")


def test_a_server_that_cannot_import_leaves_jobs_to_pythons_of_their_own(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('none here')")
    process = start(tmp_path)
    assert ask(tmp_path, WHO).stdout.startswith("False False [] ")
    assert process.wait() == 1


def begun(folder: Path, script: str) -> subprocess.Popen[str]:
    """A job that has begun."""
    job = subprocess.Popen(
        command(folder, f"import time; print(1, flush=True); {script}"),
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert job.stdout.readline() == "1\n"
    return job


def test_it_ends_with_the_run_once_its_jobs_have(tmp_path):
    process = start(tmp_path)
    job = begun(tmp_path, "time.sleep(1); print(2)")
    process.stdin.close()
    assert job.stdout.readline() == "2\n" and job.wait() == 0
    assert process.wait() == 0
    assert not (tmp_path / ADDRESS).exists()


def test_a_server_that_is_killed_is_named(tmp_path):
    process = start(tmp_path)
    job = begun(tmp_path, "time.sleep(3)")
    process.kill()
    process.wait()
    assert job.wait() == 1 and "was it killed?" in job.stderr.read()


def test_interrupted_jobs_say_so_once(tmp_path):
    process = start(tmp_path)
    job = begun(tmp_path, "time.sleep(600)")
    # As the keyboard would: all processes of the group. Here that of the server has the job.
    os.killpg(process.pid, signal.SIGINT)
    job.send_signal(signal.SIGINT)
    assert job.wait() == -signal.SIGINT
    assert job.stderr.read().count("KeyboardInterrupt") == 1
    assert process.poll() is None
    process.stdin.close()
    assert process.wait() == 0


@pytest.mark.parametrize(
    ("local", "jobs", "asks"), [(True, 4, True), (True, 3, False), (False, 4, False)]
)
def test_who_asks_a_server(local, jobs, asks, tmp_path, monkeypatch):
    """Runs on this machine, of more than a few jobs."""
    monkeypatch.chdir(tmp_path)
    Path(".snakemake").mkdir()
    started, said = [], []
    monkeypatch.setattr(forkserver, "__file__", "/a folder/forkserver/__init__.py")
    monkeypatch.setattr(forkserver.subprocess, "Popen", lambda *a, **named: started.append(named))
    monkeypatch.setattr(PythonScript, "_execute_cmd", lambda _, c, **named: said.append(named))
    workflow = SimpleNamespace(
        local_exec=local,
        dag=SimpleNamespace(needrun_jobs=lambda: range(jobs)),
        resource_settings=SimpleNamespace(cores=2),
    )
    forkserver.copy_for_each_job(workflow, threads=4)
    PythonScript._execute_cmd(None, "{py_exec} {fname}", py_exec=sys.executable, fname="a.py")
    PythonScript._execute_cmd(None, "{py_exec} {fname}", py_exec="python", fname="a.py")
    assert bool(started) == asks
    asked = f"{sys.executable} -I -S '/a folder/forkserver/client.py' .snakemake/jobs.socket"
    assert [named["py_exec"] for named in said] == [asked if asks else sys.executable, "python"]
    assert not asks or started[0]["env"]["OMP_NUM_THREADS"] == "2"


def _until(true, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
