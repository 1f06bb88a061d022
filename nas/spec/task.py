"""Tasks: what networks are for, what they are judged by, and what stands around their backbone.

Everything above the floors that train, export and show knows a task by this table alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from nas.base.errors import SpecError

__all__ = [
    "ACCURACY",
    "EMBEDDING",
    "OWN",
    "TASKS",
    "Figure",
    "Task",
    "TaskKind",
    "TaskName",
    "task_named",
]

TaskName = Literal["classification", "segmentation", "retrieval", "detection"]

OWN = "own"
"""The head of a network that is whole as its owner wrote it, with a neck and head of its own."""

EMBEDDING = 512
"""The length of the vectors that networks of retrieval give: arXiv:1903.07071 has 2048 of a
ResNet-50, which a mobile network's pooled features do not fill."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that networks are judged by: a share from 0 to 1, of which more is better.

    name: in files, filters and columns: `miou`.
    title: in sentences: `mIoU`.
    """

    name: str
    title: str

    def column(self, name: str) -> str:
        """Return what a column of accuracies is called here: `retrained_miou`."""
        return name.replace(ACCURACY.name, self.name)

    def known_as(self, name: str) -> str:
        """Return the name within of what is called so here: `retrained_accuracy`.

        Raises SpecError for accuracy where networks are judged by another figure.
        """
        if self != ACCURACY and ACCURACY.name in name:
            raise SpecError(f"{name!r}; networks are judged by {self.column(name)} here")
        # A whole word of it: `ap` is in `ap50` and `shape`, too.
        return re.sub(rf"(?<![^_]){self.name}(?![^_])", ACCURACY.name, name)

    def worded(self, text: str) -> str:
        """Return a sentence that is written of accuracy as it is said of this figure."""
        if self == ACCURACY:
            return text
        return text.replace(ACCURACY.title, self.title)


ACCURACY = Figure("accuracy", "accuracy")
"""The figure of classification. Within, the figure that stands for a task goes by this name, in
studies and columns alike; what is read and shown has the task's own."""


@dataclass(frozen=True, slots=True)
class TaskKind:
    """The facts of a task that are known before there are any images.

    figures: what networks are judged by beside the loss; the first stands wherever one does.
    heads: the networks that may stand around a backbone; the first where none is named.
    annotated: what has to be known of images (see `nas.data.Dataset`).
    counted: what losses and figures are means over.
    resize: what becomes of images of another shape, unless the runner says (see `Reading`).
    batch_size: of trainings, unless the runner says; None: as for classification.
    learning_rate: of trainings from random weights in such batches, likewise; from trained ones it
        is a fifth.
    least_steps: of a training from random weights in a search, unless the runner says how long it
        is: where the usual epochs of few images come to less, it has more of them.
    """

    figures: tuple[Figure, ...]
    heads: tuple[str, ...]
    annotated: Literal["labels", "masks", "identities", "boxes"]
    counted: str
    resize: Literal["crop", "stretch"]
    batch_size: int | None = None
    learning_rate: float | None = None
    least_steps: int = 0


TASKS: Mapping[TaskName, TaskKind] = {
    "classification": TaskKind(
        figures=(ACCURACY,),
        heads=("classifier",),
        annotated="labels",
        counted="images",
        resize="crop",
    ),
    "segmentation": TaskKind(
        figures=(Figure("miou", "mIoU"), Figure("pixel_accuracy", "pixel accuracy")),
        heads=("lraspp", "deeplabv3", "unet", "fpn", OWN),
        annotated="masks",
        counted="images",
        resize="stretch",
        # An image has many pixels to learn from: references take 16 (arXiv:1706.05587). In five
        # epochs of the embedded scenes this rate took a small network to a mIoU of .121, and a
        # quarter of it, which is what classification has for such a batch, to .098: one training
        # of each.
        batch_size=16,
        learning_rate=0.05,
    ),
    "retrieval": TaskKind(
        figures=(Figure("rank1", "rank-1"), Figure("map", "mAP"), Figure("rank5", "rank-5")),
        heads=("embedding", OWN),
        annotated="identities",
        counted="queries",
        resize="stretch",
        batch_size=32,
    ),
    "detection": TaskKind(
        figures=(
            Figure("ap", "AP"),
            Figure("ap50", "AP50"),
            Figure("ap75", "AP75"),
            Figure("ap_small", "AP of small objects"),
            Figure("ap_medium", "AP of medium objects"),
            Figure("ap_large", "AP of large objects"),
        ),
        heads=("ssdlite", "fcos", OWN),
        annotated="boxes",
        counted="images",
        resize="stretch",
        # Five epochs of digits on canvases of 32 pixels took a plain MobileNetV2 x0.35 with SSDLite
        # to an AP of .050 at this rate and of .032 at .05; with FCOS to .047 and .059, and at .1 to
        # .059: one training of each.
        batch_size=16,
        learning_rate=0.02,
        # In 21 trainings on blood cells the validation loss of one differed between seeds by .45
        # after 60 steps, .04 after 90, .03 after 120 to 180 and .025 after 210 to 300, where
        # networks differed by .02 at most; trainings of 60 steps differed by .28, and ordered eight
        # networks against full training (-.62, python -m benchmarks.tasks.lengths). The embedded
        # images come to 250 steps in their five epochs.
        least_steps=250,
    ),
}


def task_named(name: str) -> TaskKind:
    """Return what is known of a task. Raises SpecError where there is none of this name."""
    if name not in get_args(TaskName):
        raise SpecError(f"task {name!r}; allowed: {', '.join(TASKS)}")
    return TASKS[cast("TaskName", name)]


@dataclass(frozen=True, slots=True)
class Task:
    """A task on the images of a run, which its networks are for.

    outputs: length of what a network gives for an image, or for a pixel: as many scores as there
        are classes; of retrieval, the length of the embedding. Of detection, the classes of boxes.
    head: the network around the backbone; for classification its own classifier.
    """

    name: TaskName = "classification"
    outputs: int = 1000
    head: str = "classifier"

    def __post_init__(self) -> None:
        heads = task_named(self.name).heads
        if self.head not in heads:
            raise SpecError(f"head {self.head!r}; allowed for {self.name}: {', '.join(heads)}")

    @classmethod
    def of(cls, name: str, classes: int, head: str | None = None) -> Task:
        """Return the task on images of so many classes.

        head: None: the task's usual one.
        Raises SpecError for another task, or a head that it does not know.
        """
        kind = task_named(name)
        outputs = EMBEDDING if name == "retrieval" else classes
        return cls(cast("TaskName", name), outputs, head or kind.heads[0])

    @property
    def kind(self) -> TaskKind:
        """The facts of tasks of this name."""
        return TASKS[self.name]

    @property
    def figure(self) -> Figure:
        """The figure that stands for the task."""
        return self.kind.figures[0]

    @property
    def is_classification(self) -> bool:
        """True where images are told apart by their classes."""
        return self.name == "classification"

    @property
    def unusual_head(self) -> str | None:
        """The head, where it is not the one that the task has unless another is named."""
        return None if self.head == self.kind.heads[0] else self.head

    @property
    def is_whole(self) -> bool:
        """True where the network is the backbone as it comes."""
        return self.is_classification or self.head == OWN

    @property
    def key(self) -> str:
        """A text that tells networks of one architecture apart: `10`, `segmentation/unet/21`."""
        if self.is_classification:
            return str(self.outputs)
        return f"{self.name}/{self.head}/{self.outputs}"
