"""Average precision from marks beside pycocotools: the same, how fast, and how sure.

    python -m benchmarks.tasks.average_precision --images 300

Needs pycocotools; runs in a minute. Prints of simulated images with boxes, `--images` of them:
- seconds for marks and figures, and for pycocotools; by how much the figures differ at most.
- seconds for 2,000 draws of a bootstrap over images.
- standard errors of two networks and of the gap between them, by the bootstrap and from what a
  study keeps of each: the root mean square over `--repeats` sets of images.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nas.study.detection_marks import detection_figures, detection_marks, stack_marks
from nas.study.full_training import pack_marks, unpack_marks
from nas.study.marks import figure_covariance

Boxes = NDArray[np.float64]

_CLASSES = 3
_SIDE = 200
_NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def simulated(
    rng: np.random.Generator, images: int, guesses: float
) -> tuple[list[Boxes], list[list[Boxes]]]:
    """Return the objects of images, and what two networks found of them, the second less well.

    Objects that are hard are so for both.
    """
    truths, found = [], [[], []]  # type: tuple[list[Boxes], list[list[Boxes]]]
    for _ in range(images):
        count = rng.poisson(4)
        corner, sides = rng.random((count, 2)) * _SIDE, rng.random((count, 2)) * 60 + 20
        kinds, hard = rng.integers(_CLASSES, size=count), rng.random(count)
        true = np.column_stack([corner, corner + sides, kinds, np.zeros(count)])
        truths.append(true)
        by_image = rng.normal(0, 0.2)
        for told, skill in zip(found, (0.8, 0.74), strict=True):
            quality = np.clip(skill - hard / 2 + by_image + rng.normal(0, 0.15, count), 0, 1)
            moved = rng.normal(size=(count, 4)) * (0.02 + 0.15 * (1 - quality))[:, None]
            right = rng.random(count) < 0.6 + 0.4 * quality
            score = np.clip(quality + rng.normal(0, 0.15, count), 0.01, 1)
            kind = np.where(right, kinds, rng.integers(_CLASSES, size=count))
            boxes = true[:, :4] + moved * np.tile(sides, 2)
            seen = np.column_stack([boxes, score, kind])
            extra = rng.poisson(guesses)
            start, kind = rng.random((extra, 2)) * _SIDE, rng.integers(_CLASSES, size=extra)
            end, score = start + 20 + rng.random((extra, 2)) * 60, rng.random(extra) / 2
            told.append(np.concatenate([seen, np.column_stack([start, end, score, kind])]))
    return truths, found


def marks_of(truths: list[Boxes], found: list[Boxes]) -> NDArray[np.float64]:
    """Return the marks of all images."""
    return stack_marks([detection_marks(*pair) for pair in zip(found, truths, strict=True)])


def by_pycocotools(truths: list[Boxes], found: list[Boxes]) -> Any:
    """Return the figures that pycocotools gives."""
    true = [
        {"id": number, "image_id": image, "category_id": int(box[4]), "iscrowd": int(box[5]),
         "bbox": [*box[:2], *(box[2:4] - box[:2])], "area": np.prod(box[2:4] - box[:2])}
        for number, (image, box) in enumerate(
            ((image, box) for image, boxes in enumerate(truths) for box in boxes), 1)
    ]  # fmt: skip
    told = [
        {"image_id": image, "category_id": int(box[5]), "score": box[4],
         "bbox": [*box[:2], *(box[2:4] - box[:2])]}
        for image, boxes in enumerate(found) for box in boxes
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(truths))],
            "categories": [{"id": kind} for kind in range(_CLASSES)],
            "annotations": true,
        }
        known.createIndex()
        judged = COCOeval(known, known.loadRes(told), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged.stats[: len(_NAMES)]


def errors(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the variances of both networks and of their gap, (3,)."""
    gap = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    return np.array([covariance[0, 0], covariance[1, 1], gap])


def speed(images: int, guesses: float) -> None:
    """Print seconds and differences."""
    truths, (found, _) = simulated(np.random.default_rng(0), images, guesses)
    start = time.perf_counter()
    marks = marks_of(truths, found)
    figures = detection_figures(marks)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    theirs = by_pycocotools(truths, found)
    their = time.perf_counter() - start
    differences = [
        abs(figures.get(name, -1.0) - one) for name, one in zip(_NAMES, theirs, strict=True)
    ]
    start = time.perf_counter()
    figure_covariance("detection", [[marks]], images)
    drawn = time.perf_counter() - start
    print(f"{images} images, {sum(map(len, truths))} objects, {sum(map(len, found))} detections")
    print(f"marks and figures {ours:.2f} s, pycocotools {their:.2f} s")
    print(f"largest difference of a figure {max(differences):.1e}")
    print(f"2,000 draws {drawn:.1f} s")


def sureness(images: int, guesses: float, repeats: int) -> None:
    """Print standard errors by the bootstrap, and from what a study keeps."""
    drawn, kept = [], []
    for seed in range(repeats):
        truths, found = simulated(np.random.default_rng(seed), images, guesses)
        marks = [marks_of(truths, told) for told in found]
        few = [unpack_marks("detection", pack_marks("detection", one)) for one in marks]
        drawn.append(errors(figure_covariance("detection", [[one] for one in marks], images)))
        kept.append(errors(figure_covariance("detection", [[one] for one in few], images)))
    for name, variances in (("bootstrap", drawn), ("what is kept", kept)):
        one, other, gap = 100 * np.sqrt(np.mean(variances, axis=0))
        print(f"{name:12}  {one:.2f} and {other:.2f} points, gap {gap:.2f}")


def main() -> None:
    """Read arguments, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--guesses", type=float, default=50.0, help="boxes of nothing, an image")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    speed(asked.images, asked.guesses)
    sureness(asked.images, asked.guesses, asked.repeats)


if __name__ == "__main__":
    main()
