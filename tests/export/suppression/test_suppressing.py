"""Suppression within graphs: the same boxes as behind them, in every target that runs here."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.task_networks import detector, things
from torch import Tensor

from nas.base.errors import SpecError
from nas.export import TARGETS
from nas.export.conversion import convert, open_graph, write_files
from nas.export.outputs import detection as outputs
from nas.export.parity import ValidationScores, predict_validation
from nas.export.suppression import Suppressing, greedily_kept
from nas.export.winner import Winner
from nas.spec.suppression import SUPPRESSION, Suppression
from nas.spec.task import OWN, TASKS, Task
from nas.training.suppression import suppressed

SIZE = "64x48"
HEADS = tuple(head for head in TASKS["detection"].heads if head != OWN)
SLOWEST = pytest.param(
    "pt2", "fcos", marks=pytest.mark.slow
)  # as many steps as boxes, that torch.export follows one by one
LIMITS = (
    SUPPRESSION,
    Suppression(score=0.2, overlap=0.3, most=7),
    Suppression(score=0.0, candidates=30),
    Suppression(overlap=1.0, most=3),
    Suppression(score=1.0),
)


def rows_of(given: Tensor) -> list[Tensor]:
    """The boxes kept of each image, of what a graph that suppresses gives."""
    return [image[image[:, 5] >= 0] for image in given]


@lru_cache
def detected(head: str) -> tuple[Winner, ValidationScores]:
    winner = detector(head, SIZE, steps=20)
    return winner, predict_validation(winner, things(SIZE), 16)


@pytest.mark.parametrize("head", HEADS)
def test_it_keeps_the_boxes_that_trainings_keep(head: str) -> None:
    _, images = detected(head)
    given = torch.from_numpy(images.scores)
    for limits in LIMITS:
        found = Suppressing(head, (64, 48), limits, greedily_kept)(given)
        wanted = suppressed(given, head, (64, 48), limits)
        assert found.shape == (len(given), min(limits.most, limits.candidates), 6)
        for one, other in zip(rows_of(found), wanted, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-5)


def boxes_given(boxes: list[list[float]], logits: list[list[float]]) -> Tensor:
    """One image of 32 pixels, as SSDLite gives it: a default box each."""
    rows = [[*box, *logit, 0, 0, 32, 32] for box, logit in zip(boxes, logits, strict=True)]
    return torch.tensor([rows], dtype=torch.float32)


def test_by_hand() -> None:
    """Half an overlap is not yet too much; a box without area is a box; the rest is of class -1."""
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 6], [7, 7, 7, 7], [20, -9, 50, 9]]
    given = boxes_given(boxes, [[0, 5, -9], [0, 4, -9], [0, 3, -9], [0, 2, -9], [0, -9, 1]])
    (found,) = Suppressing("ssdlite", (32, 32), SUPPRESSION, greedily_kept)(given)
    kept = found[found[:, 5] >= 0]
    assert kept[:, 5].tolist() == [0, 0, 0, 1]
    assert kept[:, :4].tolist() == [boxes[0], boxes[1], boxes[3], [20, 0, 32, 9]]
    assert found.shape == (10, 6)  # two classes of five default boxes are all that there is
    assert set(found[len(kept) :, 5].tolist()) == {-1.0}
    (nothing,) = Suppressing("ssdlite", (32, 32), Suppression(score=1), greedily_kept)(given)
    assert set(nothing[:, 5].tolist()) == {-1.0}


@pytest.mark.parametrize(
    ("name", "head"),
    [*((name, head) for name in ("onnx", "openvino", "torchscript") for head in HEADS), SLOWEST],
)
def test_graphs_keep_the_same_boxes(name: str, head: str, tmp_path: Path) -> None:
    winner, images = detected(head)
    target = TARGETS[name]
    inside = replace(winner, suppression=SUPPRESSION)
    write_files(convert(target, lambda: target.write(inside)).files, tmp_path / "network")
    session = open_graph(name, tmp_path / f"network{target.main}")
    scores = images.compare(session, target.tolerance)
    assert scores.parity.holds and scores.parity.agreement > 0.999
    assert dict(scores.figures) == pytest.approx(dict(images.figures), abs=1e-3)
    given = session(images.images)
    assert given.shape == (16, SUPPRESSION.most, 6)
    np.testing.assert_allclose(session(images.images[2:3])[0], given[2], atol=1e-3)
    own = outputs.kept(given, {})
    behind = suppressed(torch.from_numpy(images.scores), head, (64, 48))
    for one, other in zip(own, behind, strict=True):
        np.testing.assert_allclose(one, other.numpy(), atol=2e-3)


def test_onnx_does_it_by_its_own_operator_and_in_fp32(tmp_path: Path) -> None:
    winner, images = detected("ssdlite")
    inside = replace(winner, suppression=SUPPRESSION)
    quantise = TARGETS["onnx"].quantise
    assert quantise is not None
    (content,) = quantise(inside, images.images).files.values()
    graph = onnx.load_from_string(content)
    onnx.checker.check_model(graph)
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("NonMaxSuppression") == 1 and "QuantizeLinear" in kinds
    behind = [node for node in graph.graph.node if node.name.startswith("suppression/")]
    assert behind and not any("Quantize" in node.op_type for node in behind)


def test_what_cannot_be_suppressed_is_said() -> None:
    boxes, masks = Task("detection", 2, "ssdlite"), Task("segmentation", 3, "lraspp")
    for target in TARGETS.values():
        with pytest.raises(SpecError, match="networks for segmentation give none"):
            target.check_suppresses(masks, int8=False)
        if not target.classifies:
            target.check_suppresses(boxes, int8=False)
    with pytest.raises(SpecError, match="own code makes them"):
        TARGETS["onnx"].check_suppresses(Task("detection", 2, OWN), int8=False)
    with pytest.raises(SpecError, match="litert would quantise the suppression of boxes, too"):
        TARGETS["litert"].check_suppresses(boxes, int8=True)
    TARGETS["openvino"].check_suppresses(boxes, int8=True)


def test_lists_of_boxes_are_told_apart() -> None:
    """Worked by hand: the rest of class -1 does not count, and a box too many of 100 may differ."""
    none = np.zeros((1, 100, 6)) - (0, 0, 0, 0, 0, 1)
    ones = none.copy()
    ones[0, :50] = [0, 0, 8, 8, 0.5, 1]
    assert outputs.apart(none, none, 32) == 0
    assert outputs.apart(ones, ones, 32) == 0
    assert outputs.apart(ones, none, 32) == 1
    moved, scored, named = ones.copy(), ones.copy(), ones.copy()
    moved[0, :50, 2] += 4
    scored[0, :50, 4] += 0.25
    named[0, :50, 5] = 0
    assert outputs.apart(ones, moved, 32) == 4 / 32
    assert outputs.apart(ones, scored, 32) == 0.25
    assert outputs.apart(ones, named, 32) == 1
    one_more = ones.copy()
    one_more[0, 50] = [20, 20, 30, 30, 0.06, 0]
    assert outputs.apart(ones, one_more, 32) == 0
    broken = ones.copy()
    broken[0, :50, 0] = np.nan
    assert not outputs.apart(ones, broken, 32) < 1e-3
