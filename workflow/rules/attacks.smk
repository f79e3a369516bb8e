# Attacks: one job for each attack and point of its grid.

ATTACK = wiring.rule("attack", "run_attack.py")


rule run_attack:
    input:
        unpack(ATTACK.input),
    output:
        ATTACK.output(),
    log:
        ATTACK.log,
    benchmark:
        ATTACK.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **ATTACK.resources,
    params:
        **ATTACK.params,
    script:
        "../scripts/run_attack.py"
