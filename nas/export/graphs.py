"""From a trial to the files of a target, converted and checked."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nas.base.errors import ExportError, MeasurementError, SpecError
from nas.data import Dataset
from nas.export.judged import GraphScores, ValidationScores
from nas.export.target import Files, Target, Winner, WrittenGraph
from nas.export.verify import LOADERS, Session
from nas.latency.runtime.runtime import first_line
from nas.runs.images import open_images
from nas.runs.run import RunState
from nas.runs.weights import Weights, retrained_weights, trained_network
from nas.spec.architecture import Architecture
from nas.study.full_training import FullTraining

__all__ = ["TrainedNetwork", "check", "convert", "network_to_ship", "open_graph", "write_files"]


@dataclass(frozen=True)
class TrainedNetwork:
    """A network to ship, the images that its weights were trained on, and the full training that
    they are of; None: they are of the search.
    """

    winner: Winner
    data: Dataset
    training: FullTraining | None


def network_to_ship(state: RunState, trial: int, weights: Weights) -> TrainedNetwork:
    """Return the trained network of a trial. Raises SpecError when it is not COMPLETE."""
    run, about = state.run, state.data()
    network = trained_network(state, trial, weights)
    best = retrained_weights(state, trial, weights)
    training = best[1] if best else None
    data = open_images(run, about["key"], training.resolution if training else None)
    if list(data.classes) != about["classes"]:
        raise SpecError(
            f"the images of {run.file.data} have changed since {run.path} was started; put them "
            "back"
        )
    architecture = Architecture.from_json(state.row(trial)["architecture"])
    winner = Winner(network, architecture, data.classes, data.mean, data.std)
    return TrainedNetwork(winner, data, training)


def convert(target: Target, make: Callable[[], WrittenGraph]) -> WrittenGraph:
    """Convert quietly. Raises SpecError for a network that the target cannot take."""
    try:
        with _quiet():
            return make()
    except MeasurementError as error:
        reason = str(error)
    except SpecError:
        raise
    except Exception as error:  # converters raise whatever an operator provokes
        reason = first_line(error)
    raise SpecError(
        f"{target.name} cannot take this network: {reason}; choose another target, "
        "or a trial without it"
    )


def write_files(files: Files, stem: Path) -> None:
    """Write files whose names begin with `stem`."""
    for suffix, content in files.items():
        path = Path(f"{stem}{suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def open_graph(kind: str, path: Path) -> Session:
    """A graph as `verify.py` opens it. Raises ExportError."""
    try:
        with _quiet():
            return LOADERS[kind](path)
    except Exception as error:  # each runtime has errors of its own
        raise ExportError(
            f"the {kind} graph cannot be opened again ({first_line(error)}); nothing was written"
        ) from error


def check(kind: str, session: Session, seen: ValidationScores, tolerance: float) -> GraphScores:
    """Compare with the network. Raises ExportError when they differ by more than allowed."""
    judged = seen.judge(session, tolerance)
    if not judged.parity.holds:
        raise ExportError(
            f"the {kind} graph differs from the network by {judged.parity.difference:.2e} "
            f"(scores up to {judged.parity.largest:.1f}); nothing was written"
        )
    return judged


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Converters tell their progress and their authors' worries."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
