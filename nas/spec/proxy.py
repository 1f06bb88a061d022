"""The section `proxy` of a runner file: the cheap training that stands in for a full one."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["PROBE_STEPS", "Backbone", "Proxy"]

PROBE_STEPS = 300
_STEPS = {"probe": PROBE_STEPS, "supernet-whole": 3750}
_EPOCHS = {
    "probe": 3.0,
    "finetune": 3.0,
    "scratch": 3.0,
    "supernet": 20.0,
    "supernet-whole": 20.0,
}
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Backbone(BaseModel):
    """The plain network that probes and fine-tuning start from."""

    model_config = _STRICT

    weights: Literal["train", "pretrained"] = "train"
    """`train`: on the training images, once per run; `pretrained`: timm's."""
    epochs: Annotated[float, Field(gt=0)] = 8.0
    """Not to the end: blocks on a backbone that fits its training images have nothing to learn.
    On digits, after 20 epochs no network saved loss; after 8, most did."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None: 0.1 from random weights and 0.01 from pretrained ones, for a batch of 128, and in
    proportion for others."""


class Proxy(BaseModel):
    """The cheap stand-in for full training."""

    model_config = _STRICT

    kind: Literal["probe", "finetune", "scratch", "supernet", "supernet-whole"] = "probe"
    """`supernet`: one for the whole run, of the largest budget; candidates inherit its weights.
    Its backbone stays frozen, and with `supernet-whole` is trained, too."""
    rungs: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = None
    """Budgets, each larger than the one before. None: what suits the kind and the images (see
    `settled`)."""
    unit: Literal["epochs", "steps", "images", "seconds"] = "epochs"
    """Budgets in seconds differ from machine to machine, and so do their results."""
    schedule: Literal["whole", "restart"] = "whole"
    """`whole`: one cycle of the learning rate over the largest budget, so that lower rungs stop
    on the way; `restart`: a cycle to each rung."""
    subset: Annotated[int, Field(ge=2)] | None = None
    """Train on this many of the training images, of each class its share; None: on all."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    """Seeds that every candidate is trained with (see also search.confirm_seeds)."""
    threads: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None: what suits the kind and the batch."""
    resolution: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Train on smaller images than the network will be deployed at; None: the same."""
    backbone: Backbone = Backbone()

    @field_validator("rungs")
    @classmethod
    def _rising(cls, rungs: list[float] | None) -> list[float] | None:
        if any(low >= high for low, high in pairwise(rungs or ())):
            raise ValueError(f"found {rungs}; allowed: each larger than the one before")
        return rungs

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.rungs is None and self.unit != "epochs":
            raise ValueError(f"unit {self.unit!r} says what rungs count; give rungs, too")
        return self

    @property
    def budgets(self) -> list[float]:
        """The rungs of a run, whose file has them."""
        assert self.rungs is not None
        return self.rungs

    def steps(self, budget: float, images: int) -> float:
        """Return the steps of a budget that is not in seconds, with so many training images."""
        per_epoch = max(1, min(images, self.subset or images) // self.batch_size)
        units = {"epochs": float(per_epoch), "steps": 1.0, "images": 1.0 / self.batch_size}
        return budget * units[self.unit]

    def settled(self, images: int) -> Proxy:
        """Return the proxy with the budget that suits so many images, unless it has one.

        images: for training.
        A probe gets 300 steps: thirty networks were ranked no better by three times as many, and
        the wrong way round by a third (benchmarks/training/proxy_study.py). Of a small set it gets
        no more than 3 epochs, which is then said. A supernet that trains its backbone gets 3,750
        steps, which ranked those networks better than a fourth or four times as many; at most 20
        epochs. Other kinds get their epochs.
        """
        if self.rungs is not None:
            return self
        epochs, steps = _EPOCHS[self.kind], _STEPS.get(self.kind)
        if steps is not None and self.steps(epochs, images) > steps:
            return self.model_copy(update={"rungs": [float(steps)], "unit": "steps"})
        return self.model_copy(update={"rungs": [epochs], "unit": "epochs"})
