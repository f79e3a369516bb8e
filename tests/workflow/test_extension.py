"""Adding an attack, a stage or a paper is adding files; nothing that is there is edited."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest

from project import Project

# The attack that the README tells users to write, word for word.
README = (Path(__file__).parents[2] / "README.md").read_text()
ATTACK = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
FILES = Path(__file__).with_name("extensions")
"""Files of a paper and of a stage, where they belong in the project."""


def extended(project: Project, name: str) -> Project:
    """A project with the files of an extension added, none of which is there already."""
    for file in (FILES / name).rglob("*"):
        if file.is_file():
            path = project.path / file.relative_to(FILES / name)
            assert not path.exists()
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, path)
    return project


def lines(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def with_paper(sources) -> Project:
    (sources.path / "workflow/advsparse/attacks/grey.py").write_text(ATTACK)
    sources.edit("config.yaml", "papers: [frecon2021]", "papers: [new2030]")
    return extended(sources, "paper")


def test_one_module_and_one_folder_make_a_new_paper(with_paper):
    with_paper.snakemake("new2030")
    folder = with_paper.path / "results/test/new2030"
    rows = lines(folder / "rows/only.csv")
    assert {row["attack"] for row in rows} == {"none", "grey/eps=0.1", "grey/eps=0.2"}
    assert {row["dataset"] for row in rows} == {"digits"}
    assert [row["id"] for row in lines(folder / "figures/dots.csv")] == [
        "grey/eps=0.1",
        "grey/eps=0.2",
    ]
    assert (folder / "figures/dots.png").read_bytes().startswith(b"\x89PNG")
    (line,) = lines(folder / "tables/accuracy.csv")
    assert float(line["reproduced"]) <= 1 and line["paper"] == "0.99"
    with_paper.snakemake("--report", "report.html", "new2030")
    report = (with_paper.path / "report.html").read_text()
    assert "Dots of a paper of one attack" in report and "Built on digits" in report
    assert with_paper.jobs("new2030") == set()


def test_a_user_adds_a_figure_and_drops_another(with_paper):
    with_paper.configure("""
settings:
  new2030:
    figures:
      dots: null
      mine: {title: Mine, function: figures.dots, reads: {only: {experiment: only}}}
""")
    with_paper.snakemake("new2030")
    figures = with_paper.path / "results/test/new2030/figures"
    assert {file.name for file in figures.iterdir()} == {"mine.csv", "mine.png", "mine.pdf"}


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
    assert "grey" in {row["kind"] for row in lines(sources.path / figure)}


# A stage that tallies what attacks changed, and a table of its tallies.
TALLIES = """
settings:
  new2030:
    tallies:
      strong: {attack: grey, eps: 0.2}
    tables:
      counted:
        title: What was changed
        function: tables.counted
        reads: {strong: {tally: strong}}
"""


def test_a_stage_of_three_files_fails_leaves_gaps_and_recovers(with_paper):
    project = extended(with_paper, "stage")
    project.configure(TALLIES)
    (project.path / "broken").touch()
    done = project.snakemake("--keep-going", "new2030", check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "new2030 tally strong: RuntimeError: no luck" in said.rpartition("tried again")[2]
    results = project.path / "results/test/new2030"
    (gap,) = lines(results / "tables/counted.csv")
    assert gap["failed"] == "because tally strong failed: RuntimeError: no luck"
    assert len(lines(results / "figures/dots.csv")) == 2
    assert project.jobs("new2030") == {"tally_changes strong", "make_table counted", "new2030"}
    (project.path / "broken").unlink()
    project.snakemake("new2030")
    assert int(lines(results / "tables/counted.csv")[0]["changed"]) > 0
    assert project.jobs("new2030") == set()
    # Its setting, its code, and what it reads rerun it.
    project.edit("config.yaml", "eps: 0.2", "eps: 0.1")
    assert project.jobs("new2030") == {"tally_changes strong", "make_table counted", "new2030"}
    project.edit("workflow/advsparse/attacks/grey.py", "(0.5 - x)", "(0.4 - x)")
    assert {"run_attack grey/eps=0.1", "tally_changes strong"} <= project.jobs("new2030")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("attack: grey", "attack: gray", "tallies.strong.attack: there is no 'gray'; did you mean"),
        ("eps: 0.2}", "epz: 0.2}", "tallies.strong.epz: unknown key 'epz'; did you mean 'eps'?"),
        ("tally: strong", "tally: string", "reads.strong.tally: the paper's figures need 'string'"),
        ("tally: strong", "talyl: strong", "reads.strong.talyl: unknown key 'talyl'; did you mean"),
    ],
)
def test_mistakes_about_a_stage_of_ones_own_are_told_like_all_others(with_paper, old, new, said):
    project = extended(with_paper, "stage")
    project.configure(TALLIES.replace(old, new))
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode != 0 and said in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and "common.smk" not in done.stderr


def test_a_stage_without_a_rule_is_refused_at_the_start(with_paper):
    project = extended(with_paper, "stage")
    (project.path / "workflow/rules/tallies.smk").unlink()
    done = project.snakemake("--dry-run", check=False)
    assert done.returncode != 0 and "no rule makes what the stage 'tally' declares" in done.stderr
