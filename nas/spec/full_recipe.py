"""The recipe of a full training: all that decides what it comes to, and what it is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from nas.base.errors import SpecError
from nas.spec.precision import FP32, Precision
from nas.spec.task import Task

__all__ = ["FullRecipe"]

_OF_LABELS = ("label_smoothing", "mixup", "cutmix", "rand_augment")

_LATER: Mapping[str, object] = {
    "start": None,
    "rate_share": 1.0,
    "freeze_norms": False,
    "precision": FP32,
}
"""Fields that recipes of earlier versions do not have, as these went."""


@dataclass(frozen=True, slots=True)
class FullRecipe:
    """Everything that decides what a full training comes to, but its seed and the images.

    schedule: how the rate falls: as a `cosine` to zero, or by `step` to a tenth after half and
        again after three quarters.
    warm_up: epochs in which the rate rises before.
    label_smoothing: share of the target given to all classes.
    mixup, cutmix: the parameter of their beta distribution; 0 is off.
    rand_augment: magnitude, of 30, of two operations on each image; 0 is off.
    ema: decay of the running mean of the weights, which is then what is judged; None is off.
    weights: `random`, `pretrained` (timm's), or `backbone` (those of the trained plain network
        that the search stood on).
    start: of the inserted blocks, `identity` or `paper`; None: as their papers start them from
        random weights, and beside trained ones as identities, which change nothing.
    rate_share, freeze_norms: of trained weights, as of `Backbone`.
    precision: of the arithmetic, in training and where the network is judged.
    """

    epochs: float
    batch_size: int
    learning_rate: float
    schedule: str
    warm_up: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    mixup: float
    cutmix: float
    rand_augment: int
    ema: float | None
    weights: str
    start: str | None = None
    rate_share: float = 1.0
    freeze_norms: bool = False
    precision: Precision = FP32

    def check(self, task: Task) -> None:
        """Check that the recipe is one of a task.

        Raises SpecError where it mixes images or labels of a task that has no label of each image.
        """
        if task.is_classification:
            return
        asked = [name for name in _OF_LABELS if getattr(self, name)]
        if asked:
            raise SpecError(
                f"{', '.join(asked)} of a recipe {'is' if len(asked) == 1 else 'are'} for "
                f"classification alone; for {task.name} set to 0, or take recipe: paper"
            )

    @property
    def block_start(self) -> str:
        """How inserted blocks start: beside trained weights they begin by changing nothing."""
        return self.start or ("paper" if self.weights == "random" else "identity")

    def key(self, images: str) -> str:
        """Return a name for the recipe on these images: what has one key was trained equally."""
        values = asdict(self)
        for name, usual in _LATER.items():  # as all recipes were that earlier versions have named
            if values[name] == usual:
                del values[name]
        text = json.dumps([values, images], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def __str__(self) -> str:
        parts = [
            f"{self.epochs:g} epoch{'' if self.epochs == 1 else 's'} from {self.weights} weights",
            f"batch {self.batch_size}",
            f"rate {self.learning_rate:g} ({self.schedule})",
        ]
        extras = {
            "warm-up": self.warm_up,
            "label smoothing": self.label_smoothing,
            "mixup": self.mixup,
            "cutmix": self.cutmix,
            "RandAugment": self.rand_augment,
            "EMA": self.ema,
            "of it the backbone": self.rate_share if self.rate_share < 1 else 0,
        }
        parts += [f"{name} {value:g}" for name, value in extras.items() if value]
        if self.start is not None:
            parts.append(f"{self.start} start")
        if self.freeze_norms:
            parts.append("batch norms kept")
        if self.precision != FP32:
            parts.append(self.precision)
        return ", ".join(parts)
