"""Suppression as a module of torch, in operators that take any number of images at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nas.models.heads.default_boxes import Parts
from nas.spec.suppression import Suppression
from nas.training.suppression import BOX_SCORES

__all__ = ["KeptScores", "Suppressing", "greedily_kept"]

KeptScores = Callable[[Tensor, Tensor, Tensor, int, Suppression], Tensor]
"""A way to tell which boxes stay: boxes (N, K, 4), scores (N, K), classes (N, K), how many classes
there are, and limits, to the scores (N, K), 0 of those that are left out. Of each image those stay
that no better one of their class overlaps by more than the limit; at least the `most` best."""


class Suppressing(nn.Module):
    """Suppression of what a detector gives, (N, A, 9 + classes) to (N, D, 6)."""

    def __init__(
        self, head: str, size: tuple[int, int], limits: Suppression, kept_scores: KeptScores
    ) -> None:
        """Make it.

        head: whose scores these are, of `BOX_SCORES`.
        size: height and width of the images.
        """
        super().__init__()
        self._scores, self._limits, self._kept_scores = BOX_SCORES[head], limits, kept_scores
        edge = torch.tensor([size[1], size[0]] * 2, dtype=torch.float32)
        self.edge: Tensor
        self.register_buffer("edge", edge)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return the boxes that are kept, the best first."""
        given, limits = Parts.of(outputs), self._limits
        scores = self._scores(given)
        each, classes = scores.shape[1:]
        scores, places = scores.flatten(1).topk(min(limits.candidates, each * classes), dim=1)
        of_class = places % classes
        boxes = _taken(given.boxes, torch.div(places, classes, rounding_mode="floor"))
        boxes = torch.minimum(boxes.clamp(min=0), self.edge)
        looked_at = torch.where(scores > limits.score, scores, 0.0)
        left = self._kept_scores(boxes, looked_at, of_class, classes, limits)
        best, places = left.topk(min(limits.most, left.shape[1]), dim=1)
        named = torch.where(best > 0, of_class.gather(1, places).to(best.dtype), -1.0)
        return torch.cat([_taken(boxes, places), best[..., None], named[..., None]], dim=2)


def greedily_kept(
    boxes: Tensor, scores: Tensor, classes: Tensor, _count: int, limits: Suppression
) -> Tensor:
    """Return the scores of boxes that stay: see `KeptScores`.

    As many steps as boxes may stay, unrolled: the best that is left is taken, and those that it
    overlaps are out. A graph has no loop where its runtime may lack one.
    """
    beside = _do_not_overlap(boxes, classes, limits.overlap).to(scores.dtype)
    places = torch.arange(scores.shape[1], device=scores.device)
    left, kept = scores, torch.zeros_like(scores)
    for _ in range(min(limits.most, scores.shape[1])):
        best, place = left.max(dim=1, keepdim=True)
        taken = (places == place).to(scores.dtype)
        kept = kept + best * taken
        row = beside.gather(1, place[..., None].expand(-1, -1, beside.shape[2]))[:, 0]
        left = left * row * (1 - taken)
    return kept


def _do_not_overlap(boxes: Tensor, classes: Tensor, limit: float) -> Tensor:
    """Tell of each two boxes whether both may stay, (N, K, K): by intersection over union."""
    first, last = boxes[..., :2], boxes[..., 2:]
    widths, heights = (last - first).unbind(2)
    areas = widths * heights
    sides = [
        torch.minimum(end[:, :, None], end[:, None])
        - torch.maximum(begin[:, :, None], begin[:, None])
        for begin, end in zip(first.unbind(2), last.unbind(2), strict=True)
    ]
    both = sides[0].clamp(min=0) * sides[1].clamp(min=0)
    union = areas[:, :, None] + areas[:, None] - both
    return (both <= limit * union) | (classes[:, :, None] != classes[:, None])


def _taken(boxes: Tensor, places: Tensor) -> Tensor:
    """Take boxes (N, K, 4) at places (N, D): (N, D, 4)."""
    # By columns: of all at once OpenVINO 2026.3 would gather from what they were cut out of.
    return torch.stack([column.gather(1, places) for column in boxes.unbind(2)], dim=2)
