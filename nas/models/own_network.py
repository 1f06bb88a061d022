"""A user's own network with its own loss and predictions: what it must have, and how it is asked.

`OwnNetwork` is all that it must have. What it returns comes from code that is not ours, so it is
checked wherever it is used, and a fault is said in one line.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nas.backbones import check_scores
from nas.backbones.scores import ScoresOf, describe_output
from nas.backbones.torchvision_detectors import is_two_stage
from nas.base.errors import SpecError, TrainingError
from nas.models.task_network import plain_network_of, task_of
from nas.spec.architecture import Architecture
from nas.spec.task import OWN, Task, TaskName

__all__ = [
    "MOST_OBJECTS",
    "OwnNetwork",
    "answering",
    "batch_loss",
    "boxes_of_outputs",
    "check_outputs",
    "describe_loss_fault",
    "describe_objects_fault",
    "found_boxes",
    "has_loss",
    "image_losses",
    "image_losses_of_outputs",
    "missing_methods",
    "targets_for",
]

MOST_OBJECTS = 300
"""The objects that are taken of what is found in an image, those of the highest scores."""

_SCORES_OF: Mapping[TaskName, ScoresOf] = {
    "classification": "image",
    "retrieval": "image",
    "segmentation": "pixels",
    "detection": "whole",
}
_KEYS = ("boxes", "scores", "labels")
_OBJECTS = (
    "a list with a dict for each image: boxes (D, 4) as x1, y1, x2, y2 in pixels, scores (D,) from "
    "0 to 1, labels (D,) whole numbers from 0"
)


class OwnNetwork(Protocol):
    """A `torch.nn.Module` that is trained by its own loss, and judged by what it finds itself.

    A network need not inherit from this class; it only has methods of these names. `loss` may be
    given for any task. Classification, segmentation and retrieval ask for it alone, beside the
    scores or vectors that forward returns as usual; detection asks for `predict`, too. For
    torchvision's SSD, FCOS and RetinaNet both are known (`nas.backbones.torchvision_detectors`).

    images: (N, 3, H, W) float32, normalised, all of one size; they are not to be resized again.
    example_input: optional: images (1, 3, H, W), whose size `nas.sites` and `nas.insert` take
        where none is named.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return the one tensor (N, ...) that is deployed, without suppression.

        Costs, latency, sites and exported graphs are those of this method. In evaluation mode the
        tensor has one shape for images of one size, and no image's part depends on the others.
        """
        ...

    def loss(self, batch: tuple[Tensor, Any]) -> Tensor:
        """Return the mean loss of a batch, (), or the loss of each of its images, (N,).

        It is called in training mode with gradients, and in evaluation mode without; there nothing
        in the network may change. Networks are compared image by image: where it returns a mean,
        it is given the images one by one in evaluation mode.

        batch: images, and their targets. For detection a list with a dict for each image:
            boxes (M, 4) float32, x1, y1, x2, y2 in pixels, and labels (M,) int64 from 0, without a
            background; M may be 0; regions that do not count are left out. For classification
            (N,) int64 labels, or shares (N, classes) where a recipe mixes or smooths them; for
            segmentation (N, H, W) int64 classes, 255 where none counts; for retrieval (N,)
            identities.
        """
        ...

    def predict(self, images: Tensor) -> Sequence[Mapping[str, Tensor]]:
        """Return the objects of each image, suppressed, in any order, as they would be deployed.

        It calls forward once, for all the images, and makes the objects of what that returns: so
        the figures are those of what is exported.

        Returns a list with a dict for each image: boxes (D, 4), x1, y1, x2, y2 in pixels with
        x1 <= x2 and y1 <= y2; scores (D,) from 0 to 1; labels (D,) int64 from 0. D may be 0; of
        more than 300 objects those with the highest scores count.
        """
        ...


def has_loss(network: nn.Module) -> bool:
    """Say whether a network brings a loss: a method `loss` that takes a batch alone.

    Not a module of that name, nor a method that wants more, which others have for other ends.
    """
    return _takes_one(network, "loss")


def _takes_one(network: nn.Module, name: str) -> bool:
    method = getattr(type(network), name, None)
    if not callable(method):
        return False
    try:
        inspect.signature(getattr(network, name)).bind(None)
    except (TypeError, ValueError):
        return False
    return True


def missing_methods(network: nn.Module) -> str | None:
    """Say which of the methods that detection asks for a network has not; None: it has all."""
    missing = [name for name in ("loss", "predict") if not _takes_one(network, name)]
    if not missing:
        return None
    kind = type(network).__name__
    if is_two_stage(network):
        return (
            f"{kind} is of two stages: what it gives depends on regions that it suppresses within, "
            "so that there is no one tensor to deploy; take SSD, FCOS or RetinaNet of torchvision, "
            "or write loss(batch) and predict(images)"
        )
    has = [name for name in missing if hasattr(network, name)]
    wanted = {"loss": "loss(batch)", "predict": "predict(images)"}
    written = " and ".join(wanted[name] for name in missing)
    if has:
        taken = (
            inspect.signature(getattr(network, has[0]))
            if callable(getattr(network, has[0]))
            else "no arguments"
        )
        return f"its {has[0]} takes {taken}; allowed: {wanted[has[0]]} (see nas.OwnNetwork)"
    return (
        f"{kind} has no {written}, by which a detector of one's own is trained and judged; write "
        f"{'it' if len(missing) == 1 else 'them'} (see nas.OwnNetwork), or take SSD, FCOS or "
        "RetinaNet of torchvision, which are known"
    )


def check_outputs(plain: Architecture, task: Task) -> None:
    """Check that a network of one's own gives what its task is judged by. Raises SpecError."""
    if task.head != OWN:
        return
    if task.name == "detection":
        lacks = missing_methods(plain_network_of(plain, task))
        if lacks is not None:
            raise SpecError(f"backbone {plain.backbone!r}: {lacks}")
    check_scores(
        plain.backbone, plain.resolution, plain.total_stride, task.outputs, of=_SCORES_OF[task.name]
    )


def targets_for(targets: Tensor, task: Task) -> Any:
    """Return what is known of images as `OwnNetwork.loss` is told.

    targets: (N, ...), as `nas.data.Split` has them.
    """
    if task.name == "segmentation":
        return targets.long()
    if task.name != "detection":
        return targets
    return [_objects_for(rows) for rows in targets]


def _objects_for(rows: Tensor) -> dict[str, Tensor]:
    counts = (rows[:, 4] >= 0) & (rows[:, 5] == 0)
    return {"boxes": rows[counts, :4], "labels": rows[counts, 4].long()}


def batch_loss(network: nn.Module, images: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Return the mean loss of a batch by a network's own loss: ().

    Raises SpecError where it gives anything else.
    """
    return _asked(network, images, targets, task).mean()


def image_losses(network: nn.Module, images: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Return the loss of each image by a network's own loss, in evaluation mode: (N,).

    Where that gives the mean of a batch, each image is given by itself.
    Raises SpecError where it gives anything else.
    """
    first = _asked(network, images[:1], targets[:1], task)
    if len(images) == 1:
        return first.reshape(1)
    if first.ndim:
        return _asked(network, images, targets, task)
    others = [
        _asked(network, images[row : row + 1], targets[row : row + 1], task)
        for row in range(1, len(images))
    ]
    return torch.stack([first, *others])


def _asked(network: nn.Module, images: Tensor, targets: Tensor, task: Task) -> Tensor:
    given = _own(network).loss((images, targets_for(targets, task)))
    fault = describe_loss_fault(given, len(images))
    if fault is not None:
        raise SpecError(f"{type(network).__name__}.loss gives {fault}")
    assert isinstance(given, Tensor)
    return given


def describe_loss_fault(given: object, images: int) -> str | None:
    """Say what is wrong with what a loss gave; None where it is (), or (images,)."""
    if isinstance(given, Tensor) and given.is_floating_point() and given.shape in {(), (images,)}:
        return None
    wanted = "allowed: one float tensor, the mean (), or one loss for each image, (N,)"
    if isinstance(given, Mapping):
        return f"{describe_output(given)}; {wanted}: add them up"
    return f"{describe_output(given)} for {images} images; {wanted}"


def found_boxes(network: nn.Module, images: Tensor, task: Task) -> list[Tensor]:
    """Return what a network finds itself, (D, 6) of each image, the highest score first.

    x1, y1, x2, y2 in pixels; score; class.
    Raises SpecError where its `predict` gives anything else, TrainingError for what is not finite.
    """
    detections = _own(network).predict(images)
    fault = describe_objects_fault(detections, len(images), task.outputs)
    if fault is None:
        return [_rows(one) for one in detections]
    message = f"{type(network).__name__}.predict gives {fault}"
    if "not finite" in fault:
        raise TrainingError(f"training diverged: {message}")
    raise SpecError(message)


def _rows(detections: Mapping[str, Tensor]) -> Tensor:
    boxes, scores, labels = (detections[name] for name in _KEYS)
    order = scores.argsort(descending=True, stable=True)
    columns = [boxes.float(), scores.float()[:, None], labels.float()[:, None]]
    return torch.cat(columns, dim=1)[order[:MOST_OBJECTS]]


def describe_objects_fault(given: object, images: int, classes: int | None) -> str | None:
    """Say what is wrong with what `predict` gave; None where it is as `OwnNetwork` says.

    classes: None: not known.
    """
    if not isinstance(given, list | tuple) or not all(isinstance(one, Mapping) for one in given):
        inner = (
            f" of {type(given[0]).__name__}" if isinstance(given, list | tuple) and given else ""
        )
        return f"{describe_output(given)}{inner} for {images} images; allowed: {_OBJECTS}"
    if len(given) != images:
        return f"{len(given)} dicts for {images} images; allowed: {_OBJECTS}"
    for number, one in enumerate(given):
        fault = _describe_fault(one, classes)
        if fault is not None:
            return f"{fault} (image {number} of a batch of {images})"
    return None


def _describe_fault(detections: Mapping[str, object], classes: int | None) -> str | None:
    missing = [name for name in _KEYS if name not in detections]
    if missing:
        has = ", ".join(map(str, detections)) or "nothing"
        return f"a dict without {' and '.join(missing)} (it has {has}); allowed: {_OBJECTS}"
    boxes, scores, labels = (detections[name] for name in _KEYS)
    for name, value in zip(_KEYS, (boxes, scores, labels), strict=True):
        if not isinstance(value, Tensor):
            return f"{name} as a {type(value).__name__}; allowed: a tensor"
    assert isinstance(boxes, Tensor) and isinstance(scores, Tensor) and isinstance(labels, Tensor)
    count = len(boxes) if boxes.ndim else 0
    if boxes.shape != (count, 4) or scores.shape != (count,) or labels.shape != (count,):
        shapes = ", ".join(
            f"{name} {'x'.join(map(str, value.shape)) or 'without dimensions'}"
            for name, value in zip(_KEYS, (boxes, scores, labels), strict=True)
        )
        return f"{shapes}; allowed: boxes (D, 4), scores (D,) and labels (D,) of one length"
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        return f"labels as {str(labels.dtype).removeprefix('torch.')}; allowed: whole numbers"
    if not count:
        return None
    return _describe_values(boxes, scores, labels, classes)


def _describe_values(
    boxes: Tensor, scores: Tensor, labels: Tensor, classes: int | None
) -> str | None:
    for name, value in (("boxes", boxes), ("scores", scores)):
        if not value.isfinite().all():
            return f"{name} that are not finite (NaN or infinite)"
    least, most = int(labels.min()), int(labels.max())
    if least < 0 or (classes is not None and most >= classes):
        wrong = least if least < 0 else most
        upto = "" if classes is None else f" to {classes - 1}, of {classes} classes"
        return f"label {wrong}; allowed: from 0{upto}, without a background"
    if float(scores.min()) < 0 or float(scores.max()) > 1:
        wrong_score = scores[(scores < 0) | (scores > 1)][0]
        return f"score {float(wrong_score):.4g}; allowed: from 0 to 1, as sigmoid and softmax give"
    turned = (boxes[:, 2:] < boxes[:, :2]).any(dim=1)
    if turned.any():
        box = ", ".join(f"{value:.1f}" for value in boxes[turned][0].tolist())
        return f"box {box}; allowed: x1, y1, x2, y2 with x1 <= x2 and y1 <= y2"
    return None


def _own(network: nn.Module) -> Any:
    return network  # whose methods are known by name alone


# What forward gave already.


@contextmanager
def answering(network: nn.Module, outputs: Tensor) -> Iterator[list[int]]:
    """Let a network's forward give these outputs, whatever it is asked for.

    So loss and boxes are made of what a graph gave. Yields a list that has the number of images of
    each time that forward is asked.
    """
    asked: list[int] = []

    def forward(images: Tensor) -> Tensor:
        asked.append(len(images))
        return outputs

    before = network.__dict__.get("forward")
    network.__dict__["forward"] = forward
    try:
        yield asked
    finally:
        del network.__dict__["forward"]
        if before is not None:
            network.__dict__["forward"] = before


def boxes_of_outputs(network: nn.Module, outputs: Tensor, images: Tensor) -> list[Tensor]:
    """Return what a network makes of what a graph gave for images: see `found_boxes`."""
    boxes: list[Tensor] = []
    for row in range(len(outputs)):
        with answering(network, outputs[row : row + 1]):
            boxes += found_boxes(network, images[row : row + 1], task_of(network))
    return boxes


def image_losses_of_outputs(
    network: nn.Module, outputs: Tensor, images: Tensor, targets: Tensor
) -> Tensor | None:
    """Return the loss of each image by what a graph gave for it: (N,).

    None where the network's own loss is not made of what forward gives.
    """
    losses = []
    for row in range(len(outputs)):
        one = slice(row, row + 1)
        with answering(network, outputs[one]) as asked:
            losses.append(image_losses(network, images[one], targets[one], task_of(network)))
        if not asked:
            return None
    return torch.cat(losses)
