# The record of the run.


rule write_provenance:
    input:
        rows=wiring.artifacts("experiment"),
        built=built_of(*plan.configuration.papers),
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
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: 10 * attempt,
    params:
        settings=plan.described(),
        benchmarks=f"{RESULTS}/benchmarks",
        jobs=measured_jobs,
        code=wiring.digest("write_provenance.py"),
    script:
        "../scripts/write_provenance.py"
