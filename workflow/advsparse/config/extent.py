"""The jobs that a configuration knows, and those of them that figures and tables are made from."""

from __future__ import annotations

from advsparse.config.plan import Plan


def extent(plan: Plan, paper: str) -> dict[str, list[str]]:
    """What a paper's experiments and analyses take, by the names of the rules' wildcards."""
    entry = plan.paper(paper)
    attacks = {job.id for name in entry.experiments for job in plan.experiment(paper, name)}
    attacks.update(*(analysis.attacks for analysis in entry.analyses.values()))
    learned = {id for id in attacks if plan.attack(paper, id).entry.learn_from}
    models = {plan.attack(paper, id).entry.model for id in attacks}
    models |= {plan.learns_on(paper, id) for id in learned}
    coders = {entry.models[model].coder for model in models} - {None}
    coders.update(*(analysis.coders for analysis in entry.analyses.values()))
    datasets = {plan.dataset_of(paper, model) for model in models}
    datasets |= {plan.coder_dataset(paper, coder) for coder in coders} - {None}
    found = {
        "paper": {paper},
        "experiment": set(entry.experiments),
        "analysis": set(entry.analyses),
        "attack": attacks,
        "fit": {plan.fit_of(paper, id) for id in learned},
        "model": models,
        "coder": coders,
        "dataset": datasets,
    }
    return {name: sorted(values) for name, values in found.items()}


def job_names(plan: Plan) -> dict[str, set[str]]:
    """All that the jobs of the selected papers may be called, by the names of the wildcards."""
    papers, datasets = plan.configuration.papers, plan.configuration.datasets
    found: dict[str, set[str]] = {"paper": set(papers), "dataset": set(datasets)}
    for paper in papers:
        entry, ids = plan.paper(paper), plan.attack_ids(paper)
        learned = [id for id in ids if plan.attack(paper, id).entry.learn_from]
        for axis, known in {
            "model": entry.models,
            "coder": entry.coders,
            "analysis": entry.analyses,
            "experiment": entry.experiments,
            "attack": ids,
            "fit": [plan.fit_of(paper, id) for id in learned],
        }.items():
            found.setdefault(axis, set()).update(known)
    return found
