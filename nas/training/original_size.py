"""Figures of masks and boxes on images as they are, whatever size a network sees them in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.base.size import Resolution, Size
from nas.data import (
    Dataset,
    Reading,
    boxes_back,
    map_back,
    open_test,
    original_boxes,
    original_masks,
)
from nas.spec.precision import FP32, Precision
from nas.spec.task import Task
from nas.study.detection_marks import detection_marks, stack_marks
from nas.study.marks import Marks, figures_of, pixel_marks
from nas.training.batches import Batches
from nas.training.layout import lay_out, memory_format
from nas.training.loop import evaluate
from nas.training.objective import boxes_in, judge_of
from nas.training.precision import autocast
from nas.training.tasks import Score, training_task

__all__ = ["box_marks_at_original_size", "judge_on_test_images", "marks_at_original_size"]

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float64]


def judge_on_test_images(
    network: nn.Module,
    data: Dataset,
    task: Task,
    source: str,
    resolution: Resolution,
    reading: Reading,
    *,
    device: torch.device,
    precision: Precision = FP32,
) -> Score:
    """Take the one look at the test images; masks and boxes are judged at the sizes they have.

    data: the images that the network was trained on, whose normalisation counts.
    source, reading: the test images, and how they are read.
    resolution: of the images that the network sees.
    precision: that the network was trained in.
    Raises SpecError when the source brings none.
    """
    data = replace(data, validation=open_test(source, resolution, reading=reading))
    score = evaluate(network, data, task, device=device, precision=precision)
    if task.kind.annotated == "masks":
        masks = original_masks(source, "test", reading=reading)
        back = partial(map_back, resize=reading.resize)
        marks = marks_at_original_size(
            network, data, task, masks, back, device=device, precision=precision
        )
    elif task.kind.annotated == "boxes":
        boxes = original_boxes(source, "test", reading=reading)
        of_boxes = partial(boxes_back, size=Size.of(resolution), resize=reading.resize)
        marks = box_marks_at_original_size(
            network, data, task, boxes, of_boxes, device=device, precision=precision
        )
    else:
        return score
    return Score(score.losses, marks, figures_of(task.name, marks))


def marks_at_original_size(
    network: nn.Module,
    data: Dataset,
    task: Task,
    masks: Iterable[Pixels],
    map_back: Callable[[Pixels, tuple[int, int]], Pixels],
    *,
    device: torch.device,
    precision: Precision = FP32,
) -> Marks:
    """Return the marks of data.validation against its masks at their own sizes: (N, classes, 3).

    masks: of the images, in their order, each (height, width) and as large as its image is.
    map_back: says what a prediction (H, W) at the network's size is at an image's, 255 where it
        does not tell; `nas.data.map_back` with how the images were resized.
    """
    lay_out(network.eval().to(device), memory_format(network, device))
    batches, split = Batches(data, device), data.validation
    size, remaining = training_task(task).judged_at_once(split), iter(masks)
    marks: list[Marks] = []
    with torch.inference_mode():
        for start in range(0, len(split), size):
            with autocast(precision, device):
                scores = network(batches.plain(split, slice(start, start + size)))
            predicted = scores.argmax(dim=1).to(torch.uint8).cpu().numpy()
            for prediction, mask in zip(predicted, remaining, strict=False):
                back = map_back(prediction, (mask.shape[0], mask.shape[1]))
                marks.append(pixel_marks(back, mask, task.outputs))
    return np.stack(marks)


def box_marks_at_original_size(
    network: nn.Module,
    data: Dataset,
    task: Task,
    boxes: Iterable[tuple[Size, Boxes]],
    boxes_back: Callable[[Boxes, Size], Boxes],
    *,
    device: torch.device,
    precision: Precision = FP32,
) -> Marks:
    """Return the marks of data.validation against its boxes at their images' sizes: (N, K, 10).

    boxes: of the images, in their order; see `nas.data.OriginalBoxes`.
    boxes_back: says where boxes of the network's size lie on an image of its own;
        `nas.data.boxes_back` with how the images were resized.
    """
    lay_out(network.eval().to(device), memory_format(network, device))
    batches, split = Batches(data, device), data.validation
    size, remaining = judge_of(network, task, split).at_once, iter(boxes)
    marks: list[Marks] = []
    with torch.no_grad():  # see `evaluate`
        for start in range(0, len(split), size):
            images = batches.plain(split, slice(start, start + size))
            kept = boxes_in(network, images, task, precision)
            for kept_boxes, (original, objects) in zip(kept, remaining, strict=False):
                back = boxes_back(kept_boxes.cpu().double().numpy(), original)
                marks.append(detection_marks(back, objects))
    return stack_marks(marks)
