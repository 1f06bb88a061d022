"""Tasks as trainings know them: one file each, one line each in `TASKS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nas.spec.task import Task, TaskName
from nas.training.tasks.classification import Classification
from nas.training.tasks.detection import Detection
from nas.training.tasks.retrieval import Retrieval
from nas.training.tasks.segmentation import Segmentation
from nas.training.tasks.task import Score, Scorer, TrainingTask

__all__ = ["TASKS", "Score", "Scorer", "TrainingTask", "training_task"]

TASKS: Mapping[TaskName, Callable[[Task], TrainingTask]] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "retrieval": Retrieval,
    "detection": Detection,
}


def training_task(task: Task) -> TrainingTask:
    """Return what a task is to a training."""
    return TASKS[task.name](task)
