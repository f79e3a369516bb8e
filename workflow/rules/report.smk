# The record of the run.


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
        mem_mb=1000,
        runtime=10,
    params:
        settings=plan.described(),
        benchmarks=f"{RESULTS}/benchmarks",
        code=code("write_provenance.py"),
    script:
        "../scripts/write_provenance.py"
