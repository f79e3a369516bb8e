"""Let one defence learn what it goes by."""

from advsparse import registry
from advsparse.artifacts import write_arrays
from advsparse.data._io import load_dataset
from advsparse.data._selection import choose
from advsparse.jobs import job
from advsparse.lazy import torch
from advsparse.models._io import load_classifier

with job(snakemake, "defense") as this:
    this.prepare_torch()
    method = registry.from_spec("defenses", this.settings["method"])
    images, classifier, learned = this.settings["images"], snakemake.input.get("classifier"), {}
    if images is not None:
        data = load_dataset(snakemake.input.dataset)
        index = choose(len(data.labels(images["split"])), **images)
        x, y = (read(images["split"], index) for read in (data.images, data.labels))
        model = load_classifier(classifier, this.device)[0] if classifier else None
        tensors = (torch.from_numpy(array).to(this.device) for array in (x, y))
        learned = method.fit(*tensors, model=model, rng=this.settings["seed"])
    arrays = {name: value.cpu().numpy() for name, value in learned.items()}
    write_arrays(snakemake.output[0], arrays, this.metadata())
