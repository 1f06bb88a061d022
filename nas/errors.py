"""Every error that a user can cause or meet, in one tree.

A message says what was found, what is allowed, and what to do, in one line.
"""

from __future__ import annotations

__all__ = [
    "ExportError",
    "MeasurementError",
    "NasError",
    "SpecError",
    "StorageError",
    "TrainingError",
]


class NasError(Exception):
    """Root of the tree: the command line shows its message without a traceback."""

    exit_code = 1


class SpecError(NasError):
    """Wrong input: a file, an option, a name or a folder that cannot be used as given."""

    exit_code = 2


class StorageError(NasError):
    """A run folder or study that cannot be read or written."""

    exit_code = 2


class MeasurementError(NasError):
    """A latency or a cost that could not be measured."""


class TrainingError(NasError):
    """A training that diverged or could not be carried out."""


class ExportError(NasError):
    """A network that could not be exported, or whose export disagrees with it."""
