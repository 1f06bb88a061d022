"""All trials of a study as columns, and the Parquet file that holds them.

This module knows nothing of torch and Optuna: `nas front` reads this file and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.files import write_whole
from nas.base.tables import parquet_source, reading_parquet
from nas.spec.width import is_widened
from nas.study.full_training import FullTraining, read_full_trainings
from nas.study.record import COMPLETE, PAUSED, PRUNED, RUNNING, Record
from nas.study.text_columns import StoredTexts, Texts

__all__ = ["TrainingCost", "Trials"]

_TEXT = {
    "state",
    "digest",
    "architecture",
    "reference",
    "finished",
    "failure",
    "rungs",
    "epoch_losses",
    "retrained",
    "uncounted",
}
_FLAGS = {"eligible", "trained", "latency_predicted"}
_WHOLE = {"trial", "repeat", "seed", "parts"} | _FLAGS
_ALWAYS = ("trial", "state", "digest", "loss", "accuracy", "latency_ms")
# Absent from files of earlier versions.
_LATER = {"images_seen", "epoch_losses", "uncounted", "suppression_ms", "accuracy_sem"}
_GROUP = 2000  # rows that are read to have the architecture of one of them
_COUNTS = {"params", "macs", "images", "images_seen"}


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """The cost of a study in training, and what stopping early has saved.

    networks: number that was evaluated; those neither whole nor stopped have failed, or are still
        on their way.
    whole: number of those trained up to the top.
    stopped: number of those stopped below it.
    seconds: of all training, further seeds included.
    whole_seconds: about what that would be if no network had been stopped.
    """

    networks: int
    whole: int
    stopped: int
    seconds: float
    whole_seconds: float

    def __str__(self) -> str:
        return (
            f"{self.networks} networks, {self.whole} to the top, {self.stopped} stopped early: "
            f"{self.seconds:.0f} s of training; whole training of all would have taken about "
            f"{self.whole_seconds:.0f} s"
        )


@dataclass(frozen=True)
class Trials:
    """The n trials of a study.

    columns: name -> (n,) array; texts as objects (None where absent), numbers as float64 (NaN
        where absent), except trial, repeat, seed, parts and flags (int64). Rungs, losses of epochs
        and full trainings are JSON texts, which are read row by row on demand: see `record`.
    """

    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["trial"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Trials:
        """Return the columns of some records, in their order."""
        columns: dict[str, NDArray[Any]] = {}
        for name in Record.names():
            columns[name] = np.array(Record.column(name, records), dtype=_dtype(name))
        return cls(columns)

    def text(self, name: str) -> Texts:
        """Return a column of text without making Python strings of a million of them.

        Where it is read from a file that is broken, its methods raise StorageError.
        """
        if isinstance(self.columns, _StoredColumns) and self.columns.holds(name):
            rows = np.arange(len(self), dtype=np.int64)
            return StoredTexts(self.columns.file, self.columns.path, name, rows)
        return Texts.of(self.columns[name])

    @property
    def complete(self) -> NDArray[np.bool_]:
        """(n,) flags of the trials that are COMPLETE."""
        if isinstance(self.columns, _StoredColumns):
            return Texts(self.columns.read("state")).equal(COMPLETE)
        return np.asarray(self["state"] == COMPLETE, dtype=bool)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(n,) flags of the trials that count for a plan's number of networks.

        That is the first of each network, but of widened ones, which are beside the plan.
        """
        widened = [name is not None and is_widened(name) for name in self["reference"]]
        return np.asarray((self["repeat"] == 0) & ~np.array(widened, dtype=bool))

    @property
    def evaluated(self) -> int:
        """The number of networks that were evaluated, of those that count for a plan."""
        going_on = np.isin(self["state"].astype(str), (RUNNING, PAUSED))
        return int(np.count_nonzero(self.counted & ~going_on))

    def count(self, state: str) -> int:
        """Return the number of trials in a state."""
        return int(np.count_nonzero(self["state"] == state))

    @property
    def stopped_early(self) -> NDArray[np.bool_]:
        """(n,) flags of the PRUNED with values, those of a rung below the top."""
        return np.asarray((self["state"] == PRUNED) & ~np.isnan(self["loss"]), dtype=bool)

    def rung_counts(self) -> NDArray[np.int64]:
        """Return (n,) numbers of rungs that each trial has passed, so 0 for one without any."""
        # [[1.0, 0.7, 0.6, 1.5], ...]: a bracket more than rungs. Reading a million texts as JSON
        # takes seconds.
        return np.maximum(self.text("rungs").count(r"\["), 1) - 1

    def full_trainings(self) -> list[FullTraining]:
        """Return every full training of the study, of whichever recipe, by network and seed."""
        distinct = dict.fromkeys(text for text in self["retrained"] if text is not None)
        return [training for text in distinct for training in read_full_trainings(text)]

    def spent(self, budgets: Sequence[float]) -> TrainingCost:
        """Return the cost of all training so far.

        budgets: of the rungs, from the lowest.
        """
        firsts, seconds = self["repeat"] == 0, self["train_seconds"]
        below = np.isfinite(seconds) & ~self.complete
        rungs = self.rung_counts()[below]
        whole = seconds.copy()
        # A training takes as long as its budget says: learning rates change, images do not.
        whole[below] *= budgets[-1] / np.asarray(budgets, dtype=np.float64)[rungs]
        return TrainingCost(
            networks=int(np.count_nonzero(firsts)),
            whole=int(np.count_nonzero(firsts & self.complete)),
            stopped=int(np.count_nonzero(self.stopped_early)),
            seconds=float(np.nansum(seconds)),
            whole_seconds=float(np.nansum(whole)),
        )

    def record(self, row: int) -> Record:
        """Return one row as a record, its JSON texts read."""
        return Record.from_dict(self.row(row))

    def row(self, row: int) -> dict[str, Any]:
        """Return one row as plain values, as JSON shows it; None where absent."""
        return {name: _plain(name, values[row]) for name, values in self.columns.items()}

    def with_latency(self, latency_ms: NDArray[Any], spread: NDArray[Any]) -> Trials:
        """Return the same trials with predicted latencies instead of the measured ones.

        latency_ms: (n,), ms.
        spread: (n,), relative half-width of the 90 % interval.
        """
        absent = np.full(len(self), np.nan)
        changed = {
            "latency_ms": latency_ms,
            "latency_spread": spread,
            "latency_wall_ms": absent,
            "final_latency_ms": absent,
            "final_latency_spread": absent,
            "latency_predicted": np.ones(len(self), dtype=np.int64),
        }
        return Trials({**self.columns, **changed})

    def write(self, path: Path, *, stamp: str) -> None:
        """Write a Parquet file.

        stamp: name of the state of the study that these rows show.
        """
        import pyarrow as pa
        from pyarrow import parquet

        arrays = {
            name: pa.array(values, type=_arrow_type(pa, name), from_pandas=True)
            for name, values in self.columns.items()
        }
        table = pa.table(arrays).replace_schema_metadata({"nas.stamp": stamp, "nas.version": "1"})
        with write_whole(path) as temporary:
            with temporary.open("wb") as file:  # Arrow takes every path for UTF-8
                parquet.write_table(table, file, row_group_size=_GROUP)

    @classmethod
    def read(cls, path: Path, *, stamp: str | None = None) -> Trials | None:
        """Read a file of `write`; None when it shows another state of the study.

        stamp: name of the state that is wanted; None takes any.
        Raises StorageError when the file is broken.
        """
        from pyarrow import parquet

        with reading_parquet(path):
            file = parquet.ParquetFile(parquet_source(path))
            written = (file.schema_arrow.metadata or {}).get(b"nas.stamp", b"").decode()
            missing = set(Record.names()) - set(file.schema_arrow.names) - _LATER
            if stamp is not None and (written != stamp or missing):
                return None
            if missing:
                raise KeyError(f"no column {min(missing)}")
            columns = _StoredColumns(path, file)
            for name in _ALWAYS:
                columns.read(name)
        return cls(columns)


@dataclass(frozen=True, eq=False)
class _StoredColumns(Mapping[str, NDArray[Any]]):
    """Columns of a Parquet file, read and made into arrays when they are first asked for.

    The file stays open, so that it may be replaced meanwhile.
    """

    path: Path
    file: Any
    _arrow: dict[str, Any] = field(default_factory=dict)
    _arrays: dict[str, NDArray[Any]] = field(default_factory=dict)

    def holds(self, name: str) -> bool:
        return name in self.file.schema_arrow.names

    def read(self, name: str) -> Any:
        """Return a column as Arrow has it. Raises StorageError when the file is broken."""
        if name not in self._arrow:
            with reading_parquet(self.path):
                self._arrow[name] = (
                    self.file.read(columns=[name]).column(name)
                    if self.holds(name)
                    else self._none(name)
                )
        return self._arrow[name]

    def _none(self, name: str) -> Any:
        import pyarrow as pa

        absent = pa.nulls(self.file.metadata.num_rows, type=_arrow_type(pa, name))
        return pa.chunked_array([absent])

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._arrays:
            if name not in Record.names():
                raise KeyError(name)
            with reading_parquet(self.path):
                self._arrays[name] = _numpy(self.read(name), name)
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(Record.names())

    def __len__(self) -> int:
        return len(Record.names())


def _numpy(column: Any, name: str) -> NDArray[Any]:
    """Return an Arrow column as (n,) values.

    pyarrow's own `to_numpy` imports pandas: a third of `nas front`'s start.
    """
    if name in _TEXT:
        return np.array(column.to_pylist(), dtype=object)
    filled = column.fill_null(0 if name in _WHOLE else float("nan"))
    parts = [np.frombuffer(part.buffers()[1], dtype=_dtype(name)) for part in filled.chunks]
    # A chunk is a window into its buffer.
    parts = [
        values[part.offset : part.offset + len(part)]
        for values, part in zip(parts, filled.chunks, strict=True)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=_dtype(name))


def _dtype(name: str) -> Any:
    if name in _TEXT:
        return object
    return np.int64 if name in _WHOLE else np.float64


def _arrow_type(pa: Any, name: str) -> Any:
    if name in _TEXT:
        return pa.string()
    return pa.int64() if name in _WHOLE else pa.float64()


def _plain(name: str, value: Any) -> Any:
    if name in _TEXT:
        return value
    if name in _WHOLE:
        return bool(value) if name in _FLAGS else int(value)
    if np.isnan(value):
        return None
    return int(value) if name in _COUNTS else float(value)
