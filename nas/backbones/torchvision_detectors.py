"""torchvision's detectors as networks of one's own: see `nas.models.own_network`.

As they come, SSD, FCOS and RetinaNet resize and normalise the images themselves, give losses in
training mode alone, and boxes, suppressed, in evaluation mode. Here images come at the size and
with the normalisation of a run, so that their transform is left out; forward gives what their head
gives, as one tensor, and loss and boxes are made of that by their own methods, in any mode.
Modules, names and weights stay as they are: only the class of the object is another, made of its
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models.detection.fcos import FCOS
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import RetinaNet
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from nas.base.errors import SpecError

__all__ = ["adapted", "is_two_stage", "transform_normalisation"]

Outputs = dict[str, Tensor]
Objects = dict[str, Tensor]
Sizes = Sequence[tuple[int, int]]

_GRIDS = "_nas_grids"  # an attribute of somebody's network, whose own names stay free
_WIDTHS = {"bbox_regression": 4, "bbox_ctrness": 1}  # beside logits of classes


class _Adapted:
    """The part that all of them share. columns: of their head, in the order of the one tensor."""

    columns: tuple[str, ...] = ("bbox_regression", "cls_logits")
    background = False  # whether the first logit is always that of the background

    def forward(self: Any, images: Tensor) -> Tensor:
        """Map (N, 3, H, W) to (N, A, ...): of each default box what the head says of it."""
        maps = self.backbone(images)
        maps = [maps] if isinstance(maps, Tensor) else list(maps.values())
        given = self.head(maps)
        joined: Tensor = torch.cat([given[name] for name in self.columns], dim=2)
        return joined

    def most_classes(self: Any, images: Tensor) -> int:
        """Return how many classes it may tell apart, by the logits that it gives."""
        with torch.no_grad():
            columns = int(self(images).shape[2])
        beside = sum(_WIDTHS.get(name, 0) for name in self.columns)
        return int(columns - beside - self.background)

    def first_label(self, logits: int, classes: int) -> int:
        """Return the number that torchvision's own methods have for the first class.

        Raises SpecError where a detector of so many logits has other classes.
        """
        allowed = (classes + 1,) if self.background else (classes, classes + 1)
        if logits not in allowed:
            counts = "counts" if self.background else "may count"
            raise SpecError(
                f"{type(self).__name__} of torchvision has {logits} logits for each box, and the "
                f"images {classes} classes; allowed: {' or '.join(map(str, allowed))}: it {counts} "
                "the background as a class, such as with num_classes=num_classes + 1"
            )
        return logits - classes

    def loss(self: Any, batch: tuple[Tensor, Sequence[Objects]]) -> Tensor:
        """Return torchvision's loss: in training of the batch, (); else of each image, (B,)."""
        images, targets = batch
        given, anchors = self._taken_apart(self(images), images)
        first = self.first_label(given["cls_logits"].shape[2], self._nas_task.outputs)
        targets_from_one = [
            {"boxes": one["boxes"], "labels": one["labels"] + first} for one in targets
        ]
        if self.training:
            whole: Tensor = self._loss_of(given, targets_from_one, anchors, images)
            return whole
        ones = [
            self._loss_of(
                {name: value[row : row + 1] for name, value in given.items()},
                targets_from_one[row : row + 1],
                anchors[row : row + 1],
                images,
            )
            for row in range(len(images))
        ]
        return torch.stack(ones)

    def predict(self: Any, images: Tensor) -> list[Objects]:
        """Return the boxes of each image, kept by the detector's own limits."""
        given, anchors = self._taken_apart(self(images), images)
        first = self.first_label(given["cls_logits"].shape[2], self._nas_task.outputs)
        sizes = [tuple(images.shape[-2:])] * len(images)
        detections = []
        for one in self._kept(given, anchors, sizes, images):
            of_class = one["labels"] >= first
            rows = {name: one[name][of_class] for name in ("boxes", "scores", "labels")}
            detections.append(rows | {"labels": rows["labels"] - first})
        return detections

    def _taken_apart(self: Any, outputs: Tensor, images: Tensor) -> tuple[Outputs, list[Tensor]]:
        """Return what forward gave by the head's names, and the default boxes of each image."""
        logits = outputs.shape[2] - sum(_WIDTHS.get(name, 0) for name in self.columns)
        parts = torch.split(outputs, [_WIDTHS.get(name, logits) for name in self.columns], dim=2)
        anchors = self.default_boxes(images)
        return dict(zip(self.columns, parts, strict=True)), [anchors] * len(images)

    def default_boxes(self: Any, images: Tensor) -> Tensor:
        """Return the boxes that an image of this size is asked about: (A, 4)."""
        size = int(images.shape[-2]), int(images.shape[-1])
        maps = [images.new_empty(1, 1, *grid) for grid in self._grids(images)]
        made: list[Tensor] = self.anchor_generator(ImageList(images[:1], [size]), maps)
        return made[0]

    def _grids(self: Any, images: Tensor) -> list[tuple[int, int]]:
        """Return the sizes of the maps of such images: found once, without arithmetic."""
        held: dict[tuple[int, int], list[tuple[int, int]]] = self.__dict__.setdefault(_GRIDS, {})
        size = int(images.shape[-2]), int(images.shape[-1])
        if size not in held:
            own = dict((*self.backbone.named_parameters(), *self.backbone.named_buffers()))
            state = {name: tensor.to("meta") for name, tensor in own.items()}
            with torch.no_grad():
                # Two images: a batch norm in training wants more than one value.
                like = torch.empty(2, *images.shape[1:], device="meta")
                maps = functional_call(self.backbone, state, (like,))
            maps = [maps] if isinstance(maps, Tensor) else list(maps.values())
            held[size] = [(one.shape[-2], one.shape[-1]) for one in maps]
        return held[size]

    def _by_level(self: Any, boxes: int, images: Tensor) -> list[int]:
        """Return how many of so many default boxes each map has."""
        places = [high * wide for high, wide in self._grids(images)]
        return [number * (boxes // sum(places)) for number in places]

    def postprocessing_lines(self: Any, images: Tensor) -> list[str]:
        """Return code that makes boxes of what forward gave, by torchvision's detector itself.

        Labels are then as torchvision has them, with a background where there is one.
        """
        size = int(images.shape[-2]), int(images.shape[-1])
        logits = self.most_classes(images) + self.background
        first = self.first_label(logits, self._nas_task.outputs)
        parts, start = [], 0
        for name in self.columns:
            end = start + _WIDTHS.get(name, logits)
            parts.append(f'"{name}": rows[..., {start}:{end}]')
            start = end
        return [
            "rows = torch.from_numpy(given)",
            'anchors = torch.from_numpy(numpy.load("samples.npz")["anchors"])',
            f"parts = {{{', '.join(parts)}}}",
            *self._levels_lines(images),
            f"boxes = detector.postprocess_detections(parts, [anchors], [{size}])",
            *(["# its label 0 is the background, 1 the first of labels.txt"] if first else []),
        ]

    def _levels_lines(self: Any, images: Tensor) -> list[str]:
        numbers = self._by_level(len(self.default_boxes(images)), images)
        return [
            f"levels = {numbers}",
            "parts = {name: list(part.split(levels, dim=1)) for name, part in parts.items()}",
            "anchors = list(anchors.split(levels))",
        ]

    def _loss_of(
        self: Any, given: Outputs, told: list[Objects], anchors: list[Tensor], images: Tensor
    ) -> Tensor:
        return _sum(self.compute_loss(told, given, anchors))

    def _kept(
        self: Any, given: Outputs, anchors: list[Tensor], sizes: Sizes, images: Tensor
    ) -> list[Objects]:
        numbers = self._by_level(anchors[0].shape[0], images)
        levels = {name: list(torch.split(value, numbers, dim=1)) for name, value in given.items()}
        kept: list[Objects] = self.postprocess_detections(
            levels, [list(torch.split(one, numbers)) for one in anchors], sizes
        )
        return kept


class _AdaptedSSD(_Adapted):
    """SSD, arXiv:1512.02325, and SSDLite, arXiv:1801.04381."""

    background = True

    def _levels_lines(self: Any, images: Tensor) -> list[str]:
        return []

    def _loss_of(
        self: Any, given: Outputs, told: list[Objects], anchors: list[Tensor], images: Tensor
    ) -> Tensor:
        matched = [
            self.proposal_matcher(box_iou(one["boxes"], boxes))
            if len(one["boxes"])
            else torch.full((len(boxes),), -1, device=boxes.device)
            for one, boxes in zip(told, anchors, strict=True)
        ]
        return _sum(self.compute_loss(told, given, anchors, matched))

    def _kept(
        self: Any, given: Outputs, anchors: list[Tensor], sizes: Sizes, images: Tensor
    ) -> list[Objects]:
        kept: list[Objects] = self.postprocess_detections(given, anchors, sizes)
        return kept


class _AdaptedRetinaNet(_Adapted):
    """RetinaNet, arXiv:1708.02002."""


class _AdaptedFCOS(_Adapted):
    """FCOS, arXiv:1904.01355."""

    columns = ("bbox_regression", "bbox_ctrness", "cls_logits")

    def _loss_of(
        self: Any, given: Outputs, told: list[Objects], anchors: list[Tensor], images: Tensor
    ) -> Tensor:
        numbers = self._by_level(anchors[0].shape[0], images)
        return _sum(self.compute_loss(told, given, anchors, numbers))


_KINDS: Mapping[type[nn.Module], type[_Adapted]] = {
    SSD: _AdaptedSSD,
    FCOS: _AdaptedFCOS,
    RetinaNet: _AdaptedRetinaNet,
}


def adapted(network: nn.Module) -> nn.Module:
    """Give a detector of torchvision, in place, what is asked of a network of one's own.

    Any other network, and one with a loss and predictions of its own, stays as it is.
    """
    if isinstance(network, _Adapted) or all(hasattr(network, name) for name in ("loss", "predict")):
        return network
    for kind, way in _KINDS.items():
        if isinstance(network, kind):
            network.__class__ = _CLASSES.setdefault(type(network), _class_of(way, type(network)))
    return network


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {}
"""The adapters that were made, by the class of the detector: one for each."""


def _class_of(way: type[_Adapted], own: type[nn.Module]) -> type[nn.Module]:
    return cast("type[nn.Module]", type(own.__name__, (way, own), {"__module__": own.__module__}))


def is_two_stage(network: nn.Module) -> bool:
    """Say whether a network is a Faster R-CNN or the like, which has no one tensor to give."""
    return isinstance(network, GeneralizedRCNN)


def transform_normalisation(
    network: nn.Module,
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and deviation of pixels from 0 to 1 that a detector's transform has.

    None where it is no detector of torchvision's.
    """
    if not isinstance(network, tuple(_KINDS)):
        return None
    transform: Any = network.transform
    return tuple(map(float, transform.image_mean)), tuple(map(float, transform.image_std))


def _sum(losses: Mapping[str, Tensor]) -> Tensor:
    total: Tensor = sum(losses.values(), torch.zeros(()).to(next(iter(losses.values()))))
    return total
