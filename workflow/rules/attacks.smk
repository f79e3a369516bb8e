# Attacks: one job for each attack and point of its grid, and one for each part of those divided.

ATTACK = wiring.rule("attack", "run_attack.py")
ATTACK_PART = wiring.rule("attack_part", "run_attack_part.py")


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


rule run_attack_part:
    input:
        unpack(ATTACK_PART.input),
    output:
        ATTACK_PART.output(),
    log:
        ATTACK_PART.log,
    benchmark:
        ATTACK_PART.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **ATTACK_PART.resources,
    params:
        **ATTACK_PART.params,
    script:
        "../scripts/run_attack_part.py"
