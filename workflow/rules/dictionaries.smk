# What universal attacks learn before they attack: dictionaries, single perturbations.

FIT = wiring.rule("fit", "fit_attack.py")


rule fit_attack:
    input:
        unpack(FIT.input),
    output:
        FIT.output(),
    log:
        FIT.log,
    benchmark:
        FIT.benchmark
    conda:
        "../../envs/advsparse.yaml"
    threads: plan.configuration.threads
    resources:
        **FIT.resources,
    params:
        **FIT.params,
    script:
        "../scripts/fit_attack.py"
