"""Batches of normalised images, cut from uint8 images in memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nas.data import Dataset, Split
from nas.training.augmentation import Augmentation
from nas.training.placement import gathered, sent
from nas.training.view import View

__all__ = ["Batches"]

_ALL = slice(None)
_SHIFT = 8  # a random crop moves an image by at most 1/8 of its side, as 4 of 32 pixels


class Batches:
    """A maker of normalised batches from rows of a split, augmented or as they are.

    One gather reads crop and mirror at once from the uint8 images; borders are reflected. On a
    GPU that gather runs there, since one CPU core makes 800 images a second at 224 pixels; from
    images that lie there (see `placed`), only four numbers of each are sent.
    The result is NCHW in channels_last memory, float32.
    """

    def __init__(
        self, data: Dataset, device: torch.device, augmentation: Augmentation | None = None
    ) -> None:
        std = torch.tensor(data.std, device=device)
        self.scale = 1.0 / std
        self.offset = -torch.tensor(data.mean, device=device) / std
        self.mirror = data.mirror
        self.border = [round(value) for value in data.mean]
        self.device = device
        self.change = augmentation if augmentation and augmentation.changes_pixels else None
        self.gather_on_device = device.type != "cpu" and self.change is None

    def augmented(
        self,
        split: Split,
        rows: Tensor,
        generator: torch.Generator,
        share: slice = _ALL,
    ) -> Tensor:
        """Return images, each shifted and perhaps mirrored at random: (B, 3, H, W).

        rows: (B,).
        share: of the rows, to make those images alone, as they are among all.
        """
        count, height, width = len(rows), *split.images.shape[1:3]
        # Drawn for all rows, whichever share is wanted, so that processes agree on every image.
        down, right = (_shifts(count, side, generator) for side in (height, width))
        mirrored = torch.zeros(count, 1, dtype=torch.bool)
        if self.mirror:
            mirrored = torch.rand(count, 1, generator=generator) < 0.5
        images, rows = split.images, rows[share]
        if self.gather_on_device and images.device.type == "cpu":
            images, rows = gathered(split, rows, self.device), torch.arange(len(rows))
        draws = torch.cat([rows[:, None], down[share], right[share], mirrored[share]], dim=1)
        rows, down, right, mirrored = torch.tensor_split(sent(draws, images.device), 4, dim=1)
        columns = torch.arange(width, device=images.device).expand(len(rows), width)
        columns = torch.where(mirrored.bool(), columns.flip(1), columns)
        lines = _reflect(torch.arange(height, device=images.device) + down, height)
        columns = _reflect(columns + right, width)
        pixels = images[rows[:, :, None], lines[:, :, None], columns[:, None, :]]
        if self.change is not None:
            pixels = self.change.pixels(pixels.cpu())
        return self._normalised(pixels)

    def augmented_with_masks(
        self, split: Split, rows: Tensor, generator: torch.Generator, share: slice = _ALL
    ) -> tuple[Tensor, Tensor]:
        """Return images, (B, 3, H, W), and the classes of their pixels, (B, H, W) uint8.

        Each image is seen in a `View` drawn at random, and its mask in the same. On the CPU, one
        by one: a core makes 5,000 a second at 128 pixels.

        rows, share: as of `augmented`.
        """
        return self._viewed(split, rows, generator, share, View.mask)

    def augmented_with_boxes(
        self, split: Split, rows: Tensor, generator: torch.Generator, share: slice = _ALL
    ) -> tuple[Tensor, Tensor]:
        """Return images, (B, 3, H, W), and their boxes, (B, M, 6), see `Split`.

        Each image is seen in a `View` drawn at random, and its boxes in the same, clipped; an
        object of which less than a tenth is seen has class -1.

        rows, share: as of `augmented`.
        """
        return self._viewed(split, rows, generator, share, View.boxes)

    def _viewed(
        self,
        split: Split,
        rows: Tensor,
        generator: torch.Generator,
        share: slice,
        annotation: Callable[[View, Tensor], Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return images in views drawn at random, and what a view makes of their annotations."""
        assert split.annotations is not None
        # Drawn for all rows, as above.
        drawn = torch.rand(len(rows), 4, generator=generator)[share].tolist()
        rows = rows[share]
        height, width = split.images.shape[1:3]
        images = torch.empty(len(rows), height, width, 3, dtype=torch.uint8)
        seen = split.images[rows.to(split.images.device)].cpu()
        annotations = split.annotations.new_empty(len(rows), *split.annotations.shape[1:])
        for index, (row, draws) in enumerate(zip(rows.tolist(), drawn, strict=True)):
            view = View.drawn(height, width, draws, mirror=self.mirror)
            images[index] = view.image(seen[index], self.border)
            annotations[index] = annotation(view, split.annotations[row])
        return self._normalised(images), sent(annotations, self.device)

    def plain(self, split: Split, rows: slice) -> Tensor:
        """Return images as they are: (B, 3, H, W)."""
        return self._normalised(split.images[rows])

    def _normalised(self, pixels: Tensor) -> Tensor:
        floats = sent(pixels, self.device).float().mul_(self.scale).add_(self.offset)
        return floats.permute(0, 3, 1, 2)


def _shifts(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Draw by how much each image is moved along one of its sides: (count, 1)."""
    reach = max(1, side // _SHIFT)
    return torch.randint(-reach, reach + 1, (count, 1), generator=generator)


def _reflect(index: Tensor, side: int) -> Tensor:
    index = index.abs()
    return torch.where(index >= side, 2 * (side - 1) - index, index)
