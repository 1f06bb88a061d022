"""Files of a report: they are written over earlier ones of a report, and over nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from nas.base.errors import SpecError, StorageError
from nas.base.files import write_whole

__all__ = ["MARK", "write_report_file"]

MARK = "attention-nas report"
"""The text near the beginning of every file of a report, by which it is known again."""

_BEGINNING = 4096


def write_report_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole; its parent folders are made.

    write: writes to the path that it is given; `MARK` must stand near the beginning.
    Raises SpecError when another file is there, StorageError when it cannot be written.
    """
    try:
        if path.is_dir() or path.exists() and MARK.encode() not in _beginning(path):
            raise SpecError(f"{path} exists and is no report; name another file")
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror or error})") from None
    with write_whole(path) as temporary:
        write(temporary)


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_BEGINNING)
