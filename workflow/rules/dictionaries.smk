# What universal attacks learn before they attack: dictionaries, single perturbations.


rule fit_attack:
    input:
        dataset=lambda w: dataset_file(w.paper, plan.attack(w.paper, w.attack).entry.model),
        classifier=lambda w: classifier_file(w.paper, plan.attack(w.paper, w.attack).entry.model),
    output:
        f"{RESULTS}/{{paper}}/dictionaries/{{attack}}.npz",
    log:
        f"{RESULTS}/logs/{{paper}}/dictionaries/{{attack}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{paper}}/dictionaries/{{attack}}.tsv"
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        gpu=gpus,
        mem_mb=2000,
        runtime=120,
    params:
        settings=lambda w: plan.fit_settings(w.paper, w.attack),
        code=lambda w: code("fit_attack.py", *plan.attack_modules(w.paper, w.attack)),
    script:
        "../scripts/fit_attack.py"
