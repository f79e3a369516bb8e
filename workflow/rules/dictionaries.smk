# What universal attacks learn before they attack: dictionaries, single perturbations.


rule fit_attack:
    input:
        unpack(fit_input),
    output:
        f"{RESULTS}/{{paper}}/dictionaries/{{fit}}.npz",
    log:
        f"{RESULTS}/logs/{{paper}}/dictionaries/{{fit}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{paper}}/dictionaries/{{fit}}.tsv"
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **requested("{paper}/dictionaries/{fit}", mem_mb=2000, runtime=120),
        gpu=gpus,
    params:
        settings=lambda w: plan.fit_settings(w.paper, plan.fitted(w.paper, w.fit)),
        # Not an output: it is what is left when there is none.
        failure=lambda w: failure_file("dictionaries", w.fit, w.paper),
        code=lambda w: code("fit_attack.py", *plan.fit_modules(w.paper, w.fit)),
    script:
        "../scripts/fit_attack.py"
