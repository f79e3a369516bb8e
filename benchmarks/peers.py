"""The published libraries' attacks, each as a function of nothing that returns attacked images.

They are imported where they are used: importing all of them takes longer than some attacks.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.subject import CLASSES, SHAPE, Subject

PACKAGES = (
    "foolbox",
    "torchattacks",
    "cleverhans",
    "adversarial-robustness-toolbox",
    "scikit-learn",
    "sporco",
    "scikit-image",
    "scipy",
)

Attacked = Callable[[], torch.Tensor]


def foolbox_attack(on: Subject, name: str, eps: float | None = None, **settings) -> Attacked:
    """An attack of foolbox; ``eps`` none: a minimum-norm attack."""
    import foolbox

    wrapped = foolbox.PyTorchModel(on.model, bounds=(0, 1), device="cpu")
    attack = getattr(foolbox.attacks, name)(**settings)
    return lambda: attack(wrapped, on.x, on.y, epsilons=eps)[1]


def torchattacks_attack(on: Subject, name: str, **settings) -> Attacked:
    """An attack of torchattacks."""
    import torchattacks

    attack = getattr(torchattacks, name)(on.model, **settings)
    return lambda: attack(on.x, on.y)


def torchattacks_autoattack(on: Subject, eps: float, steps: int) -> Attacked:
    """AutoAttack of torchattacks, which has no setting for the steps: it runs the default of 10."""
    import torchattacks

    attack = torchattacks.AutoAttack(on.model, norm="Linf", eps=eps, n_classes=CLASSES, seed=0)
    for stage in attack._autoattack.attacks[:3]:
        stage.steps = steps
    return lambda: attack(on.x, on.y)


def cleverhans_pgd(on: Subject, eps: float, step: float, steps: int) -> Attacked:
    """Projected gradient descent of cleverhans."""
    from cleverhans.torch.attacks.projected_gradient_descent import projected_gradient_descent

    return lambda: projected_gradient_descent(
        on.model, on.x, eps, step, steps, np.inf, rand_init=True, sanity_checks=False
    ).detach()


def art_attack(on: Subject, name: str, target=None, **settings) -> Attacked:
    """An attack of the Adversarial Robustness Toolbox."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.attacks import evasion
        from art.estimators.classification import PyTorchClassifier

    wrapped = PyTorchClassifier(
        on.model,
        loss=torch.nn.CrossEntropyLoss(),
        input_shape=SHAPE,
        nb_classes=CLASSES,
        clip_values=(0, 1),
        device_type="cpu",
    )
    attack = getattr(evasion, name)(wrapped, **settings)
    x, y = on.x.numpy(), (on.y if target is None else target).numpy()
    one_hot = np.eye(CLASSES, dtype=np.float32)[y]
    return lambda: torch.from_numpy(attack.generate(x, one_hot))


def versions() -> dict[str, str]:
    """The peers' versions."""
    return {package: importlib.metadata.version(package) for package in PACKAGES}
