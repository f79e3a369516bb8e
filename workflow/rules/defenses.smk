# Defences: what each has learned, and the training images that those in front have transformed.

DEFENSE = wiring.rule("defense", "fit_defense.py")
TRANSFORMED = wiring.rule("transformed", "transform_images.py")


rule fit_defense:
    input:
        unpack(DEFENSE.input),
    output:
        DEFENSE.output(),
    log:
        DEFENSE.log,
    benchmark:
        DEFENSE.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **DEFENSE.resources,
    params:
        **DEFENSE.params,
    script:
        "../scripts/fit_defense.py"


rule transform_images:
    input:
        unpack(TRANSFORMED.input),
    output:
        TRANSFORMED.output(),
    log:
        TRANSFORMED.log,
    benchmark:
        TRANSFORMED.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **TRANSFORMED.resources,
    params:
        **TRANSFORMED.params,
    script:
        "../scripts/transform_images.py"
