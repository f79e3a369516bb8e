# The pages of results: the first, and behind it those of the papers, of images and of jobs.


rule write_results_pages:
    input:
        built=built_of(*plan.configuration.papers),
        record=f"{RESULTS}/provenance.json",
        claims=wiring.claims(),
    output:
        first=f"{RESULTS}/index.html",
        pages=directory(f"{RESULTS}/pages"),
    log:
        f"{RESULTS}/logs/results_pages.log",
    conda:
        "../../envs/advsparse.yaml"
    resources:
        mem_mb=lambda w, attempt: 1000 * attempt,
        runtime=lambda w, attempt: 10 * attempt,
    params:
        settings={},
        told=lambda w: wiring.shown(),
        looks=wiring.looks("advsparse/pages"),
        code=wiring.digest("write_results_pages.py"),
    script:
        "../scripts/write_results_pages.py"
