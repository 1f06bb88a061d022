"""The trained networks of a calibration, judged once more by groups of validation images."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError, StorageError, TrainingError
from nas.base.files import write_whole
from nas.data import Dataset
from nas.runs.calibrate.judging_images import group_images
from nas.runs.run import RunState
from nas.study.marks import first_figure
from nas.training.device import best_device
from nas.training.loop import evaluate

__all__ = ["judge_by_groups"]

Floats = NDArray[np.float64]


def judge_by_groups(
    state: RunState,
    data: Dataset,
    digests: Sequence[str],
    seeds: int,
    keep: Path,
    *,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Floats | None:
    """Judge what a run has trained, from the weights that it kept.

    digests: of the n networks.
    seeds: of each.
    keep: a file of what was judged so far, which is not judged again.
    progress: called with (done, of).

    Returns (n, seeds, groups, 2): mean loss, and the figure that stands for the task. NaN where a
    training is missing. None where weights are gone, or queries are too few: then nothing can be
    said by groups.
    Raises SpecError when `keep` cannot be read.
    """
    groups = group_images(len(data.validation))
    there = _read(keep, len(groups))
    task, device, precision = state.task, best_device(), state.run.file.proxy.computed_in
    trials = _trials(state)
    wanted = [(digest, seed) for digest in digests for seed in range(seeds)]
    for done, (digest, seed) in enumerate(wanted, start=1):
        trial, name = trials.get((digest, seed)), f"{digest}/{seed}"
        if trial is None or name in there:
            continue
        try:
            network = state.network(trial, "search")
            score = evaluate(network, data, task, device=device, precision=precision)
        except (StorageError, TrainingError):
            return None
        losses = score.losses.double().numpy()
        dealt = group_images(len(losses))  # of queries there are fewer than of images
        if len(dealt) != len(groups):
            return None
        there[name] = [
            [float(losses[rows].mean()) for rows in dealt],
            [first_figure(task.name, score.marks[rows]) for rows in dealt],
        ]
        with write_whole(keep) as temporary:
            temporary.write_text(json.dumps(there))
        progress(done, len(wanted))
    missing = np.full((2, len(groups)), np.nan)
    rows = [np.array(there.get(f"{digest}/{seed}", missing)) for digest, seed in wanted]
    table = np.stack(rows).reshape(len(digests), seeds, 2, len(groups))
    return np.asarray(table.transpose(0, 1, 3, 2), dtype=np.float64)


def _trials(state: RunState) -> dict[tuple[str, int], int]:
    """Return the trial of each network and seed that came to its end."""
    trials = {}
    for row in np.flatnonzero(state.trials.complete):
        record = state.trials.record(int(row))
        trials[record.digest, record.repeat] = record.trial
    return trials


def _read(path: Path, groups: int) -> dict[str, list[list[float]]]:
    """Return, by network and seed, its losses and shares, (2, groups)."""
    if not path.exists():
        return {}
    try:
        table: dict[str, list[list[float]]] = json.loads(path.read_text())
        shapes = {np.array(row, dtype=np.float64).shape for row in table.values()}
        if shapes - {(2, groups)}:
            raise ValueError("rows of other groups")
    except (OSError, ValueError, TypeError, AttributeError):
        raise SpecError(f"{path} cannot be gone on with: remove it to judge again") from None
    return table
