"""What a front is a front by: what its objectives are expected to come to, minimised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.spec.objective import Objective
from nas.study.front.believed import MEASURED, Believed
from nas.study.front.network_table import NetworkTable
from nas.study.front.pareto import non_dominated

__all__ = ["expected_costs"]

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_MOST_BELIEVED, _STRATA = 4000, 50  # networks; a belief about many more takes seconds


def expected_costs(
    measured: NetworkTable, keep: Flags, objectives: Sequence[Objective], believed: Believed
) -> Floats:
    """Return (n, m), minimised, what each objective of each network is expected to come to.

    As it was measured where nothing is believed. Of very many networks, those alone are believed
    in that may be on the front by it; the others have NaN.
    keep: (n,) networks that a front is made of.
    """
    columns = measured.columns
    costs = np.column_stack([item.sign * columns[item.name] for item in objectives])
    costs = costs.astype(np.float64)
    if not believed.by_run:
        return costs
    rows = _hopeful(measured, keep, objectives, costs)
    for number, item in enumerate(objectives):
        if item.name in MEASURED:
            expected = believed.expected(measured, rows, item.name)
            costs[:, number] = np.nan
            costs[rows, number] = item.sign * expected
    return costs


def _hopeful(
    measured: NetworkTable, keep: Flags, objectives: Sequence[Objective], costs: Floats
) -> NDArray[np.int64]:
    """Return the references, and the networks with the best figures among those as fast."""
    columns = measured.columns
    shown = keep & (columns["reference"] != None)  # noqa: E711
    rows = np.flatnonzero(keep & (columns["eligible"] == 1))
    if len(rows) <= _MOST_BELIEVED:
        shown[rows] = True
        return np.flatnonzero(shown)
    shown[rows[non_dominated(costs[rows])]] = True
    rows = rows[np.argsort(columns["latency_ms"][rows], kind="stable")]
    quality = [number for number, item in enumerate(objectives) if item.name in MEASURED]
    for stratum in np.array_split(rows, _STRATA):
        for number in quality:
            order = np.argsort(costs[stratum, number], kind="stable")
            shown[stratum[order[: _MOST_BELIEVED // _STRATA]]] = True
    return np.flatnonzero(shown)
