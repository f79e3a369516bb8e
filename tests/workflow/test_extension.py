"""Adding an attack, a dataset or a paper is adding one file or folder; nothing else is edited."""

from __future__ import annotations

import csv
import re
from pathlib import Path

# The attack that the README tells users to write, word for word.
README = (Path(__file__).parents[2] / "README.md").read_text()
ATTACK = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]

PAPER = """
title: "A paper of one attack"
models:
  lenet:
    dataset: mnist
    architecture: {kind: lenet}
    training: {epochs: 1}
images:
  some: {count: 8}
attacks:
  grey:
    method: {kind: grey, eps: 0.1}
    grid: {eps: [0.1, 0.2]}
    model: lenet
    images: some
experiments:
  only: [grey]
"""

RULES = """
PRODUCTS["new2030"] = [rows_file("new2030", "only")]


rule new2030:
    input:
        PRODUCTS["new2030"],
"""


def test_one_module_and_one_folder_make_a_new_paper(sources):
    (sources.path / "workflow/advsparse/attacks/grey.py").write_text(ATTACK)
    folder = sources.path / "workflow/papers/new2030"
    folder.mkdir()
    (folder / "paper.yaml").write_text(PAPER)
    (folder / "rules.smk").write_text(RULES)
    config = (sources.path / "config.yaml").read_text()
    (sources.path / "config.yaml").write_text(
        config.replace("papers: [frecon2021]", "papers: [new2030]")
    )
    sources.snakemake("new2030")
    with (sources.path / "results/test/new2030/rows/only.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["attack"] for row in rows} == {"none", "grey/eps=0.1", "grey/eps=0.2"}
    assert {row["dataset"] for row in rows} == {"digits"}


def test_an_attack_of_ones_own_joins_a_papers_figure(sources):
    (sources.path / "workflow/advsparse/attacks/grey.py").write_text(ATTACK)
    sources.configure(
        "settings:\n"
        "  frecon2021:\n"
        "    attacks:\n"
        "      grey: {method: {kind: grey, eps: 0.1}, model: lenet, images: unseen}\n"
        "    experiments: {tradeoff: [scada, grey, deepfool, uap, fgsm, pgd_linf]}\n"
    )
    figure = "results/test/frecon2021/figures/tradeoff.csv"
    sources.snakemake(figure)
    with (sources.path / figure).open() as file:
        assert "grey" in {row["kind"] for row in csv.DictReader(file)}
