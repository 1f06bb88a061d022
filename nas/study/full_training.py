"""Full trainings: one value for each network, seed and recipe, as a study keeps them.

Columns, JSON and the command line call a fully trained network retrained. This module knows
nothing of torch and Optuna: a front shows full trainings.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.size import Resolution
from nas.spec.task import TaskName
from nas.study.detection_marks import precision_by_group
from nas.study.marks import Marks

__all__ = [
    "FIGURES",
    "Curve",
    "FullTraining",
    "average_full_trainings",
    "condense_marks",
    "full_trainings_to_json",
    "losses_by_image",
    "marks_by_training",
    "pack_flags",
    "pack_losses",
    "pack_marks",
    "read_full_trainings",
    "select_main_recipe",
    "unpack_flags",
    "unpack_losses",
    "unpack_marks",
]

Curve = list[tuple[float, float, float, float]]
"""Rows of (epochs, validation loss, validation accuracy, seconds of training so far)."""

Flags = NDArray[np.bool_]
_MOST_LOSSES = 10_000
# Of other tasks marks take more than a bit, and all of a training is one text.
_MOST_MARKED = 4000
_MOST_GROUPS, _FEWEST_GROUPS = 200, 20
_LATER = (
    "losses", "test_losses", "images_seen", "epoch_losses", "task", "figures", "marks",
    "test_figures", "test_marks",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FullTraining:
    """One network, trained fully once with one seed, or the reason why that failed.

    trial: the first of its network.
    seed: 0, 1, ...; equal seeds see equal batches.
    key: of the recipe on these images.
    recipe: its values.
    description: the recipe in words.
    resolution: of the images: 224, or "224x160" (height first).
    loss, accuracy: on the validation images; of another task than classification, accuracy is the
        figure that stands for the task.
    images: number of validation images, or of queries.
    losses, test_losses: of each validation and each test image, see `unpack_losses`: networks are
        compared on the same images. None in trainings of earlier versions.
    test_loss, test_accuracy: on the test images, which were looked at once, when the training had
        ended; None where the data brings none.
    test_images: number of test images.
    test_correct: which of them it got right, see `unpack_flags`; of classification alone.
    task: what the network is for; None: classification.
    figures, test_figures: all figures of the task by name, the one that stands for it first, which
        is `accuracy` above; None of classification, which has no other.
    marks, test_marks: what the figures are made of, see `unpack_marks`; None of classification.
    curve: scores on the way.
    images_seen: training images that it had seen, one that came again counted again.
    epoch_losses: mean training loss of each whole epoch, from the first.
    seconds: of training, by the clock on the wall.
    threads, processes: that it was trained in; threads of each process.
    weights: file beside the run's others, in `retrained/`.
    failure: the reason why it failed, or None.
    diverged: the failure would come again with the same seed.
    finished: when it ended, in ISO 8601.
    """

    trial: int
    digest: str
    reference: str | None
    seed: int
    key: str
    recipe: dict[str, Any]
    description: str
    resolution: Resolution
    loss: float | None = None
    accuracy: float | None = None
    images: int | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    test_images: int | None = None
    test_correct: str | None = None
    losses: str | None = None
    test_losses: str | None = None
    curve: Curve | None = None
    images_seen: int | None = None
    epoch_losses: list[float] | None = None
    seconds: float = 0.0
    threads: int = 1
    processes: int = 1
    device: str = "cpu"
    weights: str | None = None
    failure: str | None = None
    diverged: bool = False
    finished: str | None = None
    task: TaskName | None = None
    figures: dict[str, float] | None = None
    test_figures: dict[str, float] | None = None
    marks: str | None = None
    test_marks: str | None = None

    @property
    def complete(self) -> bool:
        """True where the training came to its end."""
        return self.failure is None

    @property
    def task_name(self) -> TaskName:
        """The name of the task that the network is for."""
        return self.task or "classification"

    @property
    def name(self) -> str:
        """The name of this training among all of a run."""
        return f"{self.digest}:{self.seed}:{self.key}"

    def kept_losses(self, *, tested: bool = False) -> NDArray[np.float64] | None:
        """Return the losses of validation or test images that were kept, (N,); None without."""
        text = self.test_losses if tested else self.losses
        return None if text is None else unpack_losses(text)

    def kept_marks(self, *, tested: bool = False) -> Marks | None:
        """Return the marks of validation or test images that were kept, see `nas.study.marks`.

        None without; of validation images, classification keeps none.
        """
        if self.task is None:
            if not tested or not self.test_correct:
                return None
            return unpack_flags(self.test_correct, self.test_images or 0)
        text = self.test_marks if tested else self.marks
        return None if text is None else unpack_marks(self.task, text)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; what is new since earlier versions only where known."""
        values = asdict(self)
        for name in _LATER:
            if values[name] is None:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FullTraining:
        """Read what `to_dict` returned; keys of later versions are ignored."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in known})


def read_full_trainings(text: str | None) -> tuple[FullTraining, ...]:
    """Return the full trainings of one network from its column `retrained`."""
    return tuple(FullTraining.from_dict(values) for values in json.loads(text or "[]"))


def full_trainings_to_json(trainings: Sequence[FullTraining]) -> str | None:
    """Return the text of the column `retrained`, or None for no training."""
    return json.dumps([training.to_dict() for training in trainings]) if trainings else None


def pack_flags(flags: Flags) -> str:
    """Return (N,) flags as a text of about a bit each."""
    return _text(np.packbits(flags))


def unpack_flags(text: str, count: int) -> Flags:
    """Return the (count,) flags of a text of `pack_flags`."""
    return np.unpackbits(_bytes(text), count=count).astype(bool)


def pack_losses(losses: NDArray[Any], *, marked: bool = False) -> str:
    """Return (N,) losses as a text of about two bytes each, to three digits.

    Of more than 10,000 images only some are kept, evenly spaced and the same for all networks: a
    study in MySQL holds no text of more than 64 kB.

    marked: beside marks of `pack_marks`, then of more than 4,000.
    """
    kept = losses[:: _stride(len(losses), _MOST_MARKED if marked else _MOST_LOSSES)].astype(
        np.float64
    )
    half = np.minimum(kept, np.finfo(np.float16).max).astype("<f2")
    # The high bytes are much alike, and beside each other they are compressed.
    return _text(half.view(np.uint8).reshape(-1, 2).T)


def unpack_losses(text: str) -> NDArray[np.float64]:
    """Return the losses of a text of `pack_losses`, (N,) or those that it has kept."""
    planes = _bytes(text).reshape(2, -1)
    return np.ascontiguousarray(planes.T).view("<f2")[:, 0].astype(np.float64)


def pack_marks(task: TaskName, marks: Marks) -> str:
    """Return the marks of another task than classification, or a part of them, as a text.

    Small enough that the study of a MySQL database, whose texts end at 64 kB, holds those of
    validation and test beside the losses of both. The same are kept of all networks.
    Segmentation: sums over groups of images, evenly mixed: 200, or fewer of many classes (20 at
    least), so that a bootstrap over groups stands for one over images.
    Retrieval: of more than 4,000 queries some, evenly spaced, their average precision to three
    digits.
    Detection: what groups of images say of AP, of which there are 200 at most, to three digits.
    """
    return _PACKED[task](marks)


def unpack_marks(task: TaskName, text: str) -> Marks:
    """Return the marks of a text of `pack_marks`: one row for each group, or query, that it kept.

    They say how networks differ; their figures are near those of all marks, and not the same.
    """
    return _UNPACKED[task](text)


def condense_marks(task: TaskName, marks: Marks) -> Marks:
    """Return what a study keeps of marks, which says as well how networks differ, and faster."""
    return unpack_marks(task, pack_marks(task, marks)) if task in _PACKED else marks


def _pack_counts(marks: Marks) -> str:
    images, classes, _ = marks.shape
    groups = min(images, _MOST_GROUPS, max(_FEWEST_GROUPS, _MOST_MARKED // (3 * classes)))
    sums = np.stack([marks[group::groups].sum(axis=0) for group in range(groups)])
    # What was told wrongly is less than what was told.
    sums[..., 1:] -= sums[..., :1]
    planes = sums.astype("<i8").view(np.uint8).reshape(-1, 8).T
    return f"{classes}:{_text(planes)}"


def _unpack_counts(text: str) -> Marks:
    classes, _, packed = text.partition(":")
    planes = _bytes(packed).reshape(8, -1)
    sums = np.ascontiguousarray(planes.T).view("<i8").reshape(-1, int(classes), 3).copy()
    sums[..., 1:] += sums[..., :1]
    return sums


def _pack_queries(marks: Marks) -> str:
    kept = marks[:: _stride(len(marks), _MOST_MARKED)]
    places = [pack_flags(kept[:, column] > 0.5) for column in (1, 2)]
    return ":".join([str(len(kept)), pack_losses(kept[:, 0], marked=True), *places])


def _unpack_queries(text: str) -> Marks:
    count, precision, *places = text.split(":")
    columns = [unpack_losses(precision)] + [unpack_flags(place, int(count)) for place in places]
    return np.stack([column.astype(np.float64) for column in columns], axis=1)


def _pack_precisions(marks: Marks) -> str:
    return pack_losses(precision_by_group(marks, _MOST_GROUPS))


_PACKED: Mapping[TaskName, Callable[[Marks], str]] = {
    "segmentation": _pack_counts,
    "retrieval": _pack_queries,
    "detection": _pack_precisions,
}
_UNPACKED: Mapping[TaskName, Callable[[str], Marks]] = {
    "segmentation": _unpack_counts,
    "retrieval": _unpack_queries,
    "detection": unpack_losses,
}


def _text(values: NDArray[np.uint8]) -> str:
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode()


def _bytes(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)


def _stride(images: int, most: int) -> int:
    return max(1, math.ceil(images / most))


def select_main_recipe(trainings: Sequence[FullTraining]) -> list[FullTraining]:
    """Return the complete trainings of the recipe that is shown, by seed.

    It is the recipe of most networks; of several, that of most trainings; then the one that ended
    last, and that of the last key where no training says when. Figures of different recipes stand
    for different trainings, and are never shown together.

    trainings: all of a run.
    """
    complete = [training for training in trainings if training.complete]
    if not complete:
        return []
    networks = Counter(key for _, key in {(item.digest, item.key) for item in complete})
    seeds = Counter(item.key for item in complete)
    last = {item.key: item.finished or "" for item in sorted(complete, key=_finished)}
    # By its name at last: sets of texts have another order in each process.
    shown = max(networks, key=lambda key: (networks[key], seeds[key], last[key], key))
    return sorted((item for item in complete if item.key == shown), key=lambda item: item.seed)


def _finished(training: FullTraining) -> str:
    return training.finished or ""


def losses_by_image(
    trainings: Sequence[FullTraining], *, tested: bool = False
) -> NDArray[np.float64] | None:
    """Return the losses of validation or test images, (N,), means over trainings of one network.

    Those that have kept none, as of earlier versions, do not count. None where none has, or they
    have kept those of different images.
    """
    kept = [item.kept_losses(tested=tested) for item in trainings]
    known = [losses for losses in kept if losses is not None]
    if len({len(losses) for losses in known}) != 1:
        return None
    return np.asarray(np.mean(known, axis=0))


def marks_by_training(
    trainings: Sequence[FullTraining], *, tested: bool = False
) -> tuple[Marks, ...]:
    """Return the marks of validation or test images that each training of a network has kept.

    Those that have kept none do not count. Empty where none has, or they have kept those of
    different images.
    """
    kept = [item.kept_marks(tested=tested) for item in trainings]
    known = tuple(marks for marks in kept if marks is not None)
    return known if len({len(marks) for marks in known}) == 1 else ()


FIGURES = (
    "retrained_accuracy",
    "retrained_spread",
    "retrained_test_accuracy",
    "retrained_test_spread",
    "retrained_seeds",
)
"""The columns of `average_full_trainings`."""


def average_full_trainings(texts: Iterable[str | None]) -> dict[str, NDArray[np.float64]]:
    """Return the `FIGURES` of n networks, (n,) each.

    They are means over seeds and standard deviations between seeds, on validation and on test
    images. NaN where there is none, and 0 seeds.

    texts: the column `retrained` of the networks.
    """
    listed = list(texts)
    # Of a million networks a few were trained fully.
    by_row = {row: read_full_trainings(text) for row, text in enumerate(listed) if text is not None}
    by_digest: dict[str, list[FullTraining]] = {}
    for training in select_main_recipe([item for items in by_row.values() for item in items]):
        by_digest.setdefault(training.digest, []).append(training)
    table = np.full((len(listed), len(FIGURES)), np.nan)
    table[:, -1] = 0
    for row, items in by_row.items():
        shown = by_digest.get(items[0].digest, [])
        accuracies = [item.accuracy for item in shown if item.accuracy is not None]
        tests = [item.test_accuracy for item in shown if item.test_accuracy is not None]
        table[row] = *_mean_and_spread(accuracies), *_mean_and_spread(tests), len(shown)
    return dict(zip(FIGURES, table.T, strict=True))


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return math.nan, math.nan
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    return float(np.mean(values)), spread
