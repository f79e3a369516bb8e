# frecon2021: the figures and tables of SCADA. The grid that they show is in paper.yaml.

from papers.frecon2021.variant import variant

FRECON = "frecon2021"
# What figures 1 to 3 show: the point of the grid nearest to the paper's (0.1, 0.1).
FRECON_SHOWN = plan.nearest(FRECON, "scada", lambda1=0.1, lambda2=0.1)
FRECON_VARIANT = variant(FRECON_SHOWN.method)
FRECON_ORIGIN = plan.origin(FRECON, FRECON_SHOWN.entry.model)


PRODUCTS[FRECON] = [
    *(
        f"{RESULTS}/{FRECON}/figures/{figure}.{suffix}"
        for figure in ("atoms", "examples", "loss", "tradeoff", "number_of_atoms")
        for suffix in ("pdf", "png", "csv")
    ),
    *(
        f"{RESULTS}/{FRECON}/tables/{table}"
        for table in (
            *(f"{name}.{suffix}" for name in ("claims", "numbers") for suffix in ("csv", *PAGES)),
            *(f"cost.{suffix}" for suffix in ("json", *PAGES)),
        )
    ),
    *warnings_files(FRECON),
    f"{RESULTS}/datasets/{FRECON_ORIGIN['dataset']}.png",
]


localrules:
    frecon2021,


rule frecon2021:
    input:
        PRODUCTS[FRECON],


rule frecon2021_atoms:
    input:
        **outcome(FRECON, FRECON_SHOWN.id, "fit"),
    output:
        **figure_files(FRECON, "atoms", "Figure 1: atoms"),
    log:
        f"{RESULTS}/logs/{FRECON}/figures/atoms.log",
    benchmark:
        f"{RESULTS}/benchmarks/{FRECON}/figures/atoms.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{FRECON}.figures.draw_atoms"),
        settings={"origin": FRECON_ORIGIN, "variant": FRECON_VARIANT},
    script:
        "../../scripts/draw_figure.py"


rule frecon2021_examples:
    input:
        **outcome(FRECON, FRECON_SHOWN.id, "attack", "dataset"),
    output:
        **figure_files(FRECON, "examples", "Figure 2: two attacked images"),
    log:
        f"{RESULTS}/logs/{FRECON}/figures/examples.log",
    benchmark:
        f"{RESULTS}/benchmarks/{FRECON}/figures/examples.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{FRECON}.figures.draw_examples"),
        settings={"origin": FRECON_ORIGIN, "variant": FRECON_VARIANT},
    script:
        "../../scripts/draw_figure.py"


rule frecon2021_loss:
    input:
        **outcome(FRECON, FRECON_SHOWN.id, "fit"),
    output:
        **figure_files(FRECON, "loss", "Figure 3, left: training loss"),
    log:
        f"{RESULTS}/logs/{FRECON}/figures/loss.log",
    benchmark:
        f"{RESULTS}/benchmarks/{FRECON}/figures/loss.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{FRECON}.figures.draw_loss"),
        settings={"origin": FRECON_ORIGIN, "variant": FRECON_VARIANT},
    script:
        "../../scripts/draw_figure.py"


rule frecon2021_tradeoff:
    input:
        rows=rows_file(FRECON, "tradeoff"),
    output:
        **figure_files(FRECON, "tradeoff", "Figure 3, right: fooling rate against rMSE"),
    log:
        f"{RESULTS}/logs/{FRECON}/figures/tradeoff.log",
    benchmark:
        f"{RESULTS}/benchmarks/{FRECON}/figures/tradeoff.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{FRECON}.plane.draw_tradeoff"),
        settings={
            "origin": FRECON_ORIGIN,
            "variant": FRECON_VARIANT,
            "points": plan.points(FRECON, "tradeoff"),
        },
    script:
        "../../scripts/draw_figure.py"


rule frecon2021_number_of_atoms:
    input:
        rows=rows_file(FRECON, "atoms"),
        tradeoff=rows_file(FRECON, "tradeoff"),
    output:
        **figure_files(FRECON, "number_of_atoms", "Beyond the paper: from universal to specific"),
    log:
        f"{RESULTS}/logs/{FRECON}/figures/number_of_atoms.log",
    benchmark:
        f"{RESULTS}/benchmarks/{FRECON}/figures/number_of_atoms.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{FRECON}.plane.draw_number_of_atoms"),
        settings={
            "origin": FRECON_ORIGIN,
            "variant": FRECON_VARIANT,
            "points": plan.points(FRECON, "atoms"),
            "tradeoff": plan.points(FRECON, "tradeoff"),
        },
    script:
        "../../scripts/draw_figure.py"


rule frecon2021_cost:
    input:
        **outcome(FRECON, FRECON_SHOWN.id, "fit", "attack"),
        values=f"{PAPERS}/{FRECON}/reference/values.csv",
    output:
        **table_files(FRECON, "cost", "Cost of learning and attacking", numbers="json"),
    log:
        f"{RESULTS}/logs/{FRECON}/tables/cost.log",
    benchmark:
        f"{RESULTS}/benchmarks/{FRECON}/tables/cost.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("make_table.py", f"papers.{FRECON}.tables.cost"),
        settings={"origin": FRECON_ORIGIN, "variant": FRECON_VARIANT},
    script:
        "../../scripts/make_table.py"


rule frecon2021_claims:
    input:
        tradeoff=rows_file(FRECON, "tradeoff"),
        atoms=rows_file(FRECON, "atoms"),
        values=f"{PAPERS}/{FRECON}/reference/values.csv",
        claims=f"{PAPERS}/{FRECON}/reference/claims.yaml",
    output:
        **table_files(FRECON, "claims", "The paper's claims beside what was rebuilt"),
    log:
        f"{RESULTS}/logs/{FRECON}/tables/claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/{FRECON}/tables/claims.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("make_table.py", f"papers.{FRECON}.tables.claims"),
        settings={
            "origin": FRECON_ORIGIN,
            "variant": FRECON_VARIANT,
            "shown": FRECON_SHOWN.id,
            "model": FRECON_SHOWN.entry.model,
            "points": plan.points(FRECON, "tradeoff"),
            "atoms": plan.points(FRECON, "atoms"),
        },
    script:
        "../../scripts/make_table.py"


rule frecon2021_numbers:
    input:
        tradeoff=rows_file(FRECON, "tradeoff"),
        values=f"{PAPERS}/{FRECON}/reference/values.csv",
    output:
        **table_files(FRECON, "numbers", "The paper's numbers beside the reproduced ones"),
    log:
        f"{RESULTS}/logs/{FRECON}/tables/numbers.log",
    benchmark:
        f"{RESULTS}/benchmarks/{FRECON}/tables/numbers.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("make_table.py", f"papers.{FRECON}.tables.numbers"),
        settings={"origin": FRECON_ORIGIN, "model": FRECON_SHOWN.entry.model},
    script:
        "../../scripts/make_table.py"
