"""What is kept of all boxes of a detector: `nas.spec.suppression` by torchvision."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from nas.models.heads.default_boxes import Parts
from nas.spec.suppression import SUPPRESSION, Suppression

__all__ = ["BOX_SCORES", "suppressed", "suppression_times"]

BOX_SCORES: Mapping[str, Callable[[Parts], Tensor]] = {
    "ssdlite": lambda given: torch.cat([given.beside, given.logits], 2).softmax(dim=2)[..., 1:],
    "fcos": lambda given: (given.logits.sigmoid() * given.beside.sigmoid()).sqrt(),
}
"""By head: the scores of classes, (B, A, classes), from 0 to 1."""


def suppressed(
    outputs: Tensor,
    head: str,
    size: tuple[int, int],
    limits: Suppression = SUPPRESSION,
) -> list[Tensor]:
    """Return the boxes of each image that are kept, the highest score first: (D, 6) each.

    x1, y1, x2, y2 in pixels, cut at the image; score; class.

    outputs: (B, A, 9 + classes), see `nas.models.heads.default_boxes`.
    size: height and width of the images.
    """
    given = Parts.of(outputs)
    scores = BOX_SCORES[head](given).flatten(1)
    classes = given.logits.shape[2]
    best, places = scores.topk(min(limits.candidates, scores.shape[1]), dim=1)
    most = outputs.new_tensor([size[1], size[0], size[1], size[0]])
    kept = []
    for boxes, score, place in zip(given.boxes, best, places, strict=True):
        count = int((score > limits.score).sum())
        score, place = score[:count], place[:count]
        of_class = place % classes
        boxes = boxes[place // classes].clamp(min=0).minimum(most)
        rows = batched_nms(boxes, score, of_class, limits.overlap)[: limits.most]
        kept.append(torch.cat([boxes, score[:, None], of_class[:, None]], dim=1)[rows])
    return kept


def suppression_times(outputs: Tensor, head: str, size: tuple[int, int]) -> list[float]:
    """Return what `suppressed` takes of each image by itself: CPU time of this thread, ms.

    It runs on the CPU, as on a device that a graph runs on.
    """
    alone = [outputs[row : row + 1].cpu() for row in range(len(outputs))]
    times = []
    for one in alone:
        started = time.thread_time_ns()
        suppressed(one, head, size)
        times.append((time.thread_time_ns() - started) / 1e6)
    return times
