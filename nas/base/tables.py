"""Rows of plain values as Markdown, CSV and Parquet."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.base.errors import StorageError, first_line
from nas.base.files import write_whole

__all__ = ["parquet_source", "reading_parquet", "to_markdown", "write_csv", "write_parquet"]

Rows = Sequence[Mapping[str, Any]]


def write_csv(path: Path, names: Sequence[str], rows: Rows) -> None:
    """Write rows as CSV; None is left empty.

    names: the columns, in their order.
    Raises StorageError when the file cannot be written.
    """
    with (
        write_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(names)
        for row in rows:
            writer.writerow(["" if row[name] is None else row[name] for name in names])


def parquet_source(path: Path) -> Any:
    """Return what pyarrow reads a file from: its path where that is plain, else its content.

    Arrow takes every path for UTF-8, which it need not be in this locale, or at all.
    """
    if os.fsencode(path).isascii():
        return path
    import pyarrow as pa

    return pa.BufferReader(path.read_bytes())


@contextmanager
def reading_parquet(path: Path) -> Iterator[None]:
    """Let whatever a broken file makes pyarrow raise be a StorageError of one line.

    Columns are read when they are asked for, so that a file may show only then what it lacks.
    """
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise StorageError(f"{path} cannot be read ({first_line(error)})") from None


def write_parquet(path: Path, types: Mapping[str, str], rows: Rows) -> None:
    """Write rows as Parquet.

    types: column -> Arrow's name of its type.
    Raises StorageError when the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(list(types.items()))
    with write_whole(path) as temporary:
        with temporary.open("wb") as file:
            parquet.write_table(pa.Table.from_pylist(list(rows), schema=schema), file)


def to_markdown(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose first column is text and whose others are figures."""
    marks = [":--" if not number else "--:" for number in range(len(names))]
    lines = [names, marks, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
