"""The report as a browser shows it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from project import copy_sources

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_report_opens_and_lists_its_results(tmp_path):
    project = copy_sources(tmp_path / "project")
    targets = ("results/test/frecon2021/figures/loss.csv", "results/test/datasets/photos.png")
    project.snakemake(*targets)
    project.snakemake("--report", "report.html", *targets)
    page = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            (tmp_path / "project" / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    # Scripts have drawn the menu: its folders are in the document, not only in the data.
    body = page[page.index("<body") :]
    assert "Snakemake" in body and "frecon2021" in body and "Datasets" in body
