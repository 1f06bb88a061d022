"""The networks of Accel-NASBench: mobile backbones of seven stages, some with squeeze-excite.

Each was trained once on ImageNet, some with squeeze-excite in every block of the stages that have
it, a third of them without any. The backbones differ as well, and by far more.
Source: Accel-NASBench (Ahmad et al., arXiv:2404.08005).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold

from nas.base.errors import SpecError

__all__ = ["STAGES", "Networks", "by_sums", "by_trees", "read_networks", "told"]

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

STAGES = 7
_SETTINGS = ("e", "k", "l")  # expansion, kernel, layers
_FOLDS = 10


@dataclass(frozen=True, eq=False)
class Networks:
    """Networks as trained.

    accuracy: (n,) on ImageNet, in points. log_macs, log_latency: (n,) natural logarithms of
    multiply-adds, and of the latency on an FPGA (VCK190), NaN where it was not measured.
    placed: (n, 7) 1 where a stage has squeeze-excite; layers: (n, 7) blocks of each stage.
    settings: (n, 21) of the backbone: expansion, kernel and layers of each stage.
    """

    accuracy: Floats
    log_macs: Floats
    log_latency: Floats
    placed: Whole
    settings: Whole

    def __len__(self) -> int:
        return len(self.accuracy)

    def __getitem__(self, rows: Whole | NDArray[np.bool_]) -> Networks:
        return Networks(
            self.accuracy[rows],
            self.log_macs[rows],
            self.log_latency[rows],
            self.placed[rows],
            self.settings[rows],
        )

    @property
    def layers(self) -> Whole:
        return self.settings[:, 2::3]

    @property
    def counts(self) -> Floats:
        """(n, 2) how much squeeze-excite there is: stages, and blocks."""
        blocks = self.placed * self.layers
        return np.column_stack([self.placed.sum(axis=1), blocks.sum(axis=1)]).astype(np.float64)

    @property
    def stages(self) -> Floats:
        """(n, s) one column for each backbone of each stage: its three settings together."""
        return _one_hot(np.split(self.settings, STAGES, axis=1))

    @property
    def each_setting(self) -> Floats:
        """(n, s) one column for each value of each setting."""
        return _one_hot(np.split(self.settings, self.settings.shape[1], axis=1))

    def pairs(self) -> Whole:
        """Return the rows (p, 2) of networks that were trained twice."""
        _, which = np.unique(
            np.concatenate([self.settings, self.placed], axis=1), axis=0, return_inverse=True
        )
        order = np.argsort(which, kind="stable")
        again = np.flatnonzero(np.diff(which[order]) == 0)
        return np.column_stack([order[again], order[again + 1]]).astype(np.int64)


def _one_hot(parts: list[Whole]) -> Floats:
    columns = []
    for own in parts:
        _, which = np.unique(own, axis=0, return_inverse=True)
        columns.append(np.eye(int(which.max()) + 1)[which])
    return np.concatenate(columns, axis=1)


def read_networks(path: Path) -> Networks:
    """Read a CSV file (or .csv.xz) with a row for each network.

    Raises SpecError where it cannot be read or lacks a column.
    """
    settings = [f"block{stage}_{name}" for stage in range(STAGES) for name in _SETTINGS]
    placed = [f"block{stage}_se" for stage in range(STAGES)]
    try:
        rows = pd.read_csv(path, usecols=[*settings, *placed, "acc", "macs", "latency_vck190"])
    except (OSError, ValueError) as error:
        raise SpecError(f"{path} is no table of Accel-NASBench: {error}") from error
    return Networks(
        rows["acc"].to_numpy(np.float64),
        np.log(rows["macs"].to_numpy(np.float64)),
        np.log(rows["latency_vck190"].to_numpy(np.float64)),
        rows[placed].to_numpy(np.int64),
        rows[settings].to_numpy(np.int64),
    )


def by_sums() -> LinearRegression:
    """Return a model of sums; columns may depend on each other."""
    return LinearRegression()


def by_trees() -> HistGradientBoostingRegressor:
    """Return boosted trees, which know of interactions."""
    return HistGradientBoostingRegressor(
        learning_rate=0.1, max_iter=600, max_leaf_nodes=8, random_state=0
    )


def told(
    columns: Floats, truth: Floats, model: LinearRegression | HistGradientBoostingRegressor
) -> Floats:
    """Return what (n,) columns (n, c) tell of the truth (n,), each tenth from the other nine."""
    predicted = np.empty_like(truth)
    for fitted, left in KFold(_FOLDS, shuffle=True, random_state=0).split(columns):
        predicted[left] = model.fit(columns[fitted], truth[fitted]).predict(columns[left])
    return predicted
