# Classifiers: one training each, resumed after an interruption.

CLASSIFIER = wiring.rule("classifier", "train_classifier.py")


rule train_classifier:
    input:
        unpack(CLASSIFIER.input),
    output:
        CLASSIFIER.output(),
    log:
        CLASSIFIER.log,
    benchmark:
        CLASSIFIER.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **CLASSIFIER.resources,
    params:
        **CLASSIFIER.params,
    script:
        "../scripts/train_classifier.py"
