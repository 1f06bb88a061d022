"""Tasks as exports know them: one file each, one line each in `TASKS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from nas.base.size import Size
from nas.export.tasks.classification import Classification
from nas.export.tasks.detection import Detection
from nas.export.tasks.own_detection import OwnDetection
from nas.export.tasks.retrieval import Retrieval
from nas.export.tasks.segmentation import Segmentation
from nas.export.tasks.task import ExportTask, Judged, Outputs, Targets
from nas.spec.task import OWN, Task, TaskName

__all__ = ["TASKS", "ExportTask", "Judged", "Outputs", "Targets", "export_task"]

TASKS: Mapping[TaskName, Callable[[Task], ExportTask]] = {
    "classification": Classification,
    "segmentation": Segmentation,
    "retrieval": Retrieval,
    "detection": Detection,
}


def export_task(
    task: Task, network: nn.Module | None = None, size: Size | None = None
) -> ExportTask:
    """Return what a task is to an export.

    network: whose own code makes objects of what a graph gives, where a task's network is one's
        own; None: where nothing is judged. size: of the images that it reads.
    """
    if task.name == "detection" and task.head == OWN:
        return OwnDetection(task, network, size)
    return TASKS[task.name](task)
