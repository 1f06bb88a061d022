"""What full training has found, one record for each network and seed, as the study keeps it.

Kept free of torch and Optuna: a front shows it.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FIGURES",
    "Curve",
    "FullTraining",
    "full_training_columns",
    "of_main_recipe",
    "pack_flags",
    "read_retrainings",
    "unpack_flags",
]

Curve = list[tuple[float, float, float, float]]
"""(epochs, validation loss, validation accuracy, seconds of training so far) on the way."""

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FullTraining:
    """One network, trained fully once; or why that failed.

    trial: the first of its network; seed: 0, 1, ...: equal seeds see equal batches. key: of the
    recipe on these images; description: the recipe in words. resolution: of the images.
    loss, accuracy: on the `images` validation images; best: highest on the way. test_loss,
    test_accuracy: on the `test_images` test images, which were looked at once, when the
    training had ended; None where the data brings none. test_correct: which of them it got
    right (see `unpack_flags`). diverged: the failure would come again with the same seed.
    weights: file beside the run's others, in `retrained/`. seconds: of training, by the clock on
    the wall, in `processes` processes of `threads` threads.
    """

    trial: int
    digest: str
    reference: str | None
    seed: int
    key: str
    recipe: dict[str, Any]
    description: str
    resolution: int
    loss: float | None = None
    accuracy: float | None = None
    images: int | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_images: int | None = None
    test_correct: str | None = None
    curve: Curve | None = None
    seconds: float = 0.0
    threads: int = 1
    processes: int = 1
    device: str = "cpu"
    weights: str | None = None
    failure: str | None = None
    diverged: bool = False
    finished: str | None = None

    @property
    def complete(self) -> bool:
        return self.failure is None

    @property
    def name(self) -> str:
        """Of this training among all of a run."""
        return f"{self.digest}:{self.seed}:{self.key}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FullTraining:
        """Read what `to_dict` made; keys of later versions are passed over."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


def read_retrainings(text: str | None) -> list[FullTraining]:
    """Those of one network, from the column `retrained` of a study's trials."""
    return [FullTraining.from_dict(item) for item in json.loads(text or "[]")]


def pack_flags(flags: Flags) -> str:
    """(N,) bool as a text, about a bit each."""
    return base64.b64encode(zlib.compress(np.packbits(flags).tobytes(), 9)).decode()


def unpack_flags(text: str, count: int) -> Flags:
    """The (count,) flags of `pack_flags`."""
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
    return np.unpackbits(bits, count=count).astype(bool)


def of_main_recipe(found: Sequence[FullTraining]) -> list[FullTraining]:
    """Of all retrainings of a run, the complete ones of the recipe that is shown: that of most
    networks; of several, that of most trainings; then the one that ended last.

    Figures of different recipes stand for different trainings, and are never shown together.
    """
    done = [item for item in found if item.complete]
    if not done:
        return []
    networks = Counter(key for _, key in {(item.digest, item.key) for item in done})
    trainings = Counter(item.key for item in done)
    last = {item.key: item.finished or "" for item in sorted(done, key=_finished)}
    key = max(networks, key=lambda key: (networks[key], trainings[key], last[key]))
    return sorted((item for item in done if item.key == key), key=lambda item: item.seed)


def _finished(item: FullTraining) -> str:
    return item.finished or ""


FIGURES = (
    "retrained_accuracy",
    "retrained_spread",
    "retrained_test_accuracy",
    "retrained_test_spread",
    "retrained_seeds",
)


def full_training_columns(texts: Iterable[str | None]) -> dict[str, NDArray[np.float64]]:
    """The `FIGURES` of networks, (g,) each, from their column `retrained`: means over seeds and
    standard deviations between them, of validation and of test images. NaN where there is
    none, and 0 seeds.
    """
    listed = list(texts)
    # A million networks, of which a few were retrained.
    every = {row: read_retrainings(text) for row, text in enumerate(listed) if text is not None}
    kept: dict[str, list[FullTraining]] = {}
    for item in of_main_recipe([item for items in every.values() for item in items]):
        kept.setdefault(item.digest, []).append(item)
    table = np.full((len(listed), len(FIGURES)), np.nan)
    table[:, -1] = 0
    for row, items in every.items():
        mine = kept.get(items[0].digest, [])
        accuracies = [item.accuracy for item in mine if item.accuracy is not None]
        tests = [item.test_accuracy for item in mine if item.test_accuracy is not None]
        table[row] = *_mean(accuracies), *_mean(tests), len(mine)
    return dict(zip(FIGURES, table.T, strict=True))


def _mean(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return math.nan, math.nan
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return float(np.mean(values)), spread
