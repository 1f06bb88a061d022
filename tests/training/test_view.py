from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import BoundingBoxes

from nas.data import Dataset, Split
from nas.training.batches import Batches
from nas.training.view import View

CPU = torch.device("cpu")
HEIGHT, WIDTH = 24, 40


def halves(count: int) -> Split:
    """Each image is dark and light: its pixels tell the class of each."""
    masks = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.uint8)
    for row in range(count):
        masks[row, row % 20 :, row % 30 :] = 1
    images = (masks * 200)[..., None].expand(-1, -1, -1, 3).contiguous()
    return Split(images, torch.zeros(count, dtype=torch.long), masks)


@pytest.fixture
def data() -> Dataset:
    split = halves(60)
    return Dataset(
        split, split, ("dark", "light"), (0.0,) * 3, (1.0,) * 3, mirror=True, source="halves",
        annotated="masks",
    )  # fmt: skip


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_masks_move_with_their_pixels(data: Dataset) -> None:
    """Whatever is seen of an image, its pixels still tell their classes, but for edges."""
    images, masks = Batches(data, CPU).augmented_with_masks(data.train, torch.arange(60), seeded(0))
    assert images.shape == (60, 3, HEIGHT, WIDTH) and masks.shape == (60, HEIGHT, WIDTH)
    assert images.is_contiguous(memory_format=torch.channels_last)
    counted = masks != 255
    assert ((images[:, 0] > 100) == (masks == 1))[counted].float().mean() > 0.98
    assert not torch.equal(masks, data.train.annotations)
    assert set(masks.unique().tolist()) == {0, 1, 255}, "nothing lies between two classes"


def test_what_lies_outside_an_image_is_of_the_mean_colour_and_does_not_count() -> None:
    view = View.drawn(HEIGHT, WIDTH, (0.0, 0.5, 0.99, 0.9), mirror=True)
    assert (view.rows, view.columns, view.left) == (18, 30, 10) and not view.mirrored
    mask = view.mask(torch.ones(HEIGHT, WIDTH, dtype=torch.uint8))
    assert (mask[view.top : view.top + 18, 10:] == 1).all() and (mask == 1).sum() == 18 * 30
    assert (mask[mask != 1] == 255).all()
    image = view.image(torch.full((HEIGHT, WIDTH, 3), 9, dtype=torch.uint8), [1, 2, 3])
    assert image[0, 0].tolist() == [1, 2, 3] and image[view.top, 10].tolist() == [9, 9, 9]


def test_in_the_middle_of_the_draws_an_image_is_seen_as_it_is() -> None:
    image = torch.randint(0, 256, (HEIGHT, WIDTH, 3), dtype=torch.uint8, generator=seeded(0))
    view = View.drawn(HEIGHT, WIDTH, (0.5, 0.3, 0.7, 0.9), mirror=True)
    assert torch.equal(view.image(image, [0, 0, 0]), image)
    mirrored = View.drawn(HEIGHT, WIDTH, (0.5, 0.3, 0.7, 0.1), mirror=True)
    assert torch.equal(mirrored.image(image, [0, 0, 0]), image.flip(1))
    assert torch.equal(mirrored.mask(image[..., 0]), image[..., 0].flip(1))
    assert not View.drawn(HEIGHT, WIDTH, (0.5, 0.3, 0.7, 0.1), mirror=False).mirrored


def test_views_are_of_their_draws_whichever_share_is_made(data: Dataset) -> None:
    batches, rows = Batches(data, CPU), torch.tensor([5, 0, 5, 9, 7])
    torch.manual_seed(1)
    images, masks = batches.augmented_with_masks(data.train, rows, seeded(3))
    torch.manual_seed(2)
    share = slice(1, None, 2)
    some, theirs = batches.augmented_with_masks(data.train, rows, seeded(3), share)
    assert torch.equal(some, images[share]) and torch.equal(theirs, masks[share])
    others, _ = batches.augmented_with_masks(data.train, rows, seeded(4))
    assert not torch.equal(others, images)
    assert not torch.equal(masks[0], masks[2]), "an image is seen otherwise each time"


def test_images_are_mirrored_only_where_they_may_be(data: Dataset) -> None:
    """The light part of each image is at its right."""
    split = halves(60)
    for mirror in (False, True):
        batches = Batches(replace(data, mirror=mirror), CPU)
        _, masks = batches.augmented_with_masks(split, torch.full((40,), 8), seeded(0))
        columns = torch.arange(WIDTH).float()
        of_light, of_all = (
            (seen * columns).sum(dim=(1, 2)) / seen.sum(dim=(1, 2))
            for seen in (masks == 1, masks != 255)
        )
        assert (of_light > of_all + 0.1).any()
        assert bool((of_light < of_all - 0.1).any()) == mirror


def bars(count: int) -> Split:
    """Each image has a light bar of class 1, and one at the lower right edge of class 0."""
    boxes = torch.zeros(count, 3, 6)
    boxes[:, 2, 4] = -1
    images = torch.zeros(count, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    for row in range(count):
        left, top = 2 + row % 20, 1 + row % 10
        boxes[row, 0] = torch.tensor([left, top, left + 10, top + 8, 1, 0])
        boxes[row, 1] = torch.tensor([WIDTH - 3, HEIGHT - 3, WIDTH, HEIGHT, 0, 1])
        images[row, top : top + 8, left : left + 10] = 200
    return Split(images, torch.zeros(count, dtype=torch.long), boxes)


def test_boxes_move_with_their_pixels(data: Dataset) -> None:
    """Whatever is seen of an image, its light pixels are those of its box, but for edges."""
    split = bars(60)
    images, boxes = Batches(data, CPU).augmented_with_boxes(split, torch.arange(60), seeded(0))
    assert images.shape == (60, 3, HEIGHT, WIDTH) and boxes.shape == (60, 3, 6)
    assert boxes[..., 0:4].min() >= 0 and (boxes[..., 2] <= WIDTH).all()
    for image, held in zip(images, boxes, strict=True):
        left, top, right, bottom, kind, _ = held[0].tolist()
        rows, columns = np.nonzero(image[0].numpy() > 100)
        assert kind == 1
        found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert found == pytest.approx([left, top, right, bottom], abs=0.75)
    kinds = boxes[:, 1, 4]
    assert (kinds == 0).any() and (kinds == -1).any(), "the edge is cut off in some views"
    assert (boxes[:, 1, 5] == (kinds == 0)).all() and (boxes[:, 2, 4] == -1).all()


def test_boxes_lie_where_torchvision_has_them() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        view = View.drawn(HEIGHT, WIDTH, tuple(rng.random(4)), mirror=True)
        corners = np.sort(rng.random((6, 2, 2)), axis=1) * [WIDTH, HEIGHT]
        given = torch.zeros(6, 6)
        given[:, :4], given[:, 4] = torch.from_numpy(corners.reshape(6, 4)), torch.arange(6)
        theirs = BoundingBoxes(given[:, :4], format="XYXY", canvas_size=(HEIGHT, WIDTH))
        if view.enlarged:
            part = (view.top, view.left, view.rows, view.columns)
            seen = functional.resized_crop(theirs, *part, [HEIGHT, WIDTH])
        else:
            right, bottom = view.left + view.columns, view.top + view.rows
            seen = functional.pad(
                functional.resize(theirs, [view.rows, view.columns]),
                [view.left, view.top, WIDTH - right, HEIGHT - bottom],
            )
        if view.mirrored:
            seen = functional.horizontal_flip(seen)
        mine = view.boxes(given)
        mine = mine[mine[:, 4] >= 0]
        assert len(mine) > 0
        torch.testing.assert_close(mine[:, :4], torch.Tensor(seen)[mine[:, 4].long()])


def test_an_object_of_which_little_is_seen_is_left_out() -> None:
    view = View(HEIGHT, WIDTH, 12, 20, 12, 20, enlarged=True, mirrored=False)
    given = torch.tensor(
        [
            [0, 0, 10, 10, 0, 0],
            [18, 10, 30, 20, 1, 0],
            [0, 12, 21, 24, 2, 0],
            [20, 12, 40, 24, 3, 1],
        ]
    ).float()
    assert view.boxes(given).tolist() == [
        [0, 0, 20, 16, 1, 0], [0, 0, 40, 24, 3, 1], *[[0, 0, 0, 0, -1, 0]] * 2
    ]  # fmt: skip
