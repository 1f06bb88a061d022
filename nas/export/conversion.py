"""Networks as the files of a target: converted, opened again and checked."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from nas.backbones.attention_operators import separate_operators
from nas.base.errors import ExportError, MeasurementError, SpecError
from nas.export.parity import GraphScores, ValidationScores
from nas.export.target.target import Files, Target, WrittenGraph
from nas.export.verify import LOADERS, Session
from nas.latency.runtime.runtime import first_line

__all__ = ["check", "convert", "naming_collapse", "open_graph", "write_files"]


_WHOLE = ("this network", "choose another target, or a trial without it")
_BEHIND = ("suppression of boxes", "leave out --nms graph, or choose another target")


def convert(
    target: Target, make: Callable[[], WrittenGraph], *, suppresses: bool = False
) -> WrittenGraph:
    """Convert quietly.

    make: calls the target's converter.
    suppresses: whether it is tried with suppression behind a network, which may be what fails.
    Raises SpecError for a network that the target cannot take.
    """
    try:
        with _quiet(), separate_operators():
            return make()
    except MeasurementError as error:
        reason = str(error)
    except SpecError:
        raise
    except Exception as error:  # converters raise whatever an operator provokes
        reason = first_line(error)
    what, instead = _BEHIND if suppresses else _WHOLE
    raise SpecError(f"{target.name} cannot take {what}: {reason}; {instead}")


def write_files(files: Files, stem: Path) -> None:
    """Write the files of a graph; their names begin with `stem`."""
    for suffix, content in files.items():
        path = Path(f"{stem}{suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def open_graph(kind: str, path: Path) -> Session:
    """Open a graph as `verify.py` does.

    kind: of `LOADERS`.
    Raises ExportError when its runtime cannot.
    """
    try:
        with _quiet():
            return LOADERS[kind](path)
    except Exception as error:  # each runtime has errors of its own
        raise ExportError(
            f"the {kind} graph cannot be opened again ({first_line(error)}); nothing was written"
        ) from error


def check(kind: str, session: Session, network: ValidationScores, tolerance: float) -> GraphScores:
    """Compare a graph with the network.

    kind: of the graph, for the error.
    network: what the network says of the validation images.
    tolerance: allowed share of the largest score.
    Raises ExportError when they differ by more than allowed, or the graph does not run.
    """
    try:
        scores = network.compare(session, tolerance)
    except Exception as error:  # each runtime has errors of its own
        raise ExportError(
            f"the {kind} graph does not run ({first_line(error)}); nothing was written"
        ) from error
    if not scores.parity.holds:
        raise ExportError(
            f"the {kind} graph differs from the network by {scores.parity.difference:.2e} "
            f"(scores up to {scores.parity.largest:.1f}); nothing was written"
        )
    return scores


@contextlib.contextmanager
def naming_collapse(collapsed: str | None) -> Iterator[None]:
    """Say of a network whose graphs disagree with it that it has collapsed.

    collapsed: what is said of it; None: it has not.
    Raises ExportError.
    """
    try:
        yield
    except ExportError as error:
        if collapsed is None:
            raise
        raise ExportError(
            f"{error}; the network is {collapsed}, and what it tells images apart by may be "
            "rounding: choose another trial, or train this one fully (nas retrain)"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what converters print: their progress, and their authors' worries."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
