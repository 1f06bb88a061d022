"""The words of tasks."""

from __future__ import annotations

from typing import get_args

import pytest

from nas.base.errors import SpecError
from nas.data import Annotated
from nas.spec.task import ACCURACY, EMBEDDING, TASKS, Figure, Task, TaskName

MIOU = Figure("miou", "mIoU")


def test_every_task_reads_what_images_can_have() -> None:
    assert set(TASKS) == set(get_args(TaskName))
    assert {kind.annotated for kind in TASKS.values()} == set(get_args(Annotated))
    assert all(kind.figures and kind.heads for kind in TASKS.values())


def test_a_task_has_the_outputs_and_the_head_that_it_needs() -> None:
    assert Task.of("segmentation", 21) == Task("segmentation", 21, "lraspp")
    assert Task.of("retrieval", 7).outputs == EMBEDDING
    keys = {Task.of(name, 21).key for name in TASKS} | {Task.of("segmentation", 21, "unet").key}
    assert len(keys) == 5 and "21" in keys


@pytest.mark.parametrize(
    ("name", "head", "message"),
    [
        ("poses", None, "task 'poses'; allowed: classification, segmentation, retrieval, detec"),
        ("retrieval", "unet", "head 'unet'; allowed for retrieval: embedding"),
    ],
)
def test_what_no_task_has_is_refused(name: str, head: str | None, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Task.of(name, 3, head)


def test_a_figure_has_its_own_name_wherever_it_is_shown() -> None:
    assert MIOU.column("retrained_accuracy") == "retrained_miou"
    assert MIOU.known_as("retrained_miou") == "retrained_accuracy"
    ap = TASKS["detection"].figures[0]
    assert ap.known_as("retrained_test_ap") == "retrained_test_accuracy"
    assert [ap.known_as(name) for name in ("ap50", "shape")] == ["ap50", "shape"]
    assert MIOU.worded("validation accuracy, %") == "validation mIoU, %"
    assert MIOU.column("latency_ms") == MIOU.known_as("latency_ms") == "latency_ms"
    for text in ("retrained_accuracy", "loss"):
        assert ACCURACY.column(text) == ACCURACY.known_as(text) == ACCURACY.worded(text) == text
    with pytest.raises(SpecError, match="networks are judged by miou here"):
        MIOU.known_as("accuracy")
