"""Which jobs should run: by the keys that stages read and the files that jobs declare.

Written from the names in the configuration and the rules, without what decides it in the pipeline.
"""

from __future__ import annotations

from collections.abc import Iterable

from advsparse.config.plan import Plan
from advsparse.stages._points import fit_of, points
from config_keys import Key
from decisions import Job


def following(jobs: list[Job], start: Iterable[str], missing: Iterable[str] = ()) -> set[str]:
    """The jobs that run when those of ``start`` do and files are missing."""
    maker = {file: job for job in jobs for file in job.output}
    found, missing = set(start), set(missing)
    while True:
        before = len(found)
        for job in jobs:
            made_by = {file: maker[file].name for file in job.input if file in maker}
            if job.rule != "all" and found & set(made_by.values()):
                found.add(job.name)
            if job.rule == "all" or job.name in found:
                found |= {made_by[file] for file in missing & made_by.keys()}
        if len(found) == before:
            return found


def read_by(key: Key, before: Plan, after: Plan, job: Job) -> bool:
    """Whether a job reads the key, going by the names of the key's parts.

    before, after: plans of the configuration without and with the key's change.
    """
    if key[0] in ("threads", "seed"):
        stages = ("train_coder", "train_classifier", "fit_attack", "run_attack", "analyse")
        return job.rule in (*stages, "evaluate_attacks")
    if key[0] == "datasets":
        return job.rule == "make_dataset" and job.wildcards["dataset"] == key[1]
    if key[0] == "roles":
        return _trained_on(key[1], after, job)
    if key[0] != "settings" or job.wildcards.get("paper") != key[1] or len(key) < 4:
        return False
    paper, section, name, *field = key[1:]
    entry = after.paper(paper)
    match section, job.rule:
        case "models", "train_classifier":
            return job.wildcards["model"] == name
        case "coders", "train_coder":
            return job.wildcards["coder"] == name
        case "signals", "train_coder":
            return entry.coders[job.wildcards["coder"]].signals == name
        case "analyses", "analyse":
            # A single repetition crosses nothing.
            return job.wildcards["analysis"] == name and field != ["crossed"]
        case "experiments", "evaluate_attacks":
            return job.wildcards["experiment"] == name
        case "images", "run_attack":
            return points(after, paper)[job.wildcards["attack"]].entry.images == name
        case "figures", "draw_figure":
            return job.wildcards["figure"] == name and _product_reads(field)
        case "experiments", "make_table":
            return job.wildcards["table"] == "warnings" and _attacks(before) != _attacks(after)
        case "tables", "make_table":
            return job.wildcards["table"] == name and _product_reads(field)
        case "images" | "attacks", "fit_attack":
            lesson = _lessons(after, paper)[job.wildcards["fit"]]
            return lesson not in _lessons(before, paper).values()
        case "attacks", "run_attack":
            return _attack_reads(field, before, after, paper, name, job.wildcards["attack"])
    return False


def _trained_on(role: str, plan: Plan, job: Job) -> bool:
    if job.rule == "train_classifier":
        return plan.paper(job.wildcards["paper"]).models[job.wildcards["model"]].dataset == role
    if job.rule == "train_coder":
        return plan.paper(job.wildcards["paper"]).coders[job.wildcards["coder"]].dataset == role
    return False


def _lessons(plan: Plan, paper: str) -> dict[str, list]:
    """What is learned, from what and on which classifier, by its name."""
    found = {}
    for id, job in points(plan, paper).items():
        if job.entry.learn_from:
            images = plan.paper(paper).images[job.entry.learn_from]
            lesson = [job.method.learner(), images, job.learns_on, job.entry.against]
            found[fit_of(plan, paper, id)] = lesson
    return found


def _attack_reads(field, before: Plan, after: Plan, paper: str, name: str, id: str) -> bool:
    """What is learned for an attack is read as a file: those keys are not the attack's own."""
    job = points(after, paper)[id]
    if job.name != name or field == ["learn_from"]:
        return False
    if field == ["surrogate"]:
        return job.entry.target != "none"
    if field[0] == "grid":
        return id not in points(before, paper)
    return field[0] != "method" or field[1] not in job.entry.grid


def _attacks(plan: Plan) -> set[str]:
    """All attacks that experiments and analyses name."""
    settings = [plan.paper(paper) for paper in plan.configuration.papers]
    entries = [e for s in settings for e in (*s.experiments.values(), *s.analyses.values())]
    return {attack for entry in entries for attack in entry.attacks}


def _product_reads(field: list[str]) -> bool:
    """Its title is the report's alone; what is nearest to other numbers may be the same."""
    changed = field[0] == "reads" and field[2] not in ("nearest", "attacks")
    return changed or field[0] in ("function", "options")
