"""The lock of a run folder: one driver at a time, and who looks disturbs nobody."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nas.base.errors import SpecError, StorageError
from nas.base.process import describe_process, this_process

__all__ = ["is_locked", "run_lock"]

_LOCK = ".lock"
_HELD = {errno.EWOULDBLOCK, errno.EACCES}
_PATIENCE = 0.5  # seconds, for those who only look


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Keep other drivers off a folder; the lock dies with its process.

    Raises SpecError when another process holds it, StorageError where nothing can be locked.
    """
    try:
        file = (path / _LOCK).open("a+")
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror})") from None
    with file:
        try:
            _take(file)
        except OSError as error:
            if error.errno not in _HELD:
                raise StorageError(
                    f"{path} is on a file system that locks no files ({error.strerror}); keep "
                    "runs on another"
                ) from None
            file.seek(0)
            raise SpecError(
                f"{path} is being worked on by {file.read().strip() or 'another process'}; "
                "wait for it or stop it"
            ) from None
        file.truncate(0)
        file.write(describe_process(this_process()))
        file.flush()
        yield


def is_locked(path: Path) -> bool:
    """Return whether a driver works on a folder, from this machine or on this file system.

    Leaves no trace: a folder that can only be read has no driver to be seen.
    """
    try:
        file = (path / _LOCK).open()
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno in _HELD
    return False


def _take(file: IO[str]) -> None:
    """Lock a file, and wait for those who only look (`is_locked`), which takes them no time."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD or time.monotonic() > end:
                raise
        time.sleep(0.01)
