"""The features of networks that latency is taken as linear in, as tables side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import MeasurementError

__all__ = ["Floats", "Integers", "check_table", "join", "source_columns", "standardise"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def join(parts: Sequence[tuple[Floats, float]]) -> tuple[Floats, Integers]:
    """Put feature tables of one pool side by side.

    Columns are centred, and each table is scaled as a whole, so give columns of one unit, or
    standardised ones.

    parts: (table (n, any), share); the share of latency's variance that the table is expected to
        explain, relative to the others; right to a factor of five is enough.
    Returns features (n, d) and the group (d,) of each column.
    Raises MeasurementError for no tables, other shapes, NaN and infinity.
    """
    if not parts:
        raise MeasurementError("no feature tables given; give at least one")
    tables = []
    for table, share in parts:
        table = check_table(table, "features", rows=len(parts[0][0]))
        table = table - table.mean(axis=0)
        size = math.sqrt(float((table**2).sum()) / max(len(table), 1))
        tables.append(table * math.sqrt(share) / size if size > 0 else table)
    groups = np.repeat(np.arange(len(tables)), [table.shape[1] for table in tables])
    return np.hstack(tables), groups


def standardise(table: Floats) -> Floats:
    """Return columns with mean 0 and variance 1, (n, d); constant columns become 0."""
    table = np.asarray(table, dtype=np.float64)
    spread = table.std(axis=0)
    varies = spread > 1e-9 * np.abs(table).max(axis=0, initial=0.0)
    return np.asarray((table - table.mean(axis=0)) / np.where(varies, spread, np.inf))


def source_columns(latencies: Floats, features: Floats) -> Floats:
    """Return columns (n, 2 k) that say what other devices need for the networks of a pool.

    Each device gives its measurements and what of them the architecture explains: a least
    squares fit over the pool, free of that device's noise. The last in a thousand at either end
    are drawn in: they are mostly failed measurements.

    latencies: (n, k), ms, of the whole pool on k devices.
    features: (n, d) of its architectures.
    Raises MeasurementError for other shapes, NaN and infinity.
    """
    features = check_table(features, "features")
    latencies = check_table(latencies, "latencies of other devices", rows=len(features))
    low, high = np.quantile(latencies, [0.001, 0.999], axis=0)
    measured = standardise(np.clip(latencies, low, high))
    smooth = features @ np.linalg.lstsq(features, measured, rcond=1e-6)[0]
    return np.hstack([measured, standardise(smooth)])


def check_table(
    values: Floats, name: str, *, rows: int | None = None, columns: int | None = None
) -> Floats:
    """Return values as a table of finite numbers.

    name: of what they are, for messages.
    rows, columns: how many there must be; None: any number.
    Raises MeasurementError for other shapes, NaN and infinity.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2:
        raise MeasurementError(
            f"{name} of shape {values.shape}; give a table with one row per network"
        )
    if rows is not None and len(values) != rows:
        raise MeasurementError(f"{name} of {len(values)} networks; there are {rows}")
    if columns is not None and values.shape[1] != columns:
        raise MeasurementError(
            f"{values.shape[1]} {name}; the predictor was fitted with {columns}, made alike"
        )
    if not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise MeasurementError(f"{name} of network {row} hold NaN or infinity; leave it out")
    return values
