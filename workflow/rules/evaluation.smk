# Evaluation rows: what tables and figures read.

EXPERIMENT = wiring.rule("experiment", "evaluate_attacks.py")


rule evaluate_attacks:
    input:
        unpack(EXPERIMENT.input),
    output:
        rows=EXPERIMENT.output(),
        metadata=EXPERIMENT.output(".csv.meta.json"),
        samples=EXPERIMENT.output(".npz"),
    log:
        EXPERIMENT.log,
    benchmark:
        EXPERIMENT.benchmark
    # On a cluster, jobs of seconds share a submission: waiting for it takes longer than they do.
    group:
        "evaluation"
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **EXPERIMENT.resources,
    params:
        **EXPERIMENT.params,
    script:
        "../scripts/evaluate_attacks.py"
