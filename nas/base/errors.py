"""Every error that a user can cause or meet, in one tree.

A message says what was found, what is allowed, and what to do, in one line.
"""

from __future__ import annotations

import errno

__all__ = [
    "ExportError",
    "MeasurementError",
    "NasError",
    "NoTestPart",
    "SpecError",
    "StorageError",
    "TrainingError",
    "disk_is_full",
    "first_line",
    "reason_of",
]


class NasError(Exception):
    """Root of the tree: the command line shows its message without a traceback."""

    exit_code = 1


class SpecError(NasError):
    """Wrong input: a file, an option, a name or a folder that cannot be used as given."""

    exit_code = 2


class NoTestPart(SpecError):
    """Data that bring no test images, which is no fault by itself."""


class StorageError(NasError):
    """A run folder or study that cannot be read or written."""

    exit_code = 2


class MeasurementError(NasError):
    """A latency or a cost that could not be measured."""


class TrainingError(NasError):
    """A training that diverged or could not be carried out."""


class ExportError(NasError):
    """A network that could not be exported, or whose export disagrees with it."""


def disk_is_full(error: OSError) -> bool:
    """Say whether an error means that the disk, or the user's share of it, is full."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT}


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def reason_of(error: Exception, smaller: str) -> str:
    """Give in one line what the training of a network raised.

    smaller: what helps where memory ran out.
    """
    if isinstance(error, NasError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"out of memory; {smaller}"
    reason = first_line(error)
    if "alloc" in reason or "out of memory" in reason:
        return f"out of memory ({reason}); {smaller}"
    return reason
