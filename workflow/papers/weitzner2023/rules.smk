# weitzner2023: the figures and tables of attacks seen in sparse codes, and of the Dict-Attack.

WEITZNER = "weitzner2023"
WEITZNER_PRESET = plan.configuration.preset
WEITZNER_ORIGINS = {
    name: plan.origin(WEITZNER, plan.analysed_models(WEITZNER, name)[0])
    for name, entry in plan.paper(WEITZNER).analyses.items()
    if entry.attacks
}


PRODUCTS[WEITZNER] = [
    *(
        f"{RESULTS}/{WEITZNER}/figures/{figure}.{suffix}"
        for figure in (
            "coding",
            "code_change",
            "correlation_cifar10",
            "correlation_tiny_imagenet",
            "perturbation_codes",
            "coding_da",
            "budgets",
        )
        for suffix in ("pdf", "png", "csv")
    ),
    *(
        f"{RESULTS}/{WEITZNER}/tables/{table}.{suffix}"
        for table in ("claims", "tests", "numbers")
        for suffix in ("csv", *PAGES)
    ),
    *warnings_files(WEITZNER),
    *(
        f"{RESULTS}/datasets/{dataset}.png"
        for dataset in dict.fromkeys(origin["dataset"] for origin in WEITZNER_ORIGINS.values())
    ),
]


localrules:
    weitzner2023,


rule weitzner2023:
    input:
        PRODUCTS[WEITZNER],


rule weitzner2023_coding:
    input:
        **analysis_outcome(WEITZNER, signals="signals"),
    output:
        **figure_files(WEITZNER, "coding", "Figure 1: codes of attacked signals"),
    log:
        f"{RESULTS}/logs/{WEITZNER}/figures/coding.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/figures/coding.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{WEITZNER}.coding.draw_coding"),
        settings={"preset": WEITZNER_PRESET, "conditions": ["clean", "noise", "pgd"]},
    script:
        "../../scripts/draw_figure.py"


rule weitzner2023_coding_da:
    input:
        **analysis_outcome(WEITZNER, signals="signals"),
    output:
        **figure_files(WEITZNER, "coding_da", "Figure 6: codes of signals under PGD and DA"),
    log:
        f"{RESULTS}/logs/{WEITZNER}/figures/coding_da.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/figures/coding_da.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{WEITZNER}.coding.draw_coding"),
        settings={"preset": WEITZNER_PRESET, "conditions": ["noise", "pgd", "da"]},
    script:
        "../../scripts/draw_figure.py"


rule weitzner2023_perturbation_codes:
    input:
        **analysis_outcome(WEITZNER, signals="signals"),
        values=f"{PAPERS}/{WEITZNER}/reference/values.csv",
    output:
        **figure_files(WEITZNER, "perturbation_codes", "Figure 5: codes of perturbations"),
    log:
        f"{RESULTS}/logs/{WEITZNER}/figures/perturbation_codes.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/figures/perturbation_codes.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{WEITZNER}.coding.draw_perturbation_codes"),
        settings={"preset": WEITZNER_PRESET},
    script:
        "../../scripts/draw_figure.py"


rule weitzner2023_code_change:
    input:
        **analysis_outcome(WEITZNER, analysis="change"),
    output:
        **figure_files(WEITZNER, "code_change", "Figure 2: change of a code's entries"),
    log:
        f"{RESULTS}/logs/{WEITZNER}/figures/code_change.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/figures/code_change.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{WEITZNER}.codes.draw_code_change"),
        settings={
            "origin": WEITZNER_ORIGINS["change"],
            "kinds": {
                name: plan.attack(WEITZNER, name).kind
                for name in plan.paper(WEITZNER).analyses["change"].attacks
            },
        },
    script:
        "../../scripts/draw_figure.py"


rule weitzner2023_correlation_cifar10:
    input:
        **analysis_outcome(WEITZNER, analysis="correlation_cifar10"),
    output:
        **figure_files(WEITZNER, "correlation_cifar10", "Figure 3: correlation with atoms"),
    log:
        f"{RESULTS}/logs/{WEITZNER}/figures/correlation_cifar10.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/figures/correlation_cifar10.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{WEITZNER}.codes.draw_correlation"),
        settings={"origin": WEITZNER_ORIGINS["correlation_cifar10"]},
    script:
        "../../scripts/draw_figure.py"


rule weitzner2023_correlation_tiny_imagenet:
    input:
        **analysis_outcome(WEITZNER, analysis="correlation_tiny_imagenet"),
    output:
        **figure_files(
            WEITZNER, "correlation_tiny_imagenet", "Figure 4: correlation, Tiny ImageNet's role"
        ),
    log:
        f"{RESULTS}/logs/{WEITZNER}/figures/correlation_tiny_imagenet.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/figures/correlation_tiny_imagenet.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{WEITZNER}.codes.draw_correlation"),
        settings={"origin": WEITZNER_ORIGINS["correlation_tiny_imagenet"]},
    script:
        "../../scripts/draw_figure.py"


rule weitzner2023_budgets:
    input:
        **analysis_outcome(
            WEITZNER, budgets_mnist="budgets_mnist", budgets_cifar10="budgets_cifar10"
        ),
        accuracies=f"{PAPERS}/{WEITZNER}/reference/accuracies.csv",
    output:
        **figure_files(WEITZNER, "budgets", "Figure 7: accuracy against the budget"),
    log:
        f"{RESULTS}/logs/{WEITZNER}/figures/budgets.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/figures/budgets.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("draw_figure.py", f"papers.{WEITZNER}.accuracy.draw_budgets"),
        settings={
            "origin": WEITZNER_ORIGINS["budgets_cifar10"],
            "origins": {
                "mnist": WEITZNER_ORIGINS["budgets_mnist"],
                "cifar10": WEITZNER_ORIGINS["budgets_cifar10"],
            },
        },
    script:
        "../../scripts/draw_figure.py"


rule weitzner2023_tests:
    input:
        **analyses_left(WEITZNER),
        claims=f"{PAPERS}/{WEITZNER}/reference/claims.yaml",
    output:
        **table_files(WEITZNER, "tests", "Statistical tests"),
    log:
        f"{RESULTS}/logs/{WEITZNER}/tables/tests.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/tables/tests.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("make_table.py", f"papers.{WEITZNER}.tables.tests"),
        settings={
            "origins": WEITZNER_ORIGINS,
            "failures": analyses_failed(WEITZNER),
        },
    script:
        "../../scripts/make_table.py"


rule weitzner2023_claims:
    input:
        **analyses_left(WEITZNER),
        claims=f"{PAPERS}/{WEITZNER}/reference/claims.yaml",
    output:
        **table_files(WEITZNER, "claims", "The paper's claims beside what was rebuilt"),
    log:
        f"{RESULTS}/logs/{WEITZNER}/tables/claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/tables/claims.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("make_table.py", f"papers.{WEITZNER}.tables.claims"),
        settings={
            "preset": WEITZNER_PRESET,
            "origins": WEITZNER_ORIGINS,
            "failures": analyses_failed(WEITZNER),
        },
    script:
        "../../scripts/make_table.py"


rule weitzner2023_numbers:
    input:
        **analyses_left(WEITZNER),
        accuracies=f"{PAPERS}/{WEITZNER}/reference/accuracies.csv",
        values=f"{PAPERS}/{WEITZNER}/reference/values.csv",
    output:
        **table_files(WEITZNER, "numbers", "The paper's numbers beside the reproduced ones"),
    log:
        f"{RESULTS}/logs/{WEITZNER}/tables/numbers.log",
    benchmark:
        f"{RESULTS}/benchmarks/{WEITZNER}/tables/numbers.tsv"
    conda:
        "../../../envs/advsparse.yaml"
    resources:
        **LIGHT,
    params:
        **calling("make_table.py", f"papers.{WEITZNER}.tables.numbers"),
        settings={"preset": WEITZNER_PRESET, "origins": WEITZNER_ORIGINS},
    script:
        "../../scripts/make_table.py"
