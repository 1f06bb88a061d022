"""How winners are trained fully: the section `retrain` of a runner, and what it comes to."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from nas.spec.full_recipe import FullRecipe
from nas.spec.precision import FP32, Precision
from nas.spec.proxy import Backbone, BlockStart, Regime
from nas.spec.resolution import SearchedResolution

__all__ = ["WEIGHTS", "FullRecipe", "Retrain"]

WEIGHTS: dict[Regime, tuple[str, ...]] = {
    "scratch": ("random",),
    "finetune": ("backbone", "pretrained"),
}
"""The weights that full training may start from in each regime; the first are its default."""

_BATCH, _RATE = 256, 0.05
_LEAST_BATCH, _STEPS = 32, 50

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Strength = Annotated[float, Field(ge=0)]


_PAPER: dict[str, Any] = {
    "epochs": 200.0,
    "schedule": "cosine",
    "warm_up": 0.0,
    "label_smoothing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "rand_augment": 0,
    "ema": None,
}
_PRESETS = {
    # Coordinate attention's, arXiv:2103.02907: random crops and flips, and nothing else.
    "paper": _PAPER,
    # Shares as in torchvision's and timm's recipes for networks of this size.
    "modern": _PAPER
    | {
        "epochs": 300.0,
        "warm_up": 5.0,
        "label_smoothing": 0.1,
        "mixup": 0.2,
        "cutmix": 1.0,
        "rand_augment": 9,
        "ema": 0.9999,
    },
}


class Retrain(BaseModel):
    """The section `retrain`: full training of what a search has found.

    None means as the recipe has it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    recipe: Literal["paper", "modern"] = "paper"
    """`paper`: that of coordinate attention, for 200 epochs; `modern`: 300 with warm-up, label
    smoothing, mixup, CutMix, RandAugment, and a running mean of the weights."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 3
    epochs: Positive | None = None
    batch_size: Annotated[int, Field(ge=2)] | None = None
    """None: 256, and for a small set as many as make 50 steps an epoch, at least 32."""
    learning_rate: Positive | None = None
    """None: 0.05 for a batch of 256 (0.01 from pretrained weights and one's own), in proportion for
    others."""
    schedule: Literal["cosine", "step"] | None = None
    warm_up: Annotated[float, Field(ge=0)] | None = None
    """Epochs in which the rate rises."""
    momentum: Share = 0.9
    weight_decay: Strength = 4e-5
    label_smoothing: Share | None = None
    mixup: Strength | None = None
    cutmix: Strength | None = None
    rand_augment: Annotated[int, Field(ge=0, le=30)] | None = None
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay of the running mean of the weights; 0: none."""
    weights: Literal["random", "pretrained", "backbone"] | None = None
    """`random` in the regime `scratch`; in `finetune` `backbone`, the run's own trained plain
    network, or `pretrained`, timm's. None: the first of `WEIGHTS` for the regime."""
    resolution: SearchedResolution | None = None
    """None: that of the network, where it will be deployed."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """Threads of one training; None: the cores, shared among the trainings side by side."""
    processes: Annotated[int, Field(ge=1)] = 1
    """Processes that share each training, each with a GPU of its own where there are any; started
    by Ray Train on the cluster that `ray` names, or here. The batch stays what it is, and each has
    an equal part of it."""

    def resolved(
        self,
        images: int,
        regime: Regime = "scratch",
        start: BlockStart | None = None,
        *,
        backbone: Backbone | None = None,
        precision: Precision = FP32,
    ) -> FullRecipe:
        """Return the recipe for so many training images.

        regime: of the search.
        start: of the blocks, as its proxy has it from scratch.
        backbone: whose weights a training may go on from; the user's own have the rate of
            pretrained ones. None: trained by the search.
        precision: of the search, which its full trainings share.
        """
        weights = self.weights or WEIGHTS[regime][0]
        preset = _PRESETS[self.recipe]
        own = {name: getattr(self, name) for name in preset if getattr(self, name) is not None}
        chosen = preset | own
        batch = self.batch_size or _batch(images)
        backbone = backbone or Backbone()
        given = backbone.file is not None
        trained = weights == "pretrained" or (weights == "backbone" and given)
        rate = _RATE / 5 if trained else _RATE
        return FullRecipe(
            **chosen | {"ema": chosen["ema"] or None},
            batch_size=min(batch, images),
            learning_rate=self.learning_rate or rate * batch / _BATCH,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            weights=weights,
            # As papers start them goes without saying, and names what was trained before it could.
            start="identity" if weights == "random" and start == "identity" else None,
            rate_share=1.0 if weights == "random" else backbone.rate_share,
            freeze_norms=weights != "random" and backbone.freeze_norms,
            precision=precision,
        )


def _batch(images: int) -> int:
    """Return a power of two that makes about 50 steps of an epoch."""
    wanted = 1 << math.floor(math.log2(max(2, images / _STEPS)))
    return max(_LEAST_BATCH, min(_BATCH, wanted))
