"""Small networks of segmentation, retrieval and detection, trained for seconds, and images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.base.size import Resolution, Size
from nas.data import Dataset, Split
from nas.export.winner import Winner
from nas.models.build import build, deploy
from nas.spec.architecture import Architecture, Insertion
from nas.spec.task import Task
from nas.training.tasks import training_task

CLASSES = ("ground", "red thing", "green thing")
MEAN, STD = (80.0,) * 3, (40.0,) * 3
INSERTIONS = (Insertion.of("blocks.1.1/after_depthwise", "coord/r4"),)


def scenes(size: Resolution) -> Dataset:
    """Rectangles in the colour of their class on noise; a bar at the left does not count."""
    side = Size.of(size)

    def split(count: int, seed: int) -> Split:
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 120, (count, side.height, side.width, 3))
        masks = np.zeros(pixels.shape[:3], np.uint8)
        for row in range(count):
            for number in (1, 2):
                high, wide = side.height // 2, side.width // 2
                top, left = rng.integers(0, high), rng.integers(0, wide)
                at = row, slice(top, top + high), slice(left, left + wide)
                masks[at] = number
                pixels[at] = rng.integers(0, 120, (high, wide, 3))
                pixels[(*at, number - 1)] += 120
        masks[:, :, :3] = 255
        if count > 3:
            masks[3] = 255  # of one image nothing counts
        labels = torch.from_numpy((np.arange(count) % 3).astype(np.int64))
        return Split(torch.from_numpy(pixels.astype(np.uint8)), labels, torch.from_numpy(masks))

    return Dataset(split(24, 0), split(16, 1), CLASSES, MEAN, STD, True, "scenes", "masks")


def people(size: Resolution, identities: int = 8, pictures: int = 4) -> Dataset:
    """Noise in the two colours of whom it shows, by two cameras; the first picture is a query."""
    side = Size.of(size)

    def split(seed: int) -> Split:
        rng = np.random.default_rng(seed)
        labels = np.repeat(np.arange(identities), pictures)
        colours = rng.integers(20, 200, (identities, 2, 3))[labels]
        pixels = rng.integers(0, 90, (len(labels), side.height, side.width, 3))
        middle = side.height // 2
        pixels[:, :middle] += colours[:, 0, None, None]
        pixels[:, middle:] += colours[:, 1, None, None]
        number = np.arange(len(labels)) % pictures
        known = np.stack([number % 2, number == 0], axis=1).astype(np.int64)
        return Split(
            torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)),
            torch.from_numpy(labels),
            torch.from_numpy(known),
        )

    names = tuple(f"person {number}" for number in range(identities))
    return Dataset(split(0), split(1), names, MEAN, STD, True, "people", "identities")


def things(size: Resolution) -> Dataset:
    """Up to two rectangles in the colour of their class on noise, with their boxes.

    Image 3 has none, and image 5 a region that does not count.
    """
    side = Size.of(size)

    def split(count: int, seed: int) -> Split:
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 90, (count, side.height, side.width, 3))
        boxes = np.zeros((count, 2, 6), np.float32)
        boxes[..., 4] = -1
        for row in range(count):
            for number in range(0 if row == 3 else 1 + row % 2):
                high, wide = rng.integers(side.height // 4, side.height // 2 + 1, 2)
                high, wide = min(high, side.height), min(wide, side.width)
                top, left = (
                    rng.integers(side.height - high + 1),
                    rng.integers(side.width - wide + 1),
                )
                name = int(rng.integers(2))
                pixels[row, top : top + high, left : left + wide, name] += 140
                boxes[row, number] = left, top, left + wide, top + high, name, 0
        if count > 5:
            boxes[5, 0, 5] = 1
        labels = boxes[:, 0, 4].astype(np.int64)
        labels[labels < 0] = 2
        return Split(
            torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)),
            torch.from_numpy(labels),
            torch.from_numpy(boxes),
        )

    return Dataset(split(48, 0), split(16, 1), CLASSES[1:], MEAN, STD, True, "things", "boxes")


def segmenter(head: str, size: Resolution, steps: int = 25) -> Winner:
    """MobileNetV2 of width 0.35 with a head, trained on the scenes."""
    task = Task("segmentation", len(CLASSES), head)

    def loss(scores: Tensor, split: Split, rows: Tensor) -> Tensor:
        assert split.annotations is not None
        masks = split.annotations[rows].long()
        return functional.cross_entropy(scores, masks, ignore_index=255)

    return _trained(task, size, scenes(size), loss, steps)


def embedder(size: Resolution, length: int = 32, steps: int = 25) -> Winner:
    """MobileNetV2 of width 0.35 with vectors, trained on the people."""
    task = Task("retrieval", length, "embedding")

    def loss(vectors: Tensor, split: Split, rows: Tensor) -> Tensor:
        labels = split.labels[rows]
        same = labels[:, None] == labels
        similar = 10 * vectors @ vectors.T
        return functional.binary_cross_entropy_with_logits(similar - 5, same.float())

    return _trained(task, size, people(size), loss, steps)


def detector(head: str, size: Resolution, steps: int = 60) -> Winner:
    """MobileNetV2 of width 0.35 with a head, trained on the things."""
    task = Task("detection", len(CLASSES) - 1, head)
    losses = training_task(task)

    def loss(given: Tensor, split: Split, rows: Tensor) -> Tensor:
        return losses.loss(given, losses.targets(split, rows))

    return _trained(task, size, things(size), loss, steps)


def _trained(task: Task, size: Resolution, data: Dataset, loss: object, steps: int) -> Winner:
    architecture = Architecture("mobilenetv2_035", size, INSERTIONS)
    torch.manual_seed(0)
    network = build(architecture, task=task).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = 0.3  # so few steps would hardly move it
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    pixels = (data.train.images.float().permute(0, 3, 1, 2) - MEAN[0]) / STD[0]
    for step in range(steps):
        rows = torch.arange(step % 2, len(pixels), 2)
        found = loss(network(pixels[rows]), data.train, rows)  # type: ignore[operator]
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
    as_trained = network.eval()
    again = build(architecture, task=task)
    again.load_state_dict(as_trained.state_dict())
    return Winner(
        deploy(again.eval(), architecture),
        architecture,
        data.classes,
        MEAN,
        STD,
        "stretch",
        as_trained,
        task,
    )
