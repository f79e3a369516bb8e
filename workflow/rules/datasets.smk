# Datasets: made or read once, used by all papers; and a picture of each.

DATASET = wiring.rule("dataset", "make_dataset.py")
PICTURE = wiring.rule("picture", "draw_dataset.py")


rule make_dataset:
    input:
        unpack(DATASET.input),
    output:
        DATASET.output(),
    log:
        DATASET.log,
    benchmark:
        DATASET.benchmark
    conda:
        "../../envs/advsparse.yaml"
    resources:
        **DATASET.resources,
    params:
        **DATASET.params,
    script:
        "../scripts/make_dataset.py"


rule draw_dataset:
    input:
        unpack(PICTURE.input),
    output:
        pdf=PICTURE.output(".pdf"),
        png=report(
            PICTURE.output(".png"),
            caption="../report/product.rst",
            category="Datasets",
            labels={"dataset": "{dataset}", "figure": "classes"},
        ),
    log:
        PICTURE.log,
    benchmark:
        PICTURE.benchmark
    group:
        "drawing"
    conda:
        "../../envs/advsparse.yaml"
    resources:
        **PICTURE.resources,
    params:
        **PICTURE.params,
    script:
        "../scripts/draw_dataset.py"
