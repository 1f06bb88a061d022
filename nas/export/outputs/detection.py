"""What the graph gives, and how to use it: boxes, each with scores of classes.

    from outputs import back, kept, read_limits
    limits = read_limits("preprocessing.json")
    boxes = kept(given, limits)[0]                     # (D, 6), the highest score first
    whole = back(boxes, picture.shape[:2], (H, W), "stretch")  # in pixels of the picture
    results = as_coco(whole, image_id, read_categories("preprocessing.json"))

The graph gives (N, A, 9 + classes): of each of A default boxes that which was made from it, x1, y1,
x2, y2 in pixels of what the graph reads; a logit of the background (SSDLite) or of how near its
middle is to the object's (FCOS); a logit of each class; and the default box. A graph that
suppresses boxes itself gives (N, D, 6): the D best of each image as `kept` has them, class -1 where
there are fewer. What reads the one here reads the other. Needs numpy alone.
"""

# attention-nas copies this file into packs as outputs.py: it must not import from the project.

from __future__ import annotations

import importlib.util
import json
import struct
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Given = NDArray[np.float32]
Boxes = NDArray[np.float64]
Limits = Mapping[str, Any]

ALIKE = "same boxes for"
SAME = 0.5
"""The intersection over union from which on two boxes of a class are the same."""

_COLUMNS = 6
_ALL_BUT = 0.03  # of the boxes of two lists: rounding decides which of two at a limit is kept


def read_limits(preprocessing: str | Path) -> Limits:
    """Which boxes are kept, from preprocessing.json: see `kept`."""
    limits: Limits = json.loads(Path(preprocessing).read_text(encoding="utf-8"))["suppression"]
    return limits


def read_categories(preprocessing: str | Path) -> list[int] | None:
    """The number of each class in the files that were learnt from; None: they had none.

    Of classes that were merged into one, the least.
    """
    held = json.loads(Path(preprocessing).read_text(encoding="utf-8")).get("categories")
    return None if held is None else [files[0]["id"] for files in held]


def as_coco(
    boxes: Boxes, image_id: int | str, categories: list[int] | None = None
) -> list[dict[str, Any]]:
    """Boxes (D, 6) as COCO's files of results have them: bbox is x, y, width, height.

    categories: the number of each class; None: its line in labels.txt from 0.
    """
    return [
        {
            "image_id": image_id,
            "category_id": int(box[5]) if categories is None else categories[int(box[5])],
            "bbox": [float(value) for value in (*box[:2], *(box[2:4] - box[:2]))],
            "score": float(box[4]),
        }
        for box in boxes
    ]


def are_suppressed(given: Given) -> bool:
    """Say whether the graph has suppressed boxes itself: it then gives those that are kept."""
    return bool(given.shape[2] == _COLUMNS)


def class_scores(given: Given, head: str) -> NDArray[np.float64]:
    """The score of each class, 0 to 1: (A, 9 + classes) -> (A, classes)."""
    logits = given[:, 4:-4].astype(np.float64)
    if head == "fcos":
        shares = 1 / (1 + np.exp(-logits))
        return np.asarray(np.sqrt(shares[:, 1:] * shares[:, :1]))
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray((shares / shares.sum(axis=1, keepdims=True))[:, 1:])


def read_size(given: Given) -> tuple[float, float]:
    """Height and width of what the graph reads: default boxes lie evenly on it."""
    middle = (given[0, :, -4:-2].astype(np.float64) + given[0, :, -2:]) / 2
    width, height = middle.min(axis=0) + middle.max(axis=0)
    return float(height), float(width)


def kept(given: Given, limits: Limits) -> list[Boxes]:
    """The boxes of each image that are kept, the highest score first: (D, 6) each.

    x1, y1, x2, y2, score, class; cut at the edges of what the graph reads.

    limits: head, whose scores these are; score, the least that is looked at; candidates, how many
        are; overlap, from which on the lower of two of a class is left out; most, how many stay.
    """
    if are_suppressed(given):
        return [image[image[:, 5] >= 0].astype(np.float64) for image in given]
    height, width = read_size(given)
    edge = np.array([width, height, width, height])
    detections = []
    for image in given:
        scores = class_scores(image, limits["head"])
        flat = scores.ravel()
        order = np.argsort(-flat, kind="stable")[: limits["candidates"]]
        order = order[flat[order] > limits["score"]]
        places, classes = np.divmod(order, scores.shape[1])
        boxes = image[places, :4].astype(np.float64).clip(0, edge)
        rows = np.column_stack([boxes, flat[order], classes])
        detections.append(rows[_not_twice(rows, limits["overlap"])[: limits["most"]]])
    return detections


def _not_twice(rows: Boxes, overlap: float) -> NDArray[np.int64]:
    """The rows, best first, that no better one of their class meets by more."""
    left = np.ones(len(rows), np.bool_)
    for row in range(len(rows)):
        if left[row]:
            behind = slice(row + 1, None)
            near = overlaps(rows[row : row + 1], rows[behind])[0] > overlap
            left[behind] &= ~(near & (rows[behind, 5] == rows[row, 5]))
    return np.flatnonzero(left)


def overlaps(ones: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Intersections over unions of n boxes with m: (n, m)."""
    sides = np.minimum(ones[:, None, 2:4], others[None, :, 2:4])
    sides = np.maximum(sides - np.maximum(ones[:, None, :2], others[None, :, :2]), 0)
    both = sides.prod(axis=2)
    areas = [(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (ones, others)]
    union = areas[0][:, None] + areas[1] - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0))


def answers(given: Given, limits: Limits) -> Boxes:
    """The boxes kept of each image, (N, most, 6), filled up with boxes of class -1."""
    held = np.zeros((len(given), limits["most"], _COLUMNS))
    held[..., 5] = -1
    for image, boxes in zip(held, kept(given, limits), strict=True):
        image[: len(boxes)] = boxes
    return held


def alike(ones: Boxes, others: Boxes) -> float:
    """The share of the boxes kept of images, (N, most, 6) twice, that both have."""
    same = count = 0
    for one, other in zip(ones, others, strict=True):
        one, other = one[one[:, 5] >= 0], other[other[:, 5] >= 0]
        meets = (overlaps(one, other) >= SAME) & (one[:, 5][:, None] == other[:, 5])
        same += int(meets.any(axis=1).sum() + meets.any(axis=0).sum())
        count += len(one) + len(other)
    return same / count if count else 1.0


def apart(ones: Boxes, others: Boxes, side: float) -> float:
    """How far the boxes kept of images, (N, most, 6) twice, are from each other.

    The largest difference, of all boxes but 3 of 100, from the nearest box of its class that the
    other has: of the score, or of a corner as a share of the side. 1 where it has none.
    """
    scale = np.array([side] * 4 + [1])
    far: list[NDArray[np.float64]] = []
    for one, other in zip(ones, others, strict=True):
        one, other = one[one[:, 5] >= 0], other[other[:, 5] >= 0]
        between = np.abs(one[:, None, :5] - other[None, :, :5]) / scale
        distances = np.where(one[:, None, 5] == other[None, :, 5], between.max(axis=2), 1.0)
        far += [distances.min(axis=axis, initial=1.0) for axis in (0, 1)]
    every = np.sort(np.concatenate(far))
    return float(every[int((1 - _ALL_BUT) * (len(every) - 1))]) if len(every) else 0.0


def comparable(given: Given) -> Given:
    """The same with boxes as shares of the image, so that they and logits are of one size."""
    shares = given.copy()
    side = max(read_size(given))
    shares[..., :4] /= side
    shares[..., -4:] /= side
    return shares


def back(boxes: Boxes, picture: tuple[int, int], size: tuple[int, int], fit: str) -> Boxes:
    """Boxes (D, 6) where they lie on the picture before it was resized.

    picture: height and width of the upright picture.
    size: of what the graph reads, and fit, what became of it: of preprocessing.json.
    """
    (height, width), (high, wide) = picture, size
    x, y, left, top = wide / width, high / height, 0.0, 0.0
    flat = width * high >= height * wide
    if fit == "crop":
        scale = y if flat else x
        left, top = (wide - width * scale) / 2, (high - height * scale) / 2
        x = y = scale
    elif fit == "pad":
        if flat:
            seen = max(1, round(wide * height / width))
            y, top = seen / height, float((high - seen) // 2)
        else:
            seen = max(1, round(high * width / height))
            x, left = seen / width, float((wide - seen) // 2)
    moved = boxes.copy()
    moved[:, :4] = (boxes[:, :4] - (left, top) * 2) / ((x, y) * 2)
    moved[:, :4] = moved[:, :4].clip(0, (width, height) * 2)
    return moved


def colour(number: int) -> tuple[int, int, int]:
    """The colour of a class, as PASCAL VOC has it, but that none is black."""
    number, red, green, blue = number + 1, 0, 0, 0
    for bit in range(8):
        red |= (number >> (3 * bit) & 1) << (7 - bit)
        green |= (number >> (3 * bit + 1) & 1) << (7 - bit)
        blue |= (number >> (3 * bit + 2) & 1) << (7 - bit)
    return red, green, blue


def drawn(picture: NDArray[np.uint8], boxes: Boxes) -> NDArray[np.uint8]:
    """The outlines of boxes (D, 6) on a picture (height, width, 3), the best on top."""
    pixels = picture.copy()
    height, width, _ = pixels.shape
    thick = max(1, round(min(height, width) / 200))
    for box in boxes[::-1]:
        x1, y1, x2, y2 = (round(float(value)) for value in box[:4])
        rows, columns = slice(y1, max(y2, y1 + 1)), slice(x1, max(x2, x1 + 1))
        paint = colour(int(box[5]))
        pixels[rows, x1 : x1 + thick] = pixels[rows, max(0, x2 - thick) : x2] = paint
        pixels[y1 : y1 + thick, columns] = pixels[max(0, y2 - thick) : y2, columns] = paint
    return pixels


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write (height, width, 3)."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with 0: not filtered
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
    )


def figures(kept_boxes: list[Boxes], objects: NDArray[np.float32]) -> dict[str, float]:
    """AP and its kin, 0 to 1, as COCO's evaluation has them; by average_precision.py.

    objects: (N, M, 6), what there is: x1, y1, x2, y2, class (-1: nothing), 1 for a crowd.
    """
    path = Path(__file__).with_name("average_precision.py")
    spec = importlib.util.spec_from_file_location("pack_average_precision", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look for theirs
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # a pack stays as it is
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    marks = [
        module.detection_marks(boxes, one) for boxes, one in zip(kept_boxes, objects, strict=True)
    ]
    found: dict[str, float] = module.detection_figures(module.stack_marks(marks))
    return found


def compare(
    infer: Callable[[slice], Given], samples: Mapping[str, NDArray[Any]]
) -> tuple[float, float, str, str]:
    """Compare a graph with the network on the samples.

    infer: what the graph gives for some of the samples.
    samples: images; what the network gave, comparable; what was kept of it; objects; limits.
    Returns the largest difference, the share of boxes that both have, of what that is a share, and
    how good the graph is.
    """
    limits: Limits = json.loads(str(samples["limits"]))
    difference, answers_of_batches = 0.0, []
    for row in range(len(samples["images"])):
        one = slice(row, row + 1)
        given = infer(one)
        answers_of_batches.append(answers(given, limits))
        if not are_suppressed(given):
            by = float(np.abs(comparable(given) - samples["scores"][one]).max())
            difference = max(difference, by) if np.isfinite(by) else np.inf
    boxes_of_images = np.concatenate(answers_of_batches)
    if are_suppressed(given):
        difference = apart(boxes_of_images, samples["answers"], max(samples["images"].shape[1:3]))
    boxes = [image[image[:, 5] >= 0] for image in boxes_of_images]
    of = figures(boxes, samples["objects"])
    summary = f"AP {of['ap']:.1%} and AP50 {of['ap50']:.1%}"
    return (
        difference,
        alike(boxes_of_images, samples["answers"]),
        f"the boxes of {len(boxes_of_images)} images",
        summary,
    )


def show(
    given: Given,
    picture: NDArray[np.uint8],
    name: str,
    pack: Path,
    fit: str,
    _samples: Mapping[str, NDArray[Any]],
) -> str:
    """Draw boxes on a picture, and say what was found; all that are kept go into a file of JSON.

    Files are made in the folder that is the current one.
    """
    preprocessing = json.loads((pack / "preprocessing.json").read_text(encoding="utf-8"))
    (boxes,) = kept(given, preprocessing["suppression"])
    height, width = preprocessing["size"]
    boxes = back(boxes, (picture.shape[0], picture.shape[1]), (height, width), fit)
    least = preprocessing["suppression"]["shown"]
    categories = read_categories(pack / "preprocessing.json")
    listed = as_coco(boxes, name, categories)
    Path(f"{name}-boxes.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
    boxes = boxes[boxes[:, 4] >= least]
    path = Path(f"{name}-boxes.png")
    write_png(path, drawn(picture, boxes))
    labels = (pack / "labels.txt").read_text(encoding="utf-8").splitlines()
    lines = [
        f"  {labels[int(box[5])]}{_numbered(box, categories)} {box[4]:.1%}: {box[0]:.0f}, "
        f"{box[1]:.0f} to {box[2]:.0f}, {box[3]:.0f}, colour {colour(int(box[5]))}"
        for box in boxes
    ]
    return "\n".join([f"{path}:", *(lines or [f"  nothing of a score from {least:.0%} on"])])


def _numbered(box: NDArray[np.float64], categories: list[int] | None) -> str:
    return "" if categories is None else f" (category {categories[int(box[5])]})"
