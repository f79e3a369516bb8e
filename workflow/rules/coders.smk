# Sparse coders that are learned: one training each, resumed like that of a classifier.


rule train_coder:
    input:
        unpack(coder_input),
    output:
        f"{RESULTS}/{{paper}}/coders/{{coder}}.safetensors",
    log:
        f"{RESULTS}/logs/{{paper}}/coders/{{coder}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/{{paper}}/coders/{{coder}}.tsv"
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **requested("{paper}/coders/{coder}", mem_mb=2000, runtime=240),
        gpu=gpus,
    params:
        settings=lambda w: plan.coder_settings(w.paper, w.coder),
        # Not an output: Snakemake deletes the outputs of a job that failed.
        checkpoint=lambda w: f"{RESULTS}/checkpoints/{w.paper}/coders/{w.coder}.safetensors",
        # Not an output: it is what is left when there is none.
        failure=lambda w: failure_file("coders", w.coder, w.paper),
        code=lambda w: code("train_coder.py", *plan.coder_modules(w.paper, w.coder)),
    script:
        "../scripts/train_coder.py"
