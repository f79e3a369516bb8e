# What went wrong, and the record of the run.


rule warn_of_attacks:
    input:
        rows=lambda w: [rows_file(w.paper, name) for name in plan.paper(w.paper).experiments],
    output:
        html=report(
            f"{RESULTS}/{{paper}}/tables/warnings.html",
            caption="../report/warnings.rst",
            category="{paper}",
            subcategory="Tables",
            labels={"what": "Attacks that failed or warned", "format": "table"},
        ),
        md=f"{RESULTS}/{{paper}}/tables/warnings.md",
        tex=f"{RESULTS}/{{paper}}/tables/warnings.tex",
        csv=f"{RESULTS}/{{paper}}/tables/warnings.csv",
    log:
        f"{RESULTS}/logs/{{paper}}/tables/warnings.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{paper}}/tables/warnings.tsv"
    conda:
        "../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("make_table.py", "advsparse.evaluate.outcomes.warnings_table"),
        settings=lambda w: {"paper": w.paper},
    script:
        "../scripts/make_table.py"


rule write_provenance:
    input:
        rows=[
            rows_file(paper, experiment)
            for paper in plan.configuration.papers
            for experiment in plan.paper(paper).experiments
        ],
        figures=lambda w: [file for files in PRODUCTS.values() for file in files],
    output:
        html=report(
            f"{RESULTS}/provenance.html",
            caption="../report/provenance.rst",
            category="Run",
            labels={"what": "configuration and provenance"},
        ),
        json=f"{RESULTS}/provenance.json",
    log:
        f"{RESULTS}/logs/provenance.log",
    conda:
        "../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        settings=plan.described(),
        benchmarks=f"{RESULTS}/benchmarks",
        jobs=measured_jobs,
        code=code("write_provenance.py"),
    script:
        "../scripts/write_provenance.py"
