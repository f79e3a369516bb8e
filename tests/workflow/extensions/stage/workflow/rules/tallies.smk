# Tallies of the pixels that attacks changed.

TALLY = wiring.rule("tally", "tally_changes.py")


rule tally_changes:
    input:
        unpack(TALLY.input),
    output:
        TALLY.output(),
    log:
        TALLY.log,
    benchmark:
        TALLY.benchmark
    resources:
        **TALLY.resources,
    params:
        **TALLY.params,
    script:
        "../scripts/tally_changes.py"
