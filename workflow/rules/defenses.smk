# Defences: what each has learned, and the training images that those in front have transformed.

DEFENSE = wiring.rule("defense", "fit_defense.py")
TRANSFORMED = wiring.rule("transformed", "transform_images.py")
TRANSFORMED_PART = wiring.rule("transformed_part", "transform_images_part.py")


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


rule transform_images_part:
    input:
        unpack(TRANSFORMED_PART.input),
    output:
        TRANSFORMED_PART.output(),
    log:
        TRANSFORMED_PART.log,
    benchmark:
        TRANSFORMED_PART.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **TRANSFORMED_PART.resources,
    params:
        **TRANSFORMED_PART.params,
    script:
        "../scripts/transform_images_part.py"
