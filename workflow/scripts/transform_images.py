"""Transform the training images of one dataset as a defence does."""

import json
from pathlib import Path

from advsparse.artifacts import write_slices
from advsparse.data._io import load_described
from advsparse.defenses._io import load_defense
from advsparse.defenses._transformed import Transformed
from advsparse.jobs import job
from advsparse.models._io import load_classifier

with job(snakemake, "transformed") as this:
    this.prepare_torch()
    data, source = load_described(snakemake.input.dataset)
    defense, learned, its_metadata = load_defense(snakemake.input.defense, this.device)
    made_of = [source.payload_sha256, its_metadata.payload_sha256]
    if classifier := snakemake.input.get("classifier"):
        model, of_model = load_classifier(classifier, this.device)
        t = defense.for_network(learned, model)
        made_of.append(of_model.payload_sha256)
    else:
        t = defense.transformation(learned)
    rows = Transformed(
        data.x_train,
        defense,
        t,
        seed=this.settings["seed"],
        device=this.device,
        parts=Path(snakemake.params.checkpoint).with_suffix(""),
        identity=json.dumps([this.code, this.settings, this.device, made_of]),
    )
    write_slices(snakemake.output[0], {"x_train": rows}, this.metadata(stored=rows.stored))
    rows.forget()
