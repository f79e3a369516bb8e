# Evaluation rows: what tables and figures read.


rule evaluate_attacks:
    input:
        attacks=lambda w: [
            attack_file(w.paper, job.id)
            for job in plan.experiment(w.paper, w.experiment)
            if not failed(attack_records(w.paper, job.id))
        ],
        failures=lambda w: sorted(set(failures_of(w.paper, w.experiment).values())),
        classifiers=lambda w: [
            classifier_file(w.paper, model) for model in models_left(w.paper, w.experiment)
        ],
        datasets=lambda w: sorted(
            {dataset_file(w.paper, model) for model in models_left(w.paper, w.experiment)}
        ),
    output:
        rows=f"{RESULTS}/{{paper}}/rows/{{experiment}}.csv",
        metadata=f"{RESULTS}/{{paper}}/rows/{{experiment}}.csv.meta.json",
    log:
        f"{RESULTS}/logs/{{paper}}/rows/{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{paper}}/rows/{{experiment}}.tsv"
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **requested("{paper}/rows/{experiment}", mem_mb=2000, runtime=30),
        gpu=gpus,
    params:
        failures=lambda w: failures_of(w.paper, w.experiment),
        settings=lambda w: plan.experiment_settings(w.paper, w.experiment),
        code=lambda w: code(
            "evaluate_attacks.py",
            *(
                module
                for model in plan.models_of(w.paper, w.experiment)
                for module in plan.classifier_modules(w.paper, model)
            ),
        ),
    script:
        "../scripts/evaluate_attacks.py"
