"""Default boxes of detectors: constants by the sizes of the maps, and what a detector gives.

A detector gives one tensor, (N, A, 9 + classes), so that every runtime, the comparison of graphs
and a training read it as it is: of each default box

    0 to 3   the box that was made from it, x1, y1, x2, y2 in pixels of the image
    4        a logit beside those of classes: SSDLite's of the background, FCOS's of centre-ness
    5 to -4  a logit of each class
    -4 to    the default box itself, likewise

The last four are the same for all images. They are there since a loss has to know them, and cannot
tell them from the size of an image: a backbone may round its maps up or down, be dilated, or be
somebody's own. So a loss and its twins need the outputs and the truth alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.jit._trace import TracerWarning

__all__ = [
    "BEYOND_BOXES",
    "Parts",
    "joined",
    "laid",
    "points",
    "priors",
    "priors_at_each_place",
    "rows",
]

BEYOND_BOXES = 9
"""The columns of a detector's output for each default box, beside the logits of classes."""

_SHAPES = (2.0, 1 / 2, 3.0, 1 / 3)  # width over height, in torchvision's order
_SMALLEST, _LARGEST = 0.2, 0.95  # shares of the image's sides
_TINY = 0.1  # likewise, on the finest map

Grids = tuple[tuple[int, int], ...]
Floats = NDArray[np.float32]


def laid(
    made: Callable[[Grids, tuple[int, int]], Floats], maps: Sequence[Tensor], size: tuple[int, int]
) -> Tensor:
    """Return default boxes as a constant, (A, 4), where and as numbers are of the maps.

    made: makes them by the heights and widths of the maps, and of the image.
    """
    with warnings.catch_warnings():
        # In a trace sizes are tensors, of which constants are made here on purpose.
        warnings.simplefilter("ignore", TracerWarning)
        grids = tuple((int(one.shape[-2]), int(one.shape[-1])) for one in maps)
        boxes = torch.from_numpy(made(grids, (int(size[0]), int(size[1]))))
    like = maps[0]
    # Only where it says something, so that exported graphs hold a constant alone.
    if (boxes.device, boxes.dtype) != (like.device, like.dtype):
        boxes = boxes.to(like)
    return boxes


def rows(scores: Tensor, columns: int) -> Tensor:
    """Put what a convolution gives in rows: (N, K * columns, H, W) to (N, H * W * K, columns)."""
    # By way of four dimensions and not of five, which some runtimes do not know.
    return scores.permute(0, 2, 3, 1).reshape(scores.shape[0], -1, columns)


@dataclass(frozen=True)
class Parts:
    """What a detector gives, in parts.

    boxes: (N, A, 4).
    beside: (N, A, 1), the logit beside those of classes.
    logits: (N, A, classes).
    defaults: (A, 4), the default boxes.
    """

    boxes: Tensor
    beside: Tensor
    logits: Tensor
    defaults: Tensor

    @classmethod
    def of(cls, outputs: Tensor) -> Parts:
        """Take (N, A, 9 + classes) apart."""
        defaults = outputs[0, :, -4:].detach()
        return cls(outputs[..., :4], outputs[..., 4:5], outputs[..., 5:-4], defaults)


def joined(boxes: Tensor, logits: Tensor, defaults: Tensor) -> Tensor:
    """Return the one tensor. boxes: (N, A, 4), logits: (N, A, 1 + classes), defaults: (A, 4)."""
    held = defaults[None].expand(boxes.shape[0], -1, -1)
    return torch.cat([boxes, logits, held], dim=2)


def priors_at_each_place(maps: int) -> tuple[int, ...]:
    """Return how many of SSD's default boxes each place of each map has."""
    return tuple(len(shapes) for shapes in _shapes(maps))


@lru_cache(maxsize=64)
def priors(grids: Grids, size: tuple[int, int]) -> Floats:
    """Return SSDLite's default boxes: (A, 4).

    Six at each place of a map, but three on the finest, which has the most places: so the code of
    arXiv:1801.04381 has them (TensorFlow's `reduce_boxes_in_lowest_layer`), and with them the paper
    of coordinate attention its parameters; torchvision has six on each.

    grids: height and width of each map, from the finest to the coarsest.
    size: height and width of the image.
    """
    across = np.array((size[1], size[0]), np.float64)
    return np.concatenate(
        [
            _boxes(_centres(grid, size), np.clip(np.array(shapes), 0, 1) * across)
            for grid, shapes in zip(grids, _shapes(len(grids)), strict=True)
        ]
    )


def _shapes(maps: int) -> list[list[tuple[float, float]]]:
    """Return the default boxes of a place of each map: shares of the image's width and height."""
    step = (_LARGEST - _SMALLEST) / max(1, maps - 1)
    scales = [_SMALLEST + step * number for number in range(maps)] + [1.0]
    shapes = [
        [
            (scale, scale),
            (math.sqrt(scale * larger),) * 2,
            *((scale * math.sqrt(shape), scale / math.sqrt(shape)) for shape in _SHAPES),
        ]
        for scale, larger in pairwise(scales)
    ]
    finest = [(_TINY, _TINY), *shapes[0][2:4]]
    return [finest, *shapes[1:]]


@lru_cache(maxsize=64)
def points(strides: tuple[int, ...], grids: Grids, size: tuple[int, int]) -> Floats:
    """Return FCOS's points as boxes, (A, 4): as wide and high as a map's stride around each.

    They lie in the middle of what a place of a map stands for (arXiv:1904.01355, section 3.1);
    torchvision's lie in its corner.
    """
    return np.concatenate(
        [
            _boxes(_centres(grid, size), np.full((1, 2), float(stride)))
            for grid, stride in zip(grids, strides, strict=True)
        ]
    )


def _centres(grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the middle of each place of a map, row by row: (h * w, 2), x and y in pixels."""
    down, across = ((np.arange(n) + 0.5) * (side / n) for n, side in zip(grid, size, strict=True))
    x, y = np.meshgrid(across, down)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _boxes(centres: NDArray[np.float64], sides: NDArray[np.float64]) -> Floats:
    """Return boxes of some sides (k, 2) around each centre (n, 2): (n * k, 4)."""
    middle, half = centres[:, None], sides[None] / 2
    return np.concatenate([middle - half, middle + half], axis=2).reshape(-1, 4).astype(np.float32)
