# Sparse coders that are learned: one training each, resumed after an interruption.

CODER = wiring.rule("coder", "train_coder.py")


rule train_coder:
    input:
        unpack(CODER.input),
    output:
        CODER.output(),
    log:
        CODER.log,
    benchmark:
        CODER.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **CODER.resources,
    params:
        **CODER.params,
    script:
        "../scripts/train_coder.py"
