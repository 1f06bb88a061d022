"""Networks by scores that need no training of their own: zero-cost ones, and a supernet's."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nas.base.errors import MeasurementError, SpecError
from nas.base.files import write_whole
from nas.data import Dataset
from nas.runs.calibrate.judging_images import group_images
from nas.spec.architecture import Architecture
from nas.training.proxies.zero_cost import ZERO_COST, zero_cost_scores
from nas.training.supernet.folder import SupernetFolder
from nas.training.supernet.supernet import Supernet
from nas.training.supernet.weights import score

__all__ = ["SCORES", "Scores", "score_all"]

SCORES = tuple(ZERO_COST)
_SUPERNET = "supernet"
_BATCH = 64

Score = Callable[[Architecture], tuple[float, list[float]]]
"""A network -> its score, and that by groups of validation images; none where others judge."""


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of some networks.

    values: (n,), higher is predicted better; NaN where a score is not to be had.
    seconds: that one of them takes.
    by_groups: (n, k), the same by groups of the validation images; None where others judge.
    """

    values: NDArray[np.float64]
    seconds: float
    by_groups: NDArray[np.float64] | None = None

    def only(self, rows: NDArray[np.bool_]) -> Scores:
        """Keep some networks."""
        groups = None if self.by_groups is None else self.by_groups[rows]
        return Scores(self.values[rows], self.seconds, groups)


def score_all(
    data: Dataset,
    architectures: Sequence[Architecture],
    keep: Path,
    *,
    names: Sequence[str] = SCORES,
    supernets: Sequence[SupernetFolder] = (),
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Scores]:
    """Score architectures on training images, one after the other.

    data: the images.
    keep: a file of what was scored so far.
    names: of zero-cost scores.
    supernets: they judge by validation loss, on their own images' resolution, under the names of
        their folders; NaN for what one does not hold, such as a hand-placed network with a ratio of
        its own.
    progress: called with (done, of).
    Raises SpecError when two supernets have one name, or `keep` cannot be read.
    """
    table = _read(keep)
    scorers: dict[str, Score] = {name: _zero_cost_scorer(name, data) for name in names}
    for folder in supernets:
        name = f"{_SUPERNET} {folder.path.resolve().name}"
        if name in scorers:
            raise SpecError(f"two supernets are in folders named {folder.path.name!r}; rename one")
        scorers[name] = _supernet_scorer(folder, data)
        # Weights may have changed since: a supernet is trained on, and scores in seconds.
        for row in table.values():
            row.pop(name, None)
    for number, architecture in enumerate(architectures):
        row = table.setdefault(architecture.digest, {})
        for name, scorer in scorers.items():
            if name not in row:
                started = time.process_time()
                value, by_groups = _score_or_none(scorer, architecture)
                row[name] = [value, time.process_time() - started, *by_groups]
        with write_whole(keep) as temporary:
            temporary.write_text(json.dumps(table))
        progress(number + 1, len(architectures))
    scores = {}
    for name in scorers:
        rows = [table[item.digest][name] for item in architectures]
        longest = max((len(row) for row in rows), default=2)
        figures = np.full((len(rows), longest), np.nan)
        for number, row in enumerate(rows):
            figures[number, : len(row)] = [math.nan if value is None else value for value in row]
        groups = figures[:, 2:] if longest > 2 else None
        scores[name] = Scores(figures[:, 0], float(figures[:, 1].mean()), groups)
    return scores


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        table: dict[str, dict[str, Any]] = json.loads(path.read_text())
    except (OSError, ValueError):
        raise SpecError(f"{path} cannot be gone on with: remove it to score again") from None
    return table


def _score_or_none(scorer: Score, architecture: Architecture) -> tuple[float | None, list[float]]:
    """Score a network; None where that is not finite, as synflow of blocks without a gate."""
    try:
        value, by_groups = scorer(architecture)
    except MeasurementError:
        return None, []
    return (value, by_groups) if math.isfinite(value) else (None, [])


def _zero_cost_scorer(name: str, data: Dataset) -> Score:
    size = min(_BATCH, len(data.train) // 2)

    def scorer(architecture: Architecture) -> tuple[float, list[float]]:
        value = zero_cost_scores(architecture, data, names=[name], batch_size=size)[name]
        # It spans a hundred orders of magnitude.
        return (math.log10(value) if name == "synflow" and value > 0 else value), []

    return scorer


def _supernet_scorer(folder: SupernetFolder, data: Dataset) -> Score:
    supernets: dict[str, Supernet] = {}
    task, device = folder.file.purpose, torch.device("cpu")

    def scorer(architecture: Architecture) -> tuple[float, list[float]]:
        plain = architecture.plain
        if plain.digest not in supernets:
            supernets[plain.digest] = folder.supernet(plain)
        if not supernets[plain.digest].holds(architecture):
            return math.nan, []
        judged = score(supernets[plain.digest], architecture, data, task, device=device)
        losses = judged.losses.double().numpy()
        dealt = group_images(len(losses))  # of queries there are fewer than of images
        return -judged.loss, [-float(losses[rows].mean()) for rows in dealt]

    return scorer
