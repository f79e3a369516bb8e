# Attacks: one job for each attack and point of its grid.


rule run_attack:
    input:
        unpack(attack_input),
    output:
        f"{RESULTS}/{{paper}}/attacks/{{attack}}.npz",
    log:
        f"{RESULTS}/logs/{{paper}}/attacks/{{attack}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{paper}}/attacks/{{attack}}.tsv"
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **requested("{paper}/attacks/{attack}", mem_mb=2000, runtime=120),
        gpu=gpus,
    params:
        settings=lambda w: plan.attack_settings(w.paper, w.attack),
        # Not an output: it is what is left when there is none.
        failure=lambda w: failure_file("attacks", w.attack, w.paper),
        code=lambda w: code("run_attack.py", *plan.attack_modules(w.paper, w.attack)),
    script:
        "../scripts/run_attack.py"
