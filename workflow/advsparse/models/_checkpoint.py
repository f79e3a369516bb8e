"""The state of a training between two epochs, on disk."""

from __future__ import annotations

import logging
from pathlib import Path

from advsparse.artifacts import make_metadata, read_tensors, write_tensors
from advsparse.errors import ArtifactError
from advsparse.lazy import torch
from advsparse.prefixes import under

logger = logging.getLogger(__name__)


class Checkpoint:
    """The file that a training is resumed from, unless it is of another ``identity``."""

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity

    def save(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        epoch: int,
        loss_at_first: float,
    ) -> None:
        """Keep the state after ``epoch`` epochs, the first of which had a mean loss."""
        tensors = under(model.state_dict(), "model.")
        for index, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"optimizer.{index}.{name}"] = value
        metadata = make_metadata(
            "checkpoint",
            params={"identity": self.identity},
            code="",
            seed=0,
            extra={"epoch": epoch, "loss_at_first": loss_at_first},
        )
        write_tensors(self.path, tensors, metadata)

    def resume(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[int, float | None]:
        """Load the state, if it is there and ours.

        Returns the number of epochs done, and the mean loss of the first.
        """
        if not self.path.exists():
            return 0, None
        try:
            tensors, metadata = read_tensors(self.path, stage="checkpoint")
        except ArtifactError as error:
            logger.warning("training starts afresh, the checkpoint is of no use: %s", error)
            return 0, None
        if metadata.params["identity"] != self.identity:
            logger.info(
                "the checkpoint %s is of another training: training starts afresh", self.path
            )
            return 0, None
        weights, state = {}, {}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            if part == "model":
                weights[rest] = value
            else:
                index, _, key = rest.partition(".")
                state.setdefault(int(index), {})[key] = value
        model.load_state_dict(weights)
        # In the layout of the weights, so that the next step rounds as it would have.
        groups = optimizer.param_groups
        for index, parameter in enumerate(p for group in groups for p in group["params"]):
            for key, value in state.get(index, {}).items():
                if value.ndim and value.shape == parameter.shape:
                    state[index][key] = torch.empty_like(parameter).copy_(value)
        described = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": described})
        epoch = metadata.extra["epoch"]
        logger.info("resumed from %s after epoch %d", self.path, epoch)
        return epoch, metadata.extra["loss_at_first"]
