"""What a task shows, by networks whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from nas.backbones import find_maps
from nas.data import Dataset, Split
from nas.models.heads import SSDLite
from nas.models.task_network import TaskNetwork
from nas.report.pictures.networks import ShownNetwork
from nas.report.pictures.tasks import TASKS
from nas.report.pictures.tasks import retrieval as of_retrieval
from nas.report.pictures.tasks.task import LegendEntry
from nas.spec.architecture import Architecture
from nas.spec.task import Task

WHITE = 255


class Fixed(nn.Module):
    """Gives for each image what is kept under the level of its first pixel."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, images: Tensor) -> Tensor:
        return self.outputs[images[:, 0, 0, 0].round().long()]


def shown(split: Split, outputs: Tensor, classes: tuple[str, ...], annotated: str) -> ShownNetwork:
    split.images[:, 0, 0, 0] = torch.arange(len(split), dtype=torch.uint8)
    data = Dataset(
        split, split, classes, (0.0,) * 3, (1.0,) * 3, False, "made", annotated  # type: ignore[arg-type]
    )  # fmt: skip
    return ShownNetwork("plain", 0.5, Fixed(outputs), Architecture("net", 4), data)


def black(count: int) -> Tensor:
    return torch.zeros(count, 4, 4, 3, dtype=torch.uint8)


def test_a_class_is_told_with_its_probability() -> None:
    split = Split(black(2), torch.tensor([0, 1]))
    scores = torch.log(torch.tensor([[0.75, 0.25], [0.6, 0.4]]))
    network, task = shown(split, scores, ("cat", "dog"), "labels"), TASKS["classification"]
    rows = torch.tensor([1, 0])
    assert [(told.text, told.right) for told in task.predictions(network, rows)] == [
        ("cat, 60 %", False),
        ("cat, 75 %", True),
    ]
    assert [pictures[0].caption for pictures in task.truths(network.data, rows)] == ["dog", "cat"]
    aim = task.cam_target(network, rows)(network.outputs(rows))
    assert torch.allclose(aim.exp(), torch.tensor([0.4, 0.75]))
    assert task.legend(network.data, frozenset({0})) == ()


def test_classes_lie_over_the_image_in_their_colours() -> None:
    mask = torch.zeros(4, 4, dtype=torch.uint8)
    mask[:, 2:] = 1
    mask[0] = 255
    empty = torch.full((4, 4), 255, dtype=torch.uint8)
    split = Split(black(2), torch.tensor([1, 0]), torch.stack([mask, empty]))
    scores = torch.zeros(2, 2, 4, 4)
    scores[:, 1, :, 1:] = 4.0  # one column too many
    network = shown(split, scores, ("Background", "cup"), "masks")
    task, rows = TASKS["segmentation"], torch.tensor([0])
    kept, kinds = task.choices(split)
    assert (kept.tolist(), kinds.tolist()) == ([0], [1]), "of the other no pixel counts"

    ((image, truth),) = task.truths(network.data, rows)
    (told,) = task.predictions(network, rows)
    (picture,) = told.pictures
    assert image.caption == "with cup" and truth.caption == "truth"
    # Of 12 pixels that count 3 of 6 are background as told, 6 of 9 the cup.
    assert told.text == "mIoU 58 %" and told.right is None
    assert truth.classes == {1, 255} and picture.classes == {1}
    cup = truth.pixels[2, 3]
    assert cup.any() and np.array_equal(picture.pixels[2, 1], cup)
    assert not truth.pixels[2, 1].any(), "what is background has no colour"
    assert (truth.pixels[0, 1] == round(0.6 * WHITE)).all()
    legend = task.legend(network.data, truth.classes)
    assert legend == (
        LegendEntry(legend[0].colour, "cup"),
        LegendEntry("#ffffff", "does not count"),
    )
    assert float(task.cam_target(network, rows)(network.outputs(rows))) == 4.0


def test_each_class_has_its_own_colour() -> None:
    names = tuple(f"class {number}" for number in range(150))
    data = Dataset(
        *(2 * [Split(black(1), torch.tensor([0]))]), names, (0.0,) * 3, (1.0,) * 3, False, "made"
    )
    keys = TASKS["segmentation"].legend(data, frozenset(range(150)))
    assert len({key.colour for key in keys}) == 150


class Detector(TaskNetwork):
    """Gives what is kept, as an SSDLite does."""

    def __init__(self, outputs: Tensor) -> None:
        head = SSDLite(find_maps("mobilenetv2_035", 32).all[-2:], 2)
        super().__init__(Fixed(outputs), head, Task("detection", 2, "ssdlite"))

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images)


def test_objects_are_outlined_in_the_colours_of_their_classes() -> None:
    none = [0.0, 0, 0, 0, -1, 0]
    objects = torch.tensor(
        [
            [[0.0, 0, 2, 2, 1, 0], [1, 0, 4, 4, 1, 0], [0, 0, 4, 4, 0, 1]],
            [[0.0, 0, 3, 3, 0, 0], none, none],
            [none, none, none],
        ]
    )
    split = Split(black(3), torch.tensor([1, 0, 2]), objects)
    # A sure box where an object is, one where none is, and one of no score.
    boxes = [[1.0, 0, 4, 4, 0, -9, 5], [0, 2, 2, 4, 0, 3, -9], [0, 0, 4, 4, 9, 0, 0]]
    defaults = [[0.0, 0, 4, 4], [0, 0, 2, 2], [2, 2, 4, 4]]
    outputs = torch.tensor([[[*box, *one] for box, one in zip(boxes, defaults, strict=True)]])
    network = shown(split, outputs.expand(3, -1, -1), ("cat", "dog"), "boxes")
    network = replace(network, network=Detector(outputs.expand(3, -1, -1)))
    task, rows = TASKS["detection"], torch.tensor([0])
    kept, kinds = task.choices(split)
    assert (kept.tolist(), kinds.tolist()) == ([0, 1], [1, 0]), "the last shows none"

    ((image, truth),) = task.truths(network.data, rows)
    (told,) = task.predictions(network, rows)
    assert (image.caption, truth.caption) == ("with dog", "truth") and truth.classes == {1}
    assert told.text == "1 of 2 found" and told.pictures[0].classes == {0, 1}
    dog, cat = truth.pixels[3, 3], told.pictures[0].pixels[3, 0]
    assert dog.any() and cat.any() and not np.array_equal(dog, cat)
    assert not truth.pixels[2, 0].any() and not told.pictures[0].pixels[0, 0].any()
    legend = task.legend(network.data, frozenset({0, 1}))
    assert [key.name for key in legend] == ["cat", "dog"]
    # The largest dog is learnt by the first default box, which meets it by 3/4, and no other.
    assert float(task.cam_target(network, rows)(network.outputs(rows))) == 5.0


def people(count: int = 6) -> tuple[Split, Tensor]:
    """Two identities by two cameras; the first image asks. Vectors turn by ten degrees each."""
    labels = torch.tensor([5, 5, 5, 9, 9, *(count - 5) * [5]])
    cameras = torch.tensor([0, 0, 1, 0, 1, *(count - 5) * [1]])
    asks = torch.tensor([1, *(count - 1) * [0]])
    angle = torch.deg2rad(10.0 * torch.arange(count))
    return (
        Split(black(count), labels, torch.stack([cameras, asks], dim=1)),
        torch.stack([angle.cos(), angle.sin()], dim=1),
    )


def test_the_nearest_are_found_and_those_of_the_own_camera_do_not_count() -> None:
    split, vectors = people()
    network = shown(split, vectors, ("a", "b"), "identities")
    task, rows = TASKS["retrieval"], torch.tensor([0])
    kept, kinds = task.choices(split)
    assert (kept.tolist(), kinds.tolist()) == ([0], [5])
    (told,) = task.predictions(network, rows)
    first_pixels = [int(picture.pixels[0, 0, 0]) for picture in told.pictures]
    assert first_pixels == [2, 3, 4, 5], "not 1, which is of the same camera"
    assert [picture.right for picture in told.pictures] == [True, False, False, True]
    assert (told.text, told.right) == ("2 of 2 right", None)
    ((query, match),) = task.truths(network.data, rows)
    assert query.caption == "identity 5" and int(match.pixels[0, 0, 0]) == 2
    aim = task.cam_target(network, rows)(network.outputs(rows))
    assert torch.allclose(aim, torch.deg2rad(torch.tensor(20.0)).cos())


def test_of_a_large_gallery_a_part_is_looked_at_with_all_that_is_right(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(of_retrieval, "_GALLERY", 3)
    split, vectors = people()
    network, task = shown(split, vectors, ("a", "b"), "identities"), TASKS["retrieval"]
    (told,) = task.predictions(network, torch.tensor([0]))
    assert told.text == "2 of 2 right" and len(told.pictures) in {2, 3}
    said = task.explain(split)
    assert "among 3 of 5 in the gallery" in said and "own camera" in said
