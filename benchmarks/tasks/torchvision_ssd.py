"""torchvision's SSD around a network of ours, with the images, crops and loop of its own reference.

The reference is references/detection/train.py of torchvision: a DataLoader of single images, which
`RandomIoUCrop` cuts and a flip turns with their boxes, and a detector that takes lists of images,
brings them to its size, and says its losses.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler
from torch.utils.data import Dataset as Images
from torchvision.models.detection.ssd import SSD
from torchvision.transforms import v2
from torchvision.tv_tensors import BoundingBoxes, BoundingBoxFormat, Image

from nas.backbones import read_maps
from nas.data import Dataset, Split
from nas.models.heads import SSDLite
from nas.models.heads.default_boxes import laid, priors
from nas.models.task_network import TaskNetwork

__all__ = ["Target", "batches", "loss_of", "targets_of", "torchvision_ssd"]

Target = dict[str, Tensor]
"""`boxes` (M, 4), `labels` (M,) from 1 on."""


class _Maps(nn.Module):
    """The maps that SSD reads of images, under names."""

    def __init__(self, network: TaskNetwork) -> None:
        super().__init__()
        assert isinstance(network.head, SSDLite)
        self.backbone, self.extra, self.reads = network.backbone, network.head.extra, network.reads

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = list(read_maps(self.backbone, images, self.reads))
        for layer in self.extra:
            maps.append(layer(maps[-1]))
        return OrderedDict((str(place), one) for place, one in enumerate(maps))


class _Priors(nn.Module):
    """Our default boxes, once for each image."""

    def forward(self, images: object, maps: list[Tensor]) -> list[Tensor]:
        size: tuple[int, int] = images.tensors.shape[-2:]  # type: ignore[attr-defined]
        return [laid(priors, maps, size)] * len(maps[0])


def torchvision_ssd(network: nn.Module, data: Dataset) -> SSD:
    """Return torchvision's detector of the layers of a network of ours."""
    assert isinstance(network, TaskNetwork) and isinstance(network.head, SSDLite)
    return SSD(
        _Maps(network),
        _Priors(),
        (data.size.height, data.size.width),
        len(data.classes) + 1,
        image_mean=[value / 255 for value in data.mean],
        image_std=[value / 255 for value in data.std],
        head=network.head.scores,
    )


def targets_of(split: Split, rows: slice) -> list[Target]:
    """Return the objects of images."""
    assert split.annotations is not None
    held = [one[one[:, 4] >= 0] for one in split.annotations[rows]]
    return [{"boxes": one[:, :4], "labels": one[:, 4].long() + 1} for one in held]


def loss_of(detector: SSD, images: Tensor, targets: list[Target]) -> Tensor:
    """Return the loss of normalised images of the detector's size: its `forward` without resizing.

    images: (N, 3, H, W).
    """
    transform, detector.transform = detector.transform, _AsItIs()
    try:
        losses = detector(images, targets)
    finally:
        detector.transform = transform
    return torch.stack(list(losses.values())).sum()


class _AsItIs(nn.Module):
    """What stands where a detector resizes and normalises."""

    def forward(self, images: Tensor, targets: list[Target]) -> tuple[object, list[Target]]:
        return _Batch(images), targets


class _Batch:
    def __init__(self, tensors: Tensor) -> None:
        self.tensors = tensors


class _Augmented(Images[tuple[Tensor, Target]]):
    """The training images one by one, as the reference's preset `ssdlite` makes them."""

    def __init__(self, data: Dataset) -> None:
        self.split = data.train
        self.targets = targets_of(data.train, slice(None))
        self.transform = v2.Compose(
            [
                v2.RandomIoUCrop(),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.SanitizeBoundingBoxes(),
            ]
        )

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, row: int) -> tuple[Tensor, Target]:
        image = Image(self.split.images[row].permute(2, 0, 1))
        target = self.targets[row]
        boxes = BoundingBoxes(
            target["boxes"], format=BoundingBoxFormat.XYXY, canvas_size=image.shape[-2:]
        )
        changed: tuple[Tensor, Target] = self.transform(
            image, {"boxes": boxes, "labels": target["labels"]}
        )
        return changed


def batches(data: Dataset, batch_size: int, count: int) -> Iterator[list[list[object]]]:
    """Yield lists of images and of targets."""
    images = _Augmented(data)
    sampler = RandomSampler(images, num_samples=count)
    yield from DataLoader(images, batch_size, sampler=sampler, collate_fn=_apart)


def _apart(items: list[tuple[Tensor, Target]]) -> list[list[object]]:
    return [list(parts) for parts in zip(*items, strict=True)]
