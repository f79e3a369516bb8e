# Figures and tables of all papers: two rules. What each one is and reads, a paper.yaml says.

FIGURE = wiring.rule("figure", "draw_figure.py")
TABLE = wiring.rule("table", "make_table.py")


rule draw_figure:
    input:
        unpack(FIGURE.input),
    output:
        pdf=FIGURE.output(".pdf"),
        png=in_report(FIGURE, ".png", "figure"),
        csv=in_report(FIGURE, ".csv", "numbers"),
    log:
        FIGURE.log,
    benchmark:
        FIGURE.benchmark
    group:
        "drawing"
    conda:
        "../../envs/advsparse.yaml"
    resources:
        **FIGURE.resources,
    params:
        **FIGURE.params,
    script:
        "../scripts/draw_figure.py"


rule make_table:
    input:
        unpack(TABLE.input),
    output:
        html=in_report(TABLE, ".html", "table"),
        md=TABLE.output(".md"),
        tex=TABLE.output(".tex"),
        csv=TABLE.output(".csv"),
        json=TABLE.output(".json"),
    log:
        TABLE.log,
    benchmark:
        TABLE.benchmark
    group:
        "drawing"
    conda:
        "../../envs/advsparse.yaml"
    resources:
        **TABLE.resources,
    params:
        **TABLE.params,
    script:
        "../scripts/make_table.py"
