"""Columns of text, held so that a million of them are counted in a second.

As Python strings, a million architectures take ten times as long to read as all figures together.
Arrays go to Arrow and back by their buffers: its own ways import pandas, a third of the start of
`nas front`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.tables import reading_parquet

__all__ = ["StoredTexts", "Texts"]


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of n texts, None where absent.

    held: an Arrow array, chunked or not.
    """

    held: Any

    @classmethod
    def of(cls, values: Sequence[str | None] | NDArray[Any]) -> Texts:
        """Return the column of some Python strings."""
        import pyarrow as pa

        encoded = [(value or "").encode() for value in values]
        ends = np.cumsum([0, *map(len, encoded)])
        if len(values) == 0 or ends[-1] >= 2**31:  # beyond the offsets of one array
            half = len(values) // 2
            return cls.joined([cls.of(values[:half]), cls.of(values[half:])] if half else [])
        present = np.packbits([value is not None for value in values], bitorder="little")
        buffers = (present, ends.astype(np.int32), b"".join(encoded))
        held = [pa.py_buffer(buffer) for buffer in buffers]
        return cls(pa.Array.from_buffers(pa.string(), len(encoded), held))

    @classmethod
    def joined(cls, parts: Sequence[Texts]) -> Texts:
        """Return several columns as one, in their order."""
        import pyarrow as pa

        chunks: list[Any] = []
        for part in parts:
            held = part.arrow()
            chunks += held.chunks if isinstance(held, pa.ChunkedArray) else [held]
        return cls(pa.chunked_array(chunks, type=pa.string()))

    def arrow(self) -> Any:
        """Return the column as an Arrow array."""
        return self.held

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, row: int) -> str | None:
        text: str | None = self.held[int(row)].as_py()
        return text

    def take(self, rows: NDArray[Any]) -> Texts:
        """Return some rows as a column, taken chunk by chunk: an array holds no more than 2 GB.

        rows: (k,) numbers, in any order.
        """
        import pyarrow as pa

        if not isinstance(self.held, pa.ChunkedArray):
            return Texts(self.held.take(_arrow(rows)))
        ends = np.cumsum([len(chunk) for chunk in self.held.chunks])
        if (np.diff(rows) < 0).any():
            order = np.argsort(rows, kind="stable")
            back = np.empty(len(order), dtype=np.int64)
            back[order] = np.arange(len(order))
            return Texts(self.take(rows[order]).held.take(_arrow(back)))
        cuts = np.searchsorted(rows, ends)
        parts, begin = [], 0
        for chunk, end, cut in zip(self.held.chunks, ends.tolist(), cuts.tolist(), strict=True):
            parts.append(chunk.take(_arrow(rows[begin:cut] - (end - len(chunk)))))
            begin = cut
        return Texts(pa.chunked_array(parts, type=pa.string()))

    def objects(self) -> NDArray[Any]:
        """Return (n,) Python strings."""
        return np.array(self.held.to_pylist(), dtype=object)

    def equal(self, text: str) -> NDArray[np.bool_]:
        """Return (n,) flags of the rows that hold a text; what is absent equals nothing."""
        import pyarrow.compute as pc

        return np.asarray(_numpy(pc.is_in(self.held, value_set=Texts.of([text]).held)) == 1)

    def count(self, pattern: str) -> NDArray[np.int64]:
        """Return (n,) times that a regular expression (RE2) occurs; none in absent texts."""
        import pyarrow.compute as pc

        times = pc.count_substring_regex(self.held, pattern)
        return np.where(_numpy(self.held.is_valid()) == 1, _numpy(times), 0)

    def codes(self) -> NDArray[np.int64]:
        """Return (n,) numbers of the distinct texts, from 0 as they first occur.

        None may be absent.
        """
        import pyarrow as pa

        encoded = self.held.dictionary_encode()  # of a chunked array: with one dictionary
        chunks = encoded.chunks if isinstance(encoded, pa.ChunkedArray) else [encoded]
        parts = [_numpy(chunk.indices) for chunk in chunks]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class StoredTexts(Texts):
    """A column of a Parquet file, read when it is asked for.

    A million architectures are a gigabyte, and a front shows some dozens of them.

    held: the open file.
    path: its own.
    name: of the column.
    rows: (n,) numbers of the file's rows that these are.
    """

    path: Path
    name: str
    rows: NDArray[np.int64]
    _groups: dict[int, Any] = field(default_factory=dict)

    def _read(self) -> Texts:
        with reading_parquet(self.path):
            return Texts(self.held.read(columns=[self.name]).column(self.name)).take(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> str | None:
        sizes = [
            self.held.metadata.row_group(group).num_rows
            for group in range(self.held.num_row_groups)
        ]
        ends = np.cumsum(sizes)
        wanted = int(self.rows[row])
        group = int(np.searchsorted(ends, wanted, side="right"))
        with reading_parquet(self.path):
            if group not in self._groups:
                self._groups[group] = self.held.read_row_group(group, columns=[self.name])
            column = self._groups[group].column(self.name)
            text: str | None = column[wanted - int(ends[group]) + sizes[group]].as_py()
        return text

    def take(self, rows: NDArray[Any]) -> StoredTexts:
        return replace(self, rows=self.rows[rows])

    def arrow(self) -> Any:
        return self._read().held

    def objects(self) -> NDArray[Any]:
        with reading_parquet(self.path):
            return self._read().objects()

    def equal(self, text: str) -> NDArray[np.bool_]:
        return self._read().equal(text)

    def count(self, pattern: str) -> NDArray[np.int64]:
        """Count row group by row group, so that the texts are never all in memory."""
        with reading_parquet(self.path):
            batches = self.held.iter_batches(columns=[self.name])
            parts = [Texts(batch.column(0)).count(pattern) for batch in batches]
        return np.concatenate([np.zeros(0, dtype=np.int64), *parts])[self.rows]

    def codes(self) -> NDArray[np.int64]:
        return self._read().codes()


def _arrow(rows: NDArray[Any]) -> Any:
    import pyarrow as pa

    values = np.ascontiguousarray(rows, dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(values)])


def _numpy(array: Any) -> NDArray[np.int64]:
    import pyarrow as pa

    chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
    wide = [chunk.cast(pa.int64()) for chunk in chunks if len(chunk)]
    # An array is a window into its buffer.
    parts = [
        np.frombuffer(part.buffers()[1], dtype=np.int64)[part.offset : part.offset + len(part)]
        for part in wide
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
