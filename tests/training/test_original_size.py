from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.base.size import Size
from nas.data import Dataset, Split, boxes_back
from nas.spec.task import Task
from nas.study.marks import figures_of
from nas.training.loop import evaluate
from nas.training.original_size import box_marks_at_original_size, marks_at_original_size

CPU = torch.device("cpu")
TASK = Task.of("segmentation", 3)


class Levels(nn.Module):
    """Tells the class of a pixel by its brightness."""

    def forward(self, images: Tensor) -> Tensor:
        brightness = images.mean(dim=1)
        return torch.stack([-((brightness - level) ** 2) for level in (0, 100, 200)], dim=1)


def data_of(masks: Tensor, pixels: Tensor) -> Dataset:
    images = (pixels * 100).to(torch.uint8)[..., None].expand(*pixels.shape, 3).contiguous()
    split = Split(images, torch.zeros(len(masks), dtype=torch.long), masks)
    return Dataset(
        split, split, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3, mirror=False, source="levels",
        annotated="masks",
    )  # fmt: skip


def drawn(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 3, shape, generator=generator).to(torch.uint8)


def test_at_the_networks_size_marks_are_those_of_an_evaluation() -> None:
    masks = drawn(0, 70, 6, 9)
    masks[:, 2] = 255
    data = data_of(masks, drawn(1, 70, 6, 9))
    found = marks_at_original_size(
        Levels(), data, TASK, masks.numpy(), lambda told, size: told, device=CPU
    )
    assert np.array_equal(found, evaluate(Levels(), data, TASK, device=CPU).marks)


def test_figures_at_other_sizes_are_those_of_a_slow_twin() -> None:
    """Images of three sizes were halved, or had their right part cut off, which is not told."""
    sizes, seen = [(8, 12), (16, 12), (8, 24)], drawn(2, 3, 4, 6)
    masks = [drawn(3 + row, *size).numpy() for row, size in enumerate(sizes)]
    masks[1][:3] = 255
    masks[2][:] = 255

    def back(told: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
        larger = told.repeat(size[0] // 4, axis=0).repeat(2, axis=1)
        whole = np.full(size, 255, dtype=np.uint8)
        whole[:, :12] = larger
        return whole

    data = data_of(seen, seen)
    masks[0][:, 10:] = 2
    data.validation.images[0, :, 5] = 200  # told right
    marks = marks_at_original_size(Levels(), data, TASK, masks, back, device=CPU)
    both, told_so, true = [0] * 3, [0] * 3, [0] * 3
    for row, mask in enumerate(masks):
        told = back(np.asarray(data.validation.images[row, ..., 0] // 100), mask.shape)
        for label, answer in zip(mask.ravel().tolist(), told.ravel().tolist(), strict=True):
            if label == 255:
                continue
            true[label] += 1
            both[label] += label == answer
            if answer != 255:
                told_so[answer] += 1
    ious = [both[one] / (told_so[one] + true[one] - both[one]) for one in range(3)]
    figures = figures_of("segmentation", marks)
    assert figures["miou"] == pytest.approx(sum(ious) / 3, abs=1e-6)
    assert figures["pixel_accuracy"] == pytest.approx(sum(both) / sum(true), abs=1e-6)
    assert not marks[2].any()


class Told(nn.Module):
    """Tells the boxes that are given for image upon image, of FCOS: sure of each."""

    def __init__(self, boxes: Tensor) -> None:
        super().__init__()
        logits = torch.where(torch.arange(2) == boxes[..., 5:], boxes[..., 4:5], -20.0)
        sure = torch.full_like(boxes[..., :1], 20.0)
        self.outputs = torch.cat([boxes[..., :4], sure, logits, boxes[..., :4]], dim=2)
        self.told = 0

    def forward(self, images: Tensor) -> Tensor:
        told = self.outputs[self.told : self.told + len(images)]
        self.told = (self.told + len(images)) % len(self.outputs)
        return told


def test_boxes_are_judged_where_they_lie_on_images_as_they_are() -> None:
    """Of any size and shape: what is found of them is the same, and objects are larger."""
    rng, count, size = np.random.default_rng(0), 70, Size(32, 48)
    corners = rng.random((count, 4, 2)) * [30, 20]
    true = np.concatenate([corners, corners + rng.random((count, 4, 2)) * 12 + 4], axis=2)
    held = np.zeros((count, 4, 6))
    held[..., :4], held[..., 4] = true, rng.integers(0, 2, (count, 4))
    boxes = torch.from_numpy(held).float()
    boxes[..., :4] += torch.from_numpy(rng.normal(0, 0.7, true.shape))
    boxes[..., 5], boxes[..., 4] = boxes[..., 4].clone(), torch.from_numpy(rng.random((count, 4)))
    images = torch.zeros(count, size.height, size.width, 3, dtype=torch.uint8)
    split = Split(images, torch.zeros(count, dtype=torch.long), torch.from_numpy(held).float())
    data = Dataset(
        split, split, ("a", "b"), (0.0,) * 3, (1.0,) * 3, mirror=False, source="boxes",
        annotated="boxes",
    )  # fmt: skip
    task = Task.of("detection", 2, "fcos")
    expected = evaluate(Told(boxes), data, task, device=CPU)
    same = box_marks_at_original_size(
        Told(boxes), data, task, [(size, one.numpy()) for one in split.targets],
        lambda found, _: found, device=CPU,
    )  # fmt: skip
    assert np.array_equal(same, expected.marks)
    assert 0.2 < expected.figures["ap"] < 0.95

    # Stretched, what boxes share stays as it is.
    originals = [Size(64 + row, 480 - 3 * row) for row in range(count)]
    larger = [
        one * [each.width / 48, each.height / 32, each.width / 48, each.height / 32, 1, 1]
        for one, each in zip(held, originals, strict=True)
    ]
    found = box_marks_at_original_size(
        Told(boxes), data, task, list(zip(originals, larger, strict=True)),
        lambda boxes, original: boxes_back(boxes, original, size, "stretch"), device=CPU,
    )  # fmt: skip
    figures = figures_of("detection", found)
    for name in ("ap", "ap50", "ap75"):
        assert figures[name] == pytest.approx(expected.figures[name])
    assert "ap_medium" in figures and "ap_medium" not in expected.figures
