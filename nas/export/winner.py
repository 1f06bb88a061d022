"""A trained network with what shipping it needs, and how it is read from a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from nas.base.errors import SpecError
from nas.base.files import make_folder
from nas.base.size import Size
from nas.data import Dataset
from nas.data.dataset import Channels
from nas.data.images import Categories
from nas.data.reading import Resize
from nas.export.suppression import Suppressing, describe_suppressed, greedily_kept
from nas.export.tasks import ExportTask, export_task
from nas.models.merged_branches import with_merged_branches
from nas.runs.own_backbones import check_own_backbones
from nas.runs.run import Run, RunState, Weights
from nas.spec.architecture import Architecture
from nas.spec.suppression import Suppression
from nas.spec.task import Task
from nas.study.constant_prediction import ConstantPrediction, describe_collapse
from nas.study.full_training import FullTraining

__all__ = ["TrainedNetwork", "Winner", "prepare_export", "read_trained_network"]


@dataclass(frozen=True)
class Winner:
    """A trained network with what a target may want to know about it.

    network: to be shipped, in evaluation mode.
    classes: their names, in the order of the scores; of retrieval, the identities of training.
    mean: of each channel, on the scale 0 to 255.
    std: likewise.
    resize: what becomes of images of another shape; see `Reading`.
    unfolded: the network as it was trained, before gates were folded, which all that is shipped
        is compared with; None: `network` is as it was trained.
    task: what it is for. Of classification the scores are as many as the classes.
    categories: see `Dataset`.
    merges: whether its graphs have parallel branches merged, where it has some.
    suppression: the limits by which its graphs suppress boxes; None: they do not.
    """

    network: nn.Module
    architecture: Architecture
    classes: tuple[str, ...]
    mean: Channels
    std: Channels
    resize: Resize = "crop"
    unfolded: nn.Module | None = None
    task: Task = Task()
    suppression: Suppression | None = None
    categories: Categories = ()
    merges: bool = True

    @property
    def size(self) -> Size:
        """The size of the images that it reads where it is deployed."""
        return self.architecture.size

    @property
    def judging(self) -> ExportTask:
        """The part of the task in an export of this network."""
        return export_task(self.task, self.trained, self.size)

    @cached_property
    def merged(self) -> nn.Module:
        """The network with its branches merged, as runtimes get it; see `with_merged_branches`."""
        if not self.merges:
            return self.network
        return with_merged_branches(self.network, self.architecture, self.task)

    @property
    def shipped(self) -> nn.Module:
        """The module that its graphs compute: the network, with suppression where they do that."""
        if self.suppression is None:
            return self.merged
        size = (self.size.height, self.size.width)
        behind = Suppressing(self.task.head, size, self.suppression, greedily_kept)
        return nn.Sequential(self.merged, behind).eval()

    def describe_output(self) -> str:
        """Say what its graphs return for N images."""
        if self.suppression is None:
            return self.judging.describe_output()
        return describe_suppressed(self.suppression)

    @property
    def trained(self) -> nn.Module:
        """The network as it was trained."""
        return self.network if self.unfolded is None else self.unfolded


@dataclass(frozen=True)
class TrainedNetwork:
    """The network of a trial, as a run has it.

    data: the images that its weights were trained on.
    training: the full training that they are of; None: they are of the search.
    row: what the study holds of the trial.
    constant: what is judged of one answer to all of the run's images; None: it is not known.
    """

    winner: Winner
    data: Dataset
    training: FullTraining | None
    row: dict[str, Any]
    constant: ConstantPrediction | None = None

    @property
    def recorded_accuracy(self) -> float | None:
        """The figure of the task on validation images when these weights' training was judged."""
        accuracy = self.row["accuracy"] if self.training is None else self.training.accuracy
        return None if accuracy is None else float(accuracy)

    @property
    def collapsed(self) -> str | None:
        """A sentence where the network is no better than one answer to all images, else None."""
        return describe_collapse(self.constant, self.recorded_accuracy)


def read_trained_network(state: RunState, trial: int, weights: Weights) -> TrainedNetwork:
    """Read the trained network of a trial.

    state: of the run that it is of.
    weights: see `RunState.retrained_weights`.
    Raises SpecError when the trial is not COMPLETE, or the images have changed.
    """
    run, about = state.run, state.data()
    check_own_backbones(run)
    network = state.network(trial, weights)
    # Built anew, not copied: what computes its weights may hold tensors that cannot be copied.
    unfolded = state.network(trial, weights, folded=False)
    retrained = state.retrained_weights(trial, weights)
    training = retrained[1] if retrained else None
    data = state.images.open(training.resolution if training else None)
    if list(data.classes) != about["classes"]:
        raise SpecError(
            f"the images of {run.file.data} have changed since {run.path} was started; put them "
            "back"
        )
    row = state.row(trial)
    architecture = Architecture.from_json(row["architecture"])
    winner = Winner(
        network,
        architecture,
        data.classes,
        mean=data.mean,
        std=data.std,
        resize=run.file.reading.resize,
        unfolded=unfolded,
        task=state.task,
        categories=data.categories,
    )
    return TrainedNetwork(winner, data, training, row, state.constant_prediction)


def prepare_export(
    run: Run, trial: int, path: Path, *, weights: Weights, made: bool, state: RunState | None
) -> TrainedNetwork:
    """Read the trained network of a trial that is to be written to a path, and make its folder.

    weights: see `RunState.retrained_weights`.
    made: whether the folder that the path is in may be made, as where nobody has named it.
    state: of the run, where it was read already; None: read now.
    Raises SpecError as `read_trained_network` does, and where the folder is missing.
    """
    if not path.parent.exists() and not made:
        raise SpecError(f"folder {path.parent} does not exist; make it first")
    trained = read_trained_network(run.read() if state is None else state, trial, weights)
    make_folder(path.parent)
    return trained
