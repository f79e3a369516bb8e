"""Let one defence learn what it goes by."""

from advsparse import registry
from advsparse.artifacts import read_arrays, write_arrays
from advsparse.data._io import load_dataset
from advsparse.data._selection import choose
from advsparse.jobs import job
from advsparse.lazy import torch
from advsparse.models._io import load_classifier

with job(snakemake, "defense") as this:
    method = registry.from_spec("defenses", this.settings["method"])
    images, given, learned = this.settings["images"], snakemake.input, {}
    learns_from = None
    if path := given.get("attack"):
        attacked, _ = read_arrays(path, stage="attack")
        learns_from = attacked["x_adv"], attacked["label"]
    elif images is not None:
        data = load_dataset(given.dataset)
        index = choose(len(data.labels(images["split"])), **images)
        learns_from = tuple(read(images["split"], index) for read in (data.images, data.labels))
    if learns_from is not None:
        # To import torch takes far longer than to note that nothing is learned.
        this.prepare_torch()
        path = given.get("classifier")
        model = load_classifier(path, this.device)[0] if path else None
        tensors = (torch.from_numpy(array).to(this.device) for array in learns_from)
        learned = method.fit(*tensors, model=model, rng=this.settings["seed"])
    arrays = {name: value.cpu().numpy() for name, value in learned.items()}
    write_arrays(snakemake.output[0], arrays, this.metadata())
