# Classifiers: one training each, resumed from its checkpoint after an interruption.


rule train_classifier:
    input:
        unpack(classifier_input),
    output:
        f"{RESULTS}/{{paper}}/classifiers/{{model}}.safetensors",
    log:
        f"{RESULTS}/logs/{{paper}}/classifiers/{{model}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{paper}}/classifiers/{{model}}.tsv"
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **requested("{paper}/classifiers/{model}", mem_mb=2000, runtime=240),
        gpu=gpus,
    params:
        settings=lambda w: plan.classifier_settings(w.paper, w.model),
        # Not an output: Snakemake deletes the outputs of a job that failed.
        checkpoint=lambda w: f"{RESULTS}/checkpoints/{w.paper}/{w.model}.safetensors",
        # Not an output: it is what is left when there is none.
        failure=lambda w: failure_file("classifiers", w.model, w.paper),
        code=lambda w: code("train_classifier.py", *plan.classifier_modules(w.paper, w.model)),
    script:
        "../scripts/train_classifier.py"
