"""Average precision, against pycocotools and by hand."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from nas.study.detection_marks import (
    Boxes,
    average_precisions,
    box_overlaps,
    detection_figures,
    detection_marks,
    precision_by_group,
    precision_of_draws,
    stack_marks,
)
from nas.study.full_training import pack_marks, unpack_marks
from nas.study.marks import figure_covariance, figure_gap, figures_of

NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")


def scenes(
    rng: np.random.Generator, images: int, classes: int, skill: float = 0.9, guesses: int = 6
) -> tuple[list[Boxes], list[Boxes]]:
    """Detections and truths of images of any shape: crowds, empty images, areas of their own."""
    detections, truths = [], []
    for _ in range(images):
        size, objects = rng.integers(40, 400, 2), int(rng.integers(0, 8))
        corner, sides = rng.random((objects, 2)) * size, rng.random((objects, 2)) * size * 0.6 + 2
        area = sides.prod(axis=1) * rng.uniform(0.5, 1, objects)
        of_class, crowd = rng.integers(0, classes, objects), rng.random(objects) < 0.15
        true = np.column_stack([corner, corner + sides, of_class, crowd, area])
        told = []
        for box in true[rng.integers(0, max(objects, 1), 2 * objects)]:
            moved = box[:4] + rng.normal(0, 1 - skill, 4) * np.tile(box[2:4] - box[:2], 2)
            kind = box[4] if rng.random() < skill else rng.integers(classes)
            told.append([*moved[:2], *np.maximum(moved[2:], moved[:2] + 0.5), 0.0, kind])
        for start in rng.random((rng.integers(0, guesses), 2)) * size:
            told.append([*start, *(start + rng.random(2) * 80 + 1), 0.0, rng.integers(classes)])
        found = np.array(told).reshape(-1, 6)
        # Scores are tied between images.
        found[:, 4] = rng.permutation(500)[: len(found)] / 500
        detections.append(found)
        truths.append(true)
    return detections, truths


def evaluated(detections: list[Boxes], truths: list[Boxes], classes: int) -> Any:
    """What pycocotools makes of them, whose categories have gaps."""
    number = {one: 3 * one + 2 for one in range(classes)}
    true = [
        {
            "id": row + 1,
            "image_id": image,
            "category_id": number[int(box[4])],
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "iscrowd": int(box[5]),
            "area": box[6],
        }
        for row, (image, box) in enumerate(
            (image, box) for image, boxes in enumerate(truths) for box in boxes
        )
    ]
    told = [
        {
            "image_id": image,
            "category_id": number[int(box[5])],
            "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]],
            "score": box[4],
        }
        for image, boxes in enumerate(detections)
        for box in boxes
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(truths))],
            "categories": [{"id": each} for each in number.values()],
            "annotations": true,
        }
        known.createIndex()
        judged = COCOeval(known, known.loadRes(told), "bbox")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return judged


def marks_of(detections: list[Boxes], truths: list[Boxes]) -> Any:
    return stack_marks([detection_marks(*pair) for pair in zip(detections, truths, strict=True)])


@pytest.mark.parametrize(
    ("seed", "images", "classes", "guesses"),
    [(0, 30, 3, 6), (1, 3, 1, 6), (2, 12, 5, 6), (3, 6, 2, 400), (4, 25, 2, 60)],
)
def test_figures_are_those_of_pycocotools(
    seed: int, images: int, classes: int, guesses: int
) -> None:
    """With crowds, images without objects, more than 100 detections, and areas not of boxes."""
    rng = np.random.default_rng(seed)
    detections, truths = scenes(rng, images, classes, guesses=guesses)
    judged, marks = evaluated(detections, truths, classes), marks_of(detections, truths)
    found = detection_figures(marks)
    assert [found.get(name, -1.0) for name in NAMES] == pytest.approx(judged.stats[:6], abs=1e-6)
    for size in range(4):
        table = judged.eval["precision"][:, :, :, size, 2].mean(axis=1).T
        mine = np.nan_to_num(average_precisions(marks, classes, size), nan=-1.0)
        np.testing.assert_allclose(mine, table, atol=1e-6)
    most = max(int((one[:, 5] == 0).sum()) for one in detections)
    assert (most > 100) == (guesses == 400)


def test_figures_of_drawn_images_are_those_of_pycocotools() -> None:
    """Where an image is drawn twice, it is there twice."""
    rng = np.random.default_rng(5)
    detections, truths = scenes(rng, 12, 2)
    times = rng.multinomial(12, np.full(12, 1 / 12), size=5)
    found = precision_of_draws(marks_of(detections, truths))(times)
    for drawn, value in zip(times, found, strict=True):
        rows = np.repeat(np.arange(12), drawn)
        judged = evaluated([detections[row] for row in rows], [truths[row] for row in rows], 2)
        assert value == pytest.approx(judged.stats[0], abs=1e-6)


def test_a_size_without_objects_has_no_figure_and_images_without_any_have_zeros() -> None:
    nothing, box = np.zeros((0, 6)), np.array([[0, 0, 20, 20, 1, 0]])
    told = np.array([[0, 0, 20, 20, 0.9, 1], [0, 0, 20, 20, 0.8, 0]])
    found = detection_figures(marks_of([told, nothing], [box, nothing]))
    assert found == pytest.approx({"ap": 1.0, "ap50": 1.0, "ap75": 1.0, "ap_small": 1.0})
    for empty in (marks_of([told], [nothing]), marks_of([nothing], [nothing]), stack_marks([])):
        assert detection_figures(empty) == {"ap": 0.0, "ap50": 0.0, "ap75": 0.0}
    assert precision_of_draws(marks_of([told], [nothing]))(np.ones((2, 1), int)).tolist() == [0, 0]


def test_average_precision_by_hand() -> None:
    """Of four objects two are found, one before and one after two boxes of nothing."""
    truths = np.array([[10 * one, 0, 10 * one + 8, 8, 0, 0] for one in range(4)], dtype=float)
    away = np.array([[0, 50, 8, 58, 0, 0]])
    told = np.concatenate([truths[:1], away, away, truths[1:2]]).astype(float)
    told[:, 4:] = [[0.9, 0], [0.8, 0], [0.7, 0], [0.6, 0]]
    # Up to a recall of 1/4, which are 26 of 101 recalls, all are right; up to 1/2, half of them.
    expected = (26 * 1.0 + 25 * 0.5) / 101
    found = detection_figures(marks_of([told], [truths]))
    assert found["ap"] == found["ap50"] == pytest.approx(expected)


def test_overlaps_with_a_crowd_are_shares_of_the_box_in_it() -> None:
    boxes, regions = np.array([[0, 0, 10, 10]]), np.array([[5, 0, 105, 10], [5, 0, 105, 10]])
    found = box_overlaps(boxes, regions, np.array([True, False]))
    assert found.tolist() == [[0.5, pytest.approx(50 / 1050)]]
    assert box_overlaps(boxes, np.array([[3, 3, 3, 3]])).tolist() == [[0.0]], "without an area"


def two_networks(seed: int, images: int) -> list[Any]:
    """The marks of a network, and of a worse one that errs on the same images."""
    detections, truths = scenes(np.random.default_rng(seed), images, 3, 0.95)
    rng = np.random.default_rng(seed + 1)
    worse = [boxes.copy() for boxes in detections]
    for boxes in worse:
        boxes[:, :2] += rng.normal(0, 2, (len(boxes), 2))
    return [marks_of(each, truths) for each in (detections, worse)]


def test_what_is_kept_of_networks_tells_them_apart_as_a_bootstrap_does() -> None:
    for seed, images in ((0, 60), (2, 250)):
        whole = two_networks(seed, images)
        kept = [unpack_marks("detection", pack_marks("detection", marks)) for marks in whole]
        assert [len(one) for one in kept] == [min(images, 200)] * 2
        drawn, told = (figure_covariance("detection", [[one] for one in both], images)
                       for both in (whole, kept))  # fmt: skip
        assert np.sqrt(np.diag(told)) == pytest.approx(np.sqrt(np.diag(drawn)), rel=0.15)
        one, other = (figure_gap("detection", both[:1], both[1:]) for both in (whole, kept))
        assert other.gap == pytest.approx(one.gap, abs=5e-4)
        assert other.error == pytest.approx(one.error, rel=0.2)


def test_what_groups_say_has_the_figure_as_its_mean() -> None:
    marks = two_networks(4, 40)[0]
    for groups in (7, 100):
        assert precision_by_group(marks, groups).shape == (min(groups, 40),)
        mean = precision_by_group(marks, groups).mean()
        assert mean == pytest.approx(figures_of("detection", marks)["ap"])
