"""What a network of classification is judged to be."""

from __future__ import annotations

import math

import pytest
import torch

from nas.data import Split
from nas.spec.task import Task
from nas.training.tasks import training_task

LABELS = [0, 0, 1, 2]


def accuracy_of(answers: list[int]) -> float:
    split = Split(torch.zeros(4, 4, 4, 3, dtype=torch.uint8), torch.tensor(LABELS))
    scorer = training_task(Task(outputs=3)).scorer(split)
    scorer.add(torch.eye(3)[answers])
    return scorer.score().accuracy


def test_one_class_for_every_image_is_no_better_than_a_constant_prediction() -> None:
    split = Split(torch.zeros(4, 4, 4, 3, dtype=torch.uint8), torch.tensor(LABELS))
    constant = training_task(Task(outputs=3)).constant_prediction(split)
    assert constant.accuracy == 0.5
    assert constant.loss == pytest.approx(1.5 * math.log(2))
    assert all(constant.explains(accuracy_of([told] * 4)) for told in range(3))
    assert not constant.explains(accuracy_of([0, 0, 1, 1]))
