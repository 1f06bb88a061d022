"""The section `proxy` of a runner file: the cheap training that stands in for a full one."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from nas.spec.launch import Launch
from nas.spec.precision import FP32, Precision
from nas.spec.resolution import SearchedResolution

__all__ = ["KINDS", "PROBE_STEPS", "Backbone", "BlockStart", "Proxy", "Regime"]

Regime = Literal["scratch", "finetune"]
"""The question that a search answers: of networks that will be trained from random weights, or of
trained ones that will be trained on with blocks in them."""
BlockStart = Literal["identity", "paper"]

KINDS: dict[Regime, tuple[str, ...]] = {
    "scratch": ("scratch",),
    "finetune": ("finetune", "probe", "supernet", "supernet-whole"),
}
"""The kinds of proxy that give evidence of each regime; the first is its default."""

PROBE_STEPS = 300
_STEPS = {"probe": PROBE_STEPS, "supernet-whole": 3750}
_EPOCHS = {
    "probe": 3.0,
    "finetune": 3.0,
    "scratch": 5.0,
    "supernet": 20.0,
    "supernet-whole": 20.0,
}
_WARM_UP_STEPS = 1250  # four epochs of 40,000 images in batches of 128
_WARM_UP, _COOLDOWN = 1 / 3, 1 / 5
_WORDS = ("train", "pretrained")
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Backbone(BaseModel):
    """The plain network that probes and fine-tuning start from."""

    model_config = _STRICT

    weights: Annotated[str, Field(min_length=1)] = "train"
    """`train`: on the training images, once per run; `pretrained`: timm's; else a file of weights,
    safetensors or a PyTorch checkpoint, or `hf-hub:OWNER/NAME` or `local-dir:PATH`, as timm writes
    them; a search writes down the file that it found."""
    match: Annotated[str, Field(min_length=1)] = "name"
    """How the tensors of such a file are told: by `name`, in `order`, or by a file of pairs."""
    epochs: Annotated[float, Field(ge=0)] = 8.0
    """Left out beside a file of weights: 0, which takes the network as it stands.
    Not to the end: blocks on a backbone that fits its training images have nothing to learn.
    On digits, after 20 epochs no network saved loss; after 8, most did."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None: 0.1 from random weights and 0.01 from trained ones, for a batch of 128, and in
    proportion for others."""
    rate_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """The share of the learning rate for what the backbone came with, wherever it is trained on,
    here and in `retrain`; blocks, heads and the classifier have all of it."""
    freeze_norms: bool = False
    """Batch norms that the backbone came with keep their statistics and factors there, as is usual
    with small batches."""
    digest: str | None = None
    """Of the file of weights, SHA-256; a search writes it down."""

    @model_validator(mode="after")
    def _as_it_stands(self) -> Self:
        if self.file is not None and "epochs" not in self.model_fields_set:
            object.__setattr__(self, "epochs", 0.0)
        if self.file is None and self.match != "name":
            raise ValueError(f"match {self.match!r} is for a file of weights; name one as weights")
        if self.weights == "train" and not self.epochs:
            raise ValueError("epochs 0: the backbone would keep random weights; give it some")
        return self

    @property
    def file(self) -> Path | None:
        """The user's file of weights; None where the backbone is trained, or has its library's."""
        return None if self.weights in _WORDS else Path(self.weights)

    @property
    def key(self) -> dict[str, Any]:
        """What decides how the backbone was trained; of files of weights what is in them."""
        plain = self.model_dump(include={"weights", "epochs", "learning_rate"})
        plain |= self.model_dump(include={"rate_share", "freeze_norms"}, exclude_defaults=True)
        if self.file is None:
            return plain
        return {**plain, "weights": self.digest, "match": self.match}


class Proxy(BaseModel):
    """The cheap stand-in for full training."""

    model_config = _STRICT

    kind: Literal["scratch", "finetune", "probe", "supernet", "supernet-whole"] = "scratch"
    """Left out or null in a runner: the first of `KINDS` for its regime. `finetune`: all weights,
    from those of the trained plain network; `probe`: the blocks alone, on that network as it is;
    `supernet`: one for the whole run, of the largest budget; candidates inherit its weights.
    Its backbone stays frozen, and with `supernet-whole` is trained, too."""
    rungs: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = None
    """Budgets, each larger than the one before. None: what suits the kind and the images (see
    `settled`)."""
    unit: Literal["epochs", "steps", "images", "seconds"] = "epochs"
    """Budgets in seconds differ from machine to machine, and so do their results."""
    schedule: Literal["whole", "restart", "trunk"] = "whole"
    """`whole`: one cycle of the learning rate over the largest budget, so that lower rungs stop
    on the way; `restart`: a cycle to each rung; `trunk`: a constant rate, from which a branch
    cools down to each rung, and the training goes on from before it."""
    warm_up: Annotated[float, Field(gt=0)] | None = None
    """In which the rate rises, in `unit`. None: from scratch a third of the largest budget, on a
    trunk of the least, at most 1,250 steps; else, and in cycles that restart, a fifth of each."""
    cooldown: Annotated[float, Field(gt=0)] | None = None
    """Of a trunk: in which the rate falls to zero before a rung, in `unit`; None: a fifth of the
    rung."""
    start: BlockStart | None = None
    """How blocks start from scratch, here and in full training: as identities, which change
    nothing, or as their papers start them. None: as identities; a run of an earlier version, which
    does not say it, as papers. Beside trained weights they are always identities."""
    subset: Annotated[int, Field(ge=2)] | None = None
    """Train on this many of the training images, of each class its share; None: on all."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    """Seeds that every candidate is trained with (see also search.confirm_seeds)."""
    threads: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None: what suits the kind and the batch."""
    precision: Precision | None = None
    """Of the arithmetic, in training and where networks are judged, here and in `retrain`, so that
    no front holds figures of several. None: `bf16` on a GPU that has it, `fp16` on another, else
    `fp32`, which a search writes down; a run of an earlier version, which does not say it,
    `fp32`."""
    launch: Launch = "eager"
    """How steps of candidates and of full trainings are launched, which changes but rounding. Those
    of a training that several processes share are launched eagerly."""
    resolution: SearchedResolution | None = None
    """Train on smaller images than the network will be deployed at; None: the same."""
    backbone: Backbone = Backbone()

    @model_validator(mode="before")
    @classmethod
    def _kind_left_out(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("kind", "") is None:
            return {name: value for name, value in data.items() if name != "kind"}
        return data

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

    @model_validator(mode="after")
    def _scheduled(self) -> Self:
        first, last = (self.rungs[0], self.rungs[-1]) if self.rungs else (None, None)
        if self.cooldown is not None and self.schedule != "trunk":
            raise ValueError(f"cooldown: schedule {self.schedule!r} has none; use trunk")
        if self.cooldown is not None and first is not None and self.cooldown >= first:
            raise ValueError(
                f"cooldown {self.cooldown:g} leaves nothing of the first rung, {first:g}; "
                "make it shorter"
            )
        if self.warm_up is not None and self.schedule == "restart":
            raise ValueError("warm_up: with schedule 'restart' it is a fifth of each cycle")
        room = first if self.schedule == "trunk" else last
        if self.warm_up is not None and room is not None and self.warm_up > room:
            raise ValueError(f"warm_up {self.warm_up:g} is longer than the training, {room:g}")
        return self

    @model_validator(mode="after")
    def _launched(self) -> Self:
        if self.launch != "eager" and self.kind.startswith("supernet"):
            raise ValueError(
                f"launch {self.launch!r}: a supernet takes other paths at each step; use eager"
            )
        return self

    @property
    def by_content(self) -> Proxy:
        """The same, with a file of weights known by its digest, wherever it lies."""
        if self.backbone.digest is None:
            return self
        known = self.backbone.model_copy(update={"weights": self.backbone.digest})
        return self.model_copy(update={"backbone": known})

    @property
    def regime(self) -> Regime:
        """The regime that a training of this kind gives evidence of."""
        return "scratch" if self.kind in KINDS["scratch"] else "finetune"

    @property
    def block_start(self) -> BlockStart:
        """How the inserted blocks of a candidate start."""
        return (self.start or "paper") if self.regime == "scratch" else "identity"

    @property
    def budgets(self) -> list[float]:
        """The rungs of a run, whose file has them."""
        assert self.rungs is not None
        return self.rungs

    @property
    def computed_in(self) -> Precision:
        """The precision of a run, whose file says it unless an earlier version wrote it."""
        return self.precision or FP32

    def steps(self, budget: float, images: int) -> float:
        """Return the steps of a budget that is not in seconds, with so many training images."""
        per_epoch = max(1, min(images, self.subset or images) // self.batch_size)
        units = {"epochs": float(per_epoch), "steps": 1.0, "images": 1.0 / self.batch_size}
        return budget * units[self.unit]

    def cooldown_before(self, rung: float) -> float:
        """Return how long the rate falls before a rung of a trunk, in the unit of the rungs."""
        return _COOLDOWN * rung if self.cooldown is None else self.cooldown

    def settled(self, images: int, least_steps: int = 0) -> Proxy:
        """Return the proxy with what suits so many images, where it does not say it itself.

        images: for training.
        least_steps: of the task: a training from scratch gets as many whole epochs as make them.
        A training from scratch gets 5 epochs; how long it must be depends on network and images,
        and nas calibrate measures it. Its blocks start as identities: coordinate attention
        everywhere had a loss of .74 and .23 after 5 and 8 epochs of digits, and of 1.11 and .52
        as its paper starts it; CIFAR-10 did not tell the two starts apart (docs/fidelity.md). A
        probe gets 300 steps: thirty networks were ranked no better by three times as many, and
        the wrong way round by a third (benchmarks/training/proxy_study.py). Of a small set it gets
        no more than 3 epochs, which is then said. A supernet that trains its backbone gets 3,750
        steps, which ranked those networks better than a fourth or four times as many; at most 20
        epochs. Other kinds get their epochs.
        """
        settled = self if self.rungs is not None else self._with_budget(images, least_steps)
        if settled.regime == "scratch":
            settings = {"start": self.start or "identity", "warm_up": settled._warm_up(images)}
            settled = settled.model_copy(update=settings)
        return settled

    def _with_budget(self, images: int, least_steps: int) -> Proxy:
        epochs, steps = _EPOCHS[self.kind], _STEPS.get(self.kind)
        if self.kind == "scratch":
            epochs = max(epochs, math.ceil(least_steps / self.steps(1.0, images)))
        if steps is not None and self.steps(epochs, images) > steps:
            return self.model_copy(update={"rungs": [float(steps)], "unit": "steps"})
        return self.model_copy(update={"rungs": [epochs], "unit": "epochs"})

    def _warm_up(self, images: int) -> float | None:
        if self.warm_up is not None or self.schedule == "restart":
            return self.warm_up
        share = _WARM_UP * self.budgets[0 if self.schedule == "trunk" else -1]
        if self.unit == "seconds":
            return share
        return min(share, _WARM_UP_STEPS / self.steps(1.0, images))
