"""A study in a file of its run folder: Optuna's journal, with one writer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nas.base.errors import StorageError, disk_is_full

__all__ = ["Journal", "drop_torn_line"]

_PIECE = 1 << 20  # bytes
_Result = TypeVar("_Result")


class Journal:
    """A journal that is opened, or begun where there is none.

    Raises StorageError when the disk fails it, or the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.path = path
        lock: Any = _RunLock()
        with _disk(path):
            self.storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))

    def do(
        self, action: Callable[[], _Result], again: Callable[[], _Result] | None = None
    ) -> _Result:
        """Carry out an action on the storage.

        again: never needed here: an answer from a file does not get lost.
        Raises StorageError when the disk fails it, or the file is damaged.
        """
        with _disk(self.path):
            return action()


class _RunLock:
    """A lock that does nothing.

    The run folder's own lock already lets in one writer, and dies with it, where Optuna's lock
    file outlives a killed process by half a minute.
    """

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


def drop_torn_line(path: Path) -> None:
    """Cut off half a line at the end of a journal.

    A process killed while it wrote leaves one, and the next write would join it.
    """
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _PIECE)
            file.seek(start)
            last = file.read(end - start).rfind(b"\n")
            end = start + last + 1
            if last >= 0:
                break
        file.truncate(end)


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if disk_is_full(error):
            raise StorageError(
                f"no space left for {path}; free some space, then: nas resume {path.parent}"
            ) from None
        raise StorageError(f"study {path}: {error.strerror or error}") from None
    except (ValueError, KeyError) as error:
        raise StorageError(f"study {path} is damaged: {error}") from None
