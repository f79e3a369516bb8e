"""Pin what pyproject.toml ranges: ``pip install pip-tools && python envs/pin.py``.

Writes requirements.txt, requirements-test.txt and the conda files that hold the same pins. torch
and torchvision are kept at a pair whose builds match.
"""

import subprocess
import sys
from pathlib import Path

ENVS = Path(__file__).parent
PAIR = ("torch==2.12.0", "torchvision==0.27.0")
OPTIONS = [
    "--quiet",
    "--strip-extras",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
    "--no-annotate",
    "--no-header",
    "--allow-unsafe",
]


def compile_pins(output: str, *options: str) -> list[str]:
    """Run pip-compile; returns the pins, sorted."""
    path = ENVS / output
    command = [sys.executable, "-m", "piptools", "compile", *OPTIONS, *options]
    command += ["--output-file", str(path), str(ENVS.parent / "pyproject.toml")]
    subprocess.run(command, check=True)
    lines = path.read_text().splitlines()
    pins = sorted(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    path.write_text(f"# Written by envs/{Path(__file__).name}\n" + "\n".join(pins) + "\n")
    return pins


def conda_file(pins: list[str]) -> str:
    """A conda environment of Python with all else from pip, so that both ways give the same."""
    lines = [f"# Written by envs/{Path(__file__).name}", "channels:", "  - conda-forge"]
    lines += ["dependencies:", "  - python=3.11", "  - pip", "  - pip:"]
    return "\n".join([*lines, *(f"      - {pin}" for pin in pins)]) + "\n"


if __name__ == "__main__":
    pair = [option for pin in PAIR for option in ("--upgrade-package", pin)]
    pins = compile_pins("requirements.txt", *pair)
    (ENVS / "advsparse.yaml").write_text(conda_file(pins))
    compile_pins(
        "requirements-test.txt", "--extra", "test", "--constraint", str(ENVS / "requirements.txt")
    )
