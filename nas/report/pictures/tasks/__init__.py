"""Tasks as pictures know them: one file each, one line each in `TASKS`."""

from __future__ import annotations

from collections.abc import Mapping

from nas.report.pictures.tasks.classification import ClassificationPictures
from nas.report.pictures.tasks.detection import DetectionPictures
from nas.report.pictures.tasks.own_detection import OwnDetectionPictures
from nas.report.pictures.tasks.retrieval import RetrievalPictures
from nas.report.pictures.tasks.segmentation import SegmentationPictures
from nas.report.pictures.tasks.task import LegendEntry, Picture, Prediction, TaskPictures
from nas.spec.task import OWN, Task, TaskName

__all__ = ["TASKS", "LegendEntry", "Picture", "Prediction", "TaskPictures", "task_pictures"]

TASKS: Mapping[TaskName, TaskPictures] = {
    "classification": ClassificationPictures(),
    "segmentation": SegmentationPictures(),
    "retrieval": RetrievalPictures(),
    "detection": DetectionPictures(),
}


def task_pictures(task: Task) -> TaskPictures:
    """Return what a task is to pictures."""
    if task.name == "detection" and task.head == OWN:
        return OwnDetectionPictures()
    return TASKS[task.name]
