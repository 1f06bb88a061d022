"""Views of an image with its mask or boxes: all enlarged or made smaller, placed, mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import Image, Mask

from nas.base.size import Size
from nas.data import clip_boxes
from nas.study.marks import IGNORED

__all__ = ["View"]

_ZOOM = 4 / 3
"""By how much a view enlarges or makes smaller at most. References take 2 (arXiv:1706.05587), of
images that they then cut to a part of their size: here images have the network's size already, and
at half of it three quarters of a batch would be border."""


@dataclass(frozen=True, slots=True)
class View:
    """A part of an image that fills its size, or all of it, smaller, with a border around.

    height, width: of the image and of the view.
    rows, columns: of the part; or what all of the image is seen in.
    top, left: where the part begins in the image; or the image in the view.
    enlarged: whether it is a part that fills the size.
    """

    height: int
    width: int
    rows: int
    columns: int
    top: int
    left: int
    enlarged: bool
    mirrored: bool

    @classmethod
    def drawn(cls, height: int, width: int, draws: Sequence[float], *, mirror: bool) -> View:
        """Return the view of four draws from 0 to 1: its zoom, its place down and right, mirrored.

        mirror: whether it may be mirrored.
        """
        zoom, down, right, turn = draws
        factor = _ZOOM ** (2 * zoom - 1)
        rows, columns = (max(1, round(side * min(factor, 1 / factor))) for side in (height, width))
        top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
        return cls(height, width, rows, columns, top, left, factor > 1, mirror and turn < 0.5)

    def image(self, pixels: Tensor, border: Sequence[int]) -> Tensor:
        """Return the view of (H, W, 3) uint8 pixels, (H, W, 3). border: its colour."""
        return self._of(Image(pixels.permute(2, 0, 1)), list(border)).permute(1, 2, 0)

    def mask(self, classes: Tensor) -> Tensor:
        """Return the view of (H, W) classes, (H, W): none between two, and none on the border."""
        return self._of(Mask(classes[None]), IGNORED)[0]

    def boxes(self, boxes: Tensor) -> Tensor:
        """Return the view of (M, 6) boxes, see `Split`, clipped; of one left out the class is -1.

        Where `nas.data.clip_boxes` leaves out an object it is not to be found.
        """
        given = boxes.numpy().astype(np.float64)
        x, y = given[:, [0, 2]], given[:, [1, 3]]
        if self.enlarged:
            x = (x - self.left) * (self.width / self.columns)
            y = (y - self.top) * (self.height / self.rows)
        else:
            x = x * (self.columns / self.width) + self.left
            y = y * (self.rows / self.height) + self.top
        if self.mirrored:
            x = self.width - x[:, ::-1]
        given[:, [0, 2]], given[:, [1, 3]] = x, y
        kept = clip_boxes(given[given[:, 4] >= 0], Size(self.height, self.width))
        view = torch.zeros_like(boxes)
        view[:, 4] = -1
        view[: len(kept)] = torch.from_numpy(kept)
        return view

    def _of(self, seen: Image | Mask, border: list[int] | int) -> Tensor:
        size = [self.height, self.width]
        if self.enlarged:
            view = functional.resized_crop(
                seen, self.top, self.left, self.rows, self.columns, size, antialias=True
            )
        else:
            right, bottom = self.left + self.columns, self.top + self.rows
            around = [self.left, self.top, self.width - right, self.height - bottom]
            small = functional.resize(seen, [self.rows, self.columns], antialias=True)
            view = functional.pad(small, around, fill=border)
        if self.mirrored:
            view = functional.horizontal_flip(view)
        return torch.Tensor.as_subclass(view, Tensor)
