"""The losses of detectors, image by image, from what `nas.models.heads.default_boxes` describes.

torchvision's of one image, as tests say; its own divide by the matches of all images of a batch,
which is another loss wherever processes share a batch, or memory makes it come in two. Two
departures: an image without objects has three default boxes to learn from, of which torchvision's
SSD has none; and what has its middle in a region that does not count is told nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from nas.models.heads.default_boxes import Parts
from nas.models.heads.ssdlite import SHIFTS

__all__ = ["BOX_LOSSES", "fcos_losses", "matches", "ssd_losses"]

_OVERLAP = 0.5  # of a default box and an object that it is for
_NEGATIVES = 3  # for each default box that is for an object: arXiv:1512.02325
_RADIUS = 1.5  # strides around an object's centre: arXiv:1904.01355, section 3.2, as torchvision
_REACH = 4.0, 8.0  # strides from a point to the farthest side of its object


@dataclass(frozen=True)
class _Truths:
    """The objects of images, of which some may be none.

    boxes: (B, M, 4).
    classes: (B, M), 0 of none.
    counts: (B, M), whether it is an object to find.
    crowd: (B, M), whether it is a region that does not count.
    """

    boxes: Tensor
    classes: Tensor
    counts: Tensor
    crowd: Tensor

    @classmethod
    def of(cls, annotations: Tensor) -> _Truths:
        """Read what is known of images, (B, M, 6), at least one row each."""
        if not annotations.shape[1]:
            annotations = annotations.new_full((len(annotations), 1, 6), -1)
        known, crowd = annotations[..., 4] >= 0, annotations[..., 5] > 0
        return cls(
            annotations[..., :4],
            annotations[..., 4].clamp(min=0).long(),
            known & ~crowd,
            known & crowd,
        )

    def of_match(self, match: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, A, 4) and classes (B, A) of matches (B, A), of none any."""
        rows = match.clamp(min=0)
        boxes = self.boxes.gather(1, rows[..., None].expand(-1, -1, 4))
        return boxes, self.classes.gather(1, rows)


def ssd_losses(outputs: Tensor, annotations: Tensor) -> Tensor:
    """Return SSD's loss of each image, (B,): arXiv:1512.02325.

    Smooth L1 of the boxes that are for an object, and cross-entropy of those and of three times as
    many of the worst others, over the number of the former.

    outputs: (B, A, 9 + classes).
    annotations: (B, M, 6), see `nas.data.Split`.
    """
    given, truths = Parts.of(outputs), _Truths.of(annotations)
    match, apart = _ssd_match(given.defaults, truths)
    positive = match >= 0
    boxes, classes = truths.of_match(match)
    number = positive.sum(dim=1)

    wanted = torch.where(positive[..., None], boxes, given.defaults)
    off = functional.smooth_l1_loss(
        _encoded(given.boxes, given.defaults), _encoded(wanted, given.defaults), reduction="none"
    )
    box_loss = (off.sum(dim=2) * positive).sum(dim=1)

    logits = torch.cat([given.beside, given.logits], dim=2)
    labels = torch.where(positive, classes + 1, 0)
    losses = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    # The worst of the others, by their rank.
    worst = (
        losses.detach().masked_fill(positive | apart, -torch.inf).argsort(dim=1, descending=True)
    )
    rank = torch.empty_like(worst).scatter_(1, worst, _counting(worst))
    negative = (rank < _NEGATIVES * number.clamp(min=1)[:, None]) & ~positive & ~apart
    return (box_loss + (losses * (positive | negative)).sum(dim=1)) / number.clamp(min=1)


def _counting(like: Tensor) -> Tensor:
    return torch.arange(like.shape[1], device=like.device).expand_as(like)


def _ssd_match(defaults: Tensor, truths: _Truths) -> tuple[Tensor, Tensor]:
    """Return which object each default box is for, -1 for none: (B, A).

    That which it meets most, if it does by half; and of each object the box that meets it most is
    for it in any case. And whether its middle is in a region that does not count: (B, A).

    defaults: (A, 4).
    """
    both = _intersections(truths.boxes, defaults)
    areas = _areas(defaults)
    overlaps = both / (_areas(truths.boxes)[..., None] + areas - both)
    overlaps = overlaps.masked_fill(~truths.counts[..., None], -1.0)  # (B, M, A)
    best, match = overlaps.max(dim=1)
    match = match.masked_fill(best < _OVERLAP, -1)
    # Where one box is the best for several objects, the last has it, as in torchvision.
    last = torch.full_like(match, -1)
    number = torch.arange(truths.counts.shape[1], device=match.device).expand_as(truths.counts)
    number = number.masked_fill(~truths.counts, -1)
    last = last.scatter_reduce(1, overlaps.argmax(dim=2), number, "amax")
    middle = _sides_and_middle(defaults)[1]
    return torch.where(last >= 0, last, match), _apart(_to_sides(middle, truths.boxes), truths)


def _to_sides(points: Tensor, boxes: Tensor) -> Tensor:
    """Return how far points (A, 2) are from the sides of boxes (B, M, 4), inside: (B, M, A, 4)."""
    boxes = boxes[:, :, None]
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], dim=-1)


def _apart(to_sides: Tensor, truths: _Truths) -> Tensor:
    """Return whether points lie in a region that does not count: (B, A)."""
    return ((to_sides.amin(dim=-1) > 0) & truths.crowd[..., None]).any(dim=1)


def _encoded(boxes: Tensor, defaults: Tensor) -> Tensor:
    """Return boxes by how far they are from the default ones, in units of SSD's: (B, A, 4)."""
    sides, middle = _sides_and_middle(defaults)
    own_sides, own_middle = _sides_and_middle(boxes)
    shift = SHIFTS[0] * (own_middle - middle) / sides
    return torch.cat([shift, SHIFTS[1] * torch.log(own_sides / sides)], dim=-1)


def fcos_losses(outputs: Tensor, annotations: Tensor) -> Tensor:
    """Return FCOS's loss of each image, (B,): arXiv:1904.01355.

    Focal loss of the classes of all points, and of those in an object's middle one less the
    generalised overlap, and the cross-entropy of centre-ness, over the number of the latter.

    outputs, annotations: as of `ssd_losses`.
    """
    given, truths = Parts.of(outputs), _Truths.of(annotations)
    match, apart = _fcos_match(given.defaults, truths)
    positive = match >= 0
    boxes, classes = truths.of_match(match)

    labels = functional.one_hot(classes, given.logits.shape[2]) * positive[..., None]
    focal = sigmoid_focal_loss(given.logits, labels.to(given.logits), reduction="none").sum(dim=2)
    focal = focal.masked_fill(apart & ~positive, 0)

    points = _sides_and_middle(given.defaults)[1]
    wanted = torch.where(positive[..., None], boxes, given.defaults)
    overlap = generalized_box_iou_loss(given.boxes, wanted, reduction="none")
    to_sides = torch.stack([points - wanted[..., :2], wanted[..., 2:] - points], dim=-1)
    nearest, farthest = to_sides.amin(dim=-1), to_sides.amax(dim=-1)
    centreness = (nearest / farthest).prod(dim=-1).clamp(min=0).sqrt()
    off = functional.binary_cross_entropy_with_logits(
        given.beside[..., 0], centreness, reduction="none"
    )
    losses: Tensor = focal + positive * (overlap + off)
    return losses.sum(dim=1) / positive.sum(dim=1).clamp(min=1)


def _fcos_match(points: Tensor, truths: _Truths) -> tuple[Tensor, Tensor]:
    """Return which object each point is for, -1 for none: (B, A).

    The smallest in whose middle it is and that is of its level's size. And whether it is in a
    region that does not count: (B, A).

    points: (A, 4), boxes as large as a stride around them.
    """
    sides, middle = _sides_and_middle(points)
    strides = sides[:, 0].round()  # which may have lost their last bit
    centre = (truths.boxes[..., :2] + truths.boxes[..., 2:]) / 2
    near = (middle - centre[:, :, None]).abs().amax(dim=-1) < _RADIUS * strides  # (B, M, A)
    to_sides = _to_sides(middle, truths.boxes)
    inside, reach = to_sides.amin(dim=-1) > 0, to_sides.amax(dim=-1)
    least = torch.where(strides == strides.min(), 0.0, _REACH[0] * strides)
    most = torch.where(strides == strides.max(), torch.inf, _REACH[1] * strides)
    fits = near & inside & (reach > least) & (reach < most) & truths.counts[..., None]
    areas = _areas(truths.boxes)[..., None].expand_as(reach).masked_fill(~fits, torch.inf)
    smallest, match = areas.min(dim=1)
    return match.masked_fill(smallest == torch.inf, -1), _apart(to_sides, truths)


def _sides_and_middle(boxes: Tensor) -> tuple[Tensor, Tensor]:
    first, last = boxes[..., :2], boxes[..., 2:]
    return last - first, (first + last) / 2


def _areas(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1)


def _intersections(ones: Tensor, others: Tensor) -> Tensor:
    """Return by how much boxes (B, M, 4) meet each of others, (A, 4): (B, M, A)."""
    ones = ones[:, :, None]
    sides = torch.minimum(ones[..., 2:], others[:, 2:]) - torch.maximum(
        ones[..., :2], others[:, :2]
    )
    return sides.clamp(min=0).prod(dim=-1)


def matches(outputs: Tensor, annotations: Tensor, head: str) -> Tensor:
    """Return which object each default box learns, -1 for none: (B, A).

    outputs, annotations: as of `ssd_losses`.
    """
    find = _ssd_match if head == "ssdlite" else _fcos_match
    return find(Parts.of(outputs).defaults, _Truths.of(annotations))[0]


BOX_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ssdlite": ssd_losses,
    "fcos": fcos_losses,
}
"""By head: (outputs, annotations) -> the loss of each image."""
