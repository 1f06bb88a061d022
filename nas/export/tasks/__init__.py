"""Tasks as exports know them: one file each, one line each in `TASKS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nas.export.tasks.classification import Classification
from nas.export.tasks.detection import Detection
from nas.export.tasks.retrieval import Retrieval
from nas.export.tasks.segmentation import Segmentation
from nas.export.tasks.task import ExportTask, Judged, Outputs, Targets
from nas.spec.task import Task, TaskName

__all__ = ["TASKS", "ExportTask", "Judged", "Outputs", "Targets", "export_task"]

TASKS: Mapping[TaskName, Callable[[Task], ExportTask]] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "retrieval": Retrieval,
    "detection": Detection,
}


def export_task(task: Task) -> ExportTask:
    """Return what a task is to an export."""
    return TASKS[task.name](task)
