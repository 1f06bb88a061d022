"""What a network of one's own brings is gone through before anything is trained."""

from __future__ import annotations

import pytest
import torch
from support import own_detectors

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.models.build import build
from nas.runs.own_rehearsal import rehearse_own
from nas.runs.rehearsal import Rehearsal
from nas.spec.architecture import Architecture
from nas.spec.task import Task

TASK = Task("detection", 3, "own")


def rehearse(name: str, classes: int | None = 3) -> list[str]:
    plain = Architecture(f"support.own_detectors:{name}", 64)
    network = build(plain, task=TASK)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    rehearsal = Rehearsal(plain, Size(64, 64), TASK)
    try:
        return [
            *rehearse_own(rehearsal, network, classes=classes),
            *rehearsal.outputs(network),
            *(rehearsal.scores(network) or ()),
        ]
    finally:
        assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize(
    "name", ["Right", "Small", "MeanLoss", "Queries", "ssd", "fcos", "retinanet"]
)
def test_what_is_right_passes_and_is_left_as_it_was(name: str) -> None:
    assert rehearse(name) == []
    assert rehearse(name, None) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoMethods", r"NoMethods has no loss\(batch\) and predict\(images\), .* write them"),
        ("OtherLoss", r"its loss takes \(outputs: .*\) -> .*; allowed: loss\(batch\)"),
        ("rcnn", "FasterRCNN is of two stages: .* take SSD, FCOS or RetinaNet"),
        ("GivesDict", "gives a dict of 'logits', 'boxes' for 2 images; allowed: one tensor"),
        ("GivesList", "gives a list of 1 for 2 images; allowed: one tensor"),
        ("LossDict", "its loss in training mode gives a dict of 'box'; .*: add them up"),
        ("LossNumber", "its loss in training mode gives a float for 2 images; allowed: one float"),
        ("LossOfPlaces", r"gives a tensor 224 for 2 images; allowed: one float tensor, the mean"),
        ("LossNaN", "its loss in training mode is not finite"),
        ("LossWithoutGradient", "its loss in training mode has no gradient"),
        ("LossSum", "its loss of one image given twice is .*: a mean .* is allowed, not a sum"),
        ("LossRandom", "its loss in evaluation mode is random: it gives another for the same"),
        ("LossesRandom", "its loss in evaluation mode is random"),
        ("LossOfOthers", "an image's own depends on the others in the batch"),
        ("LossTrains", "its loss in evaluation mode changes backbone.body.0.1"),
        ("LossMovesNorms", "its loss in evaluation mode changes backbone.body.0.1.running_mean"),
        (
            "LossInTrainingAlone",
            "its loss fails in evaluation mode: .* losses are of training mode",
        ),
        ("LossWantsObjects", "its loss fails in training mode: .* labels go from 0 to 2 here"),
        ("PredictsOne", "its predict gives a dict of 'boxes', .* for 2 images; allowed: a list"),
        ("PredictsTensor", "its predict gives a tensor 2x16x7 for 2 images; allowed: a list"),
        ("PredictsTooFew", "its predict gives 1 dicts for 2 images"),
        ("PredictsOtherKeys", r"a dict without boxes and labels \(it has bbox, scores, classes\)"),
        ("PredictsTurned", r"box 24.0, 24.0, 8.0, 8.0; allowed: .* \(image 0 of a batch of 2\)"),
        ("PredictsNaN", "boxes that are not finite"),
        ("PredictsBeyond", "label 99; allowed: from 0 to 2, of 3 classes, without a background"),
        ("PredictsBelow", "label -1; allowed: from 0 to 2"),
        ("PredictsFloats", "labels as float32; allowed: whole numbers"),
        ("PredictsLogits", "score 3.*; allowed: from 0 to 1"),
        ("PredictsUnequal", r"boxes 1x4, scores 2, labels 1; allowed: .* of one length"),
        ("PredictsArrays", "boxes as a list; allowed: a tensor"),
        ("PredictsElsewhere", r"its predict asks its forward not at all, .* self\(images\) once"),
        ("PredictsOneByOne", "its predict asks its forward for 1, 1 images, where it got 2"),
        ("PredictsMoves", "its predict in evaluation mode changes backbone.body.0.1"),
    ],
)
def test_what_is_wrong_is_one_line(name: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        rehearse(name)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"backbone 'support.own_detectors:{name}'")


def test_every_wrong_one_is_tried() -> None:
    wrong = {
        name
        for name, kind in vars(own_detectors).items()
        if isinstance(kind, type) and name.startswith(("Loss", "Predicts", "Gives"))
    }
    marks = test_what_is_wrong_is_one_line.pytestmark  # type: ignore[attr-defined]
    tried = {name for name, _ in marks[0].args[1]}
    assert wrong - tried == {"PredictsOthers"}
