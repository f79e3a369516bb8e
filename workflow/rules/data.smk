# Datasets: made or read once, used by all papers.


rule make_dataset:
    input:
        dataset_input,
    output:
        f"{RESULTS}/datasets/{{dataset}}.npz",
    log:
        f"{RESULTS}/logs/datasets/{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/datasets/{{dataset}}.tsv"
    conda:
        "../../envs/advsparse.yaml"
    resources:
        **requested("datasets/{dataset}", mem_mb=2000, runtime=30),
    params:
        settings=lambda w: plan.dataset_settings(w.dataset),
        contents=lambda w: plan.dataset_contents(w.dataset),
        # Not an output: it is what is left when there is none.
        failure=lambda w: failure_file("datasets", w.dataset),
        code=lambda w: code("make_dataset.py", plan.dataset_module(w.dataset)),
    script:
        "../scripts/make_dataset.py"


rule draw_dataset:
    input:
        unpack(dataset_outcome),
    output:
        pdf=f"{RESULTS}/datasets/{{dataset}}.pdf",
        png=report(
            f"{RESULTS}/datasets/{{dataset}}.png",
            caption="../report/dataset.rst",
            category="Datasets",
            labels={"dataset": "{dataset}", "figure": "classes"},
        ),
    log:
        f"{RESULTS}/logs/datasets/{{dataset}}_figure.log",
    benchmark:
        f"{RESULTS}/benchmarks/datasets/{{dataset}}_figure.tsv"
    conda:
        "../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        settings=lambda w: {
            "dataset": w.dataset,
            "source": plan.dataset_settings(w.dataset)["source"]["kind"],
            "note": plan.configuration.datasets[w.dataset].note,
            "per_class": 6,
        },
        code=lambda w: code("draw_dataset.py"),
    script:
        "../scripts/draw_dataset.py"
