# Published datasets: the only rules that use the network, and only when asked for.

import time

from advsparse.stages.dataset import fetch_settings, published_files


# On the machine where snakemake runs: the nodes of a cluster often reach no network.
localrules:
    fetch,
    fetch_file,


rule fetch:
    input:
        [
            f"{RESULTS}/fetched/{kind}/{file}"
            for kind, file in published_files(plan, wiring.graph.reached)
        ],


# The file itself is no output, which snakemake would delete before the job and after a failure: its
# part has to survive, and so has a file that is not the right one.
rule fetch_file:
    output:
        f"{RESULTS}/fetched/{{kind}}/{{file}}",
    log:
        f"{RESULTS}/logs/fetched/{{kind}}/{{file}}.log",
    conda:
        "../../envs/advsparse.yaml"
    resources:
        mem_mb=500,
        runtime=120,
    params:
        settings=lambda w: fetch_settings(plan, w.kind, w.file),
        code=wiring.digest("fetch_file.py"),
        # Never as before: whoever asks wants the files looked at.
        asked=time.time_ns(),
    script:
        "../scripts/fetch_file.py"
