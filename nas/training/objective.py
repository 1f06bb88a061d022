"""The loss that a network is trained by, and its judge: those of its task, or its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from nas.base.errors import TrainingError
from nas.data import Split
from nas.models.own_network import batch_loss, found_boxes, has_loss, image_losses
from nas.spec.precision import FP32, Precision
from nas.spec.task import OWN, Task
from nas.study.detection_marks import detection_marks, stack_marks
from nas.study.marks import IGNORED, figures_of
from nas.training.precision import autocast
from nas.training.suppression import suppressed
from nas.training.tasks import Score, Scorer, TrainingTask, training_task

__all__ = ["Judge", "Objective", "boxes_in", "guessing_loss", "judge_of"]

_AT_ONCE = 1 << 23
"""The pixels that a detector of somebody's own is given at once where it is judged: 32 images of
512 by 512. What it makes of them is not known."""


class Objective(nn.Module):
    """The mean loss of a batch: what a step of training descends, and processes share.

    network: by its own loss where it brings one, else by that of the task.
    precision: of the network; a loss of its own is computed in it, too, as its owner wrote it.
    """

    def __init__(self, network: nn.Module, task: Task, precision: Precision = FP32) -> None:
        super().__init__()
        self.network = network
        self._precision = precision
        self._task, self._by_task = task, training_task(task)
        self._own = has_loss(network)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return () from (B, 3, H, W) and (B, ...)."""
        with autocast(self._precision, images.device):
            if self._own:
                return batch_loss(self.network, images, targets, self._task).float()
            outputs: Tensor = self.network(images)
        return self._by_task.loss(outputs.float(), targets)


def guessing_loss(network: nn.Module, task: Task, split: Split) -> float:
    """Return the loss of whoever knows how often each answer is right; infinite where a network
    brings a loss, of which nothing is known.
    """
    return math.inf if has_loss(network) else training_task(task).guessing_loss(split)


def boxes_in(
    network: nn.Module, images: Tensor, task: Task, precision: Precision = FP32
) -> list[Tensor]:
    """Return what a detector finds in images, (D, 6) of each, the highest score first.

    x1, y1, x2, y2 in pixels; score; class.
    """
    with autocast(precision, images.device):
        if task.head == OWN:
            return [boxes.float() for boxes in found_boxes(network, images, task)]
        outputs: Tensor = network(images)
    return suppressed(outputs.float(), task.head, (images.shape[2], images.shape[3]))


class Judge(Protocol):
    """A judge of a network by the images of a split, batch after batch in order.

    at_once: how many images it takes in a batch.
    """

    at_once: int

    def add(self, images: Tensor) -> None:
        """Judge the next images, (B, 3, H, W). Raises TrainingError where they give no numbers."""
        ...

    def score(self) -> Score:
        """Return the score of all images."""
        ...


def judge_of(network: nn.Module, task: Task, split: Split, precision: Precision = FP32) -> Judge:
    """Return what judges a network for a task, in evaluation mode.

    precision: that the network was trained in.
    Raises SpecError where the split cannot be judged by.
    """
    own = has_loss(network)
    if task.name == "detection" and task.head == OWN:
        return _ByObjects(network, task, split, precision)
    by_task = training_task(task)
    judge = _ByOutputs(network, by_task, by_task.scorer(split), split, precision)
    # Of retrieval, losses are of queries in a gallery, and no image has one by itself.
    if own and task.name != "retrieval":
        return _WithOwnLoss(judge, _OwnLosses(network, task, split, precision))
    return judge


class _ByOutputs:
    """A judge by what a network gives, as its task has it."""

    def __init__(
        self,
        network: nn.Module,
        task: TrainingTask,
        scorer: Scorer,
        split: Split,
        precision: Precision,
    ) -> None:
        self.at_once = task.judged_at_once(split)
        self._network, self._scorer, self._precision = network, scorer, precision
        self._finite: list[Tensor] = []

    def add(self, images: Tensor) -> None:
        with autocast(self._precision, images.device):
            outputs: Tensor = self._network(images)
        outputs = outputs.float()
        self._finite.append(outputs.isfinite().all())
        if outputs.device.type == "cpu":  # a GPU would have to be waited for
            self._check()
        self._scorer.add(outputs)

    def _check(self) -> None:
        if self._finite and not torch.stack(self._finite).all():
            raise TrainingError("training diverged: some scores on validation are not finite")
        self._finite.clear()

    def score(self) -> Score:
        self._check()
        return self._scorer.score()


class _OwnLosses:
    """The losses of images by a network's own loss, in order."""

    def __init__(self, network: nn.Module, task: Task, split: Split, precision: Precision) -> None:
        self._network, self._task, self._split = network, task, split
        self._precision = precision
        self._losses: list[Tensor] = []
        self._judged = 0

    def add(self, images: Tensor) -> None:
        rows = torch.arange(self._judged, self._judged + len(images))
        self._judged += len(images)
        targets = training_task(self._task).targets(self._split, rows).to(images.device)
        with autocast(self._precision, images.device):
            losses = image_losses(self._network, images, targets, self._task).float()
        if (
            self._task.name == "segmentation"
        ):  # nothing of an image may count: a mean of none is NaN
            losses = losses.where((targets != IGNORED).flatten(1).any(dim=1), 0.0)
        if not losses.isfinite().all():
            raise TrainingError(
                "training diverged: the network's own loss is not finite on some images of "
                "validation"
            )
        self._losses.append(losses.cpu().double())

    def all(self) -> Tensor:
        return torch.cat(self._losses)


class _WithOwnLoss:
    """A judge by what a network gives, whose losses are the network's own."""

    def __init__(self, judge: Judge, losses: _OwnLosses) -> None:
        self.at_once = judge.at_once
        self._judge, self._losses = judge, losses

    def add(self, images: Tensor) -> None:
        self._losses.add(images)
        self._judge.add(images)

    def score(self) -> Score:
        return replace(self._judge.score(), losses=self._losses.all())


class _ByObjects:
    """A judge by a network's own loss, and by average precision of what it finds itself."""

    def __init__(self, network: nn.Module, task: Task, split: Split, precision: Precision) -> None:
        assert split.annotations is not None
        pixels = split.images.shape[1] * split.images.shape[2]
        self.at_once = max(1, min(32, _AT_ONCE // pixels))
        self._network, self._task, self._objects = network, task, split.annotations
        self._precision = precision
        self._losses = _OwnLosses(network, task, split, precision)
        self._found: list[Tensor] = []

    def add(self, images: Tensor) -> None:
        self._losses.add(images)
        boxes = boxes_in(self._network, images, self._task, self._precision)
        self._found += [one.cpu() for one in boxes]

    def score(self) -> Score:
        marks = stack_marks(
            [
                detection_marks(boxes.numpy(), objects.numpy())
                for boxes, objects in zip(self._found, self._objects, strict=True)
            ]
        )
        figures: Mapping[str, float] = figures_of("detection", marks)
        return Score(self._losses.all(), marks, figures)
