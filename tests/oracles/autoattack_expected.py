"""What torchattacks' AutoAttack makes of a small fixed network: writes autoattack_expected.json.

The tests compare ours with it. torchattacks pins what the project does not, so that it gets an
environment of its own:

    python3 -m venv peers
    peers/bin/pip install torch==2.12.0 torchvision==0.27.0 torchattacks \
        pydantic scikit-learn scikit-image safetensors psutil
    PYTHONPATH=workflow peers/bin/python tests/oracles/autoattack_expected.py

The network is trained once, for seconds, and kept beside this script (autoattack_lenet.safetensors,
float32); the images are the first test patches of the dataset ``photos`` that it classifies
correctly, whose SHA-256 the file of results carries.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from advsparse.data._pixels import channel_statistics
from advsparse.data.photos import Photos
from advsparse.models._training import Training, train
from advsparse.models.lenet import LeNet

HERE = Path(__file__).parent
WEIGHTS = HERE / "autoattack_lenet.safetensors"
EXPECTED = HERE / "autoattack_expected.json"
COUNT = 256
RUNS = [
    ("Linf", 8 / 255, 100, (0, 1, 2)),
    ("L2", 1.0, 100, (0, 1, 2)),
    ("Linf", 8 / 255, 10, (0, 1, 2)),
    ("L2", 1.0, 10, (0, 1, 2)),
]
"""The published norm, the radius, the steps of APGD and FAB, and the seeds. The standard version of
Croce and Hein takes 100 steps; torchattacks.AutoAttack runs its attacks with their default of 10,
and has no setting for it."""


def network_and_images() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """The network, and ``COUNT`` test images in mixed order that it classifies correctly."""
    splits = Photos(train_per_class=120, test_per_class=60).load(Path())
    model = LeNet().build((3, 32, 32), 10, seed=0)
    if not WEIGHTS.exists():
        x, y = torch.from_numpy(splits.images("train")), torch.from_numpy(splits.labels("train"))
        model.normalise.set_statistics(*channel_statistics(splits.x_train))
        train(Training(epochs=8, batch_size=32, learning_rate=0.002), model, x, y, seed=0)
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, WEIGHTS)
    model.load_state_dict(load_file(WEIGHTS))
    model.eval()
    x, y = torch.from_numpy(splits.images("test")), torch.from_numpy(splits.labels("test"))
    mixed = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    x, y = x[mixed], y[mixed]
    with torch.no_grad():
        right = (model(x).argmax(1) == y).nonzero().flatten()[:COUNT]
    assert len(right) == COUNT, f"only {len(right)} images are classified correctly"
    return model, x[right], y[right]


def digest(x: torch.Tensor) -> str:
    """SHA-256 of the images rounded to 8 bits."""
    return hashlib.sha256((255 * x).round().to(torch.uint8).numpy().tobytes()).hexdigest()


def main() -> None:
    import torchattacks

    torch.set_num_threads(2)
    model, x, y = network_and_images()
    document = {
        "made_by": "tests/oracles/autoattack_expected.py",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchattacks": torchattacks.__version__,
        },
        "threads": torch.get_num_threads(),
        "images": COUNT,
        "images_sha256": digest(x),
        "runs": [],
    }
    if EXPECTED.exists():  # runs take minutes each: those of the same versions are kept
        old = json.loads(EXPECTED.read_text())
        if {**old, "runs": []} == document:
            document = old
    done = {(run["norm"], run["eps"], run["steps"], run["seed"]) for run in document["runs"]}
    for norm, eps, count, seeds in RUNS:
        for seed in seeds:
            if (norm.lower(), eps, count, seed) in done:
                continue
            attack = torchattacks.AutoAttack(model, norm=norm, eps=eps, seed=seed, n_classes=10)
            for stage in attack._autoattack.attacks[:3]:
                stage.steps = count
            started = time.perf_counter()
            found = attack(x, y)
            seconds = time.perf_counter() - started
            with torch.no_grad():
                robust = model(found).argmax(1) == y
            run = {
                "norm": norm.lower(),
                "eps": eps,
                "steps": count,
                "seed": seed,
                "robust_accuracy": robust.double().mean().item(),
                "robust": "".join("1" if one else "0" for one in robust.tolist()),
                "seconds": round(seconds, 2),
            }
            print(run, flush=True)
            document["runs"].append(run)
            EXPECTED.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
