"""The trials of a run: in its study, and in the copy of that which the run folder keeps."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from nas.base.errors import StorageError
from nas.spec.storage_url import StorageUrl
from nas.study.record import COMPLETE, FAILED, PRUNED
from nas.study.trials import Trials

__all__ = ["JOURNAL_FILE", "TRIALS_FILE", "journal_stamp", "read_trials"]

JOURNAL_FILE = "study.journal"
TRIALS_FILE = "trials.parquet"
"""The copy of all trials in a run folder, with the `journal_stamp` of what it shows."""


def read_trials(folder: Path, study: Path | StorageUrl) -> Trials:
    """Read every trial of a run.

    They come from trials.parquet where that shows the study as it is, else from the study.
    folder: of the run.
    study: its journal, or the address of the database that it is in.
    Raises StorageError when it cannot be read, or was cut short since it was copied.
    """
    copy = folder / TRIALS_FILE
    copied_journal = isinstance(study, Path) and copy.exists()
    if copied_journal:
        stamp = journal_stamp(folder)
        with suppress(StorageError):  # a broken copy: the study has it all
            trials = Trials.read(copy, stamp=stamp)
            if trials is not None:
                return trials
    from nas.strategy.storage.store import Store  # Optuna

    # The copy is looked at first: a search that goes on meanwhile makes both longer.
    copied = _copied_trials(copy) if copied_journal else None
    trials = Trials.of(Store(study, writable=False).records())
    if copied is not None:
        _refuse_cut_short(folder, trials, copied)
    return trials


def _copied_trials(copy: Path) -> Trials | None:
    """Return the trials in the copy of a journal, as it was at some time before."""
    with suppress(StorageError):
        return Trials.read(copy)
    return None


def _refuse_cut_short(folder: Path, trials: Trials, copied: Trials) -> None:
    """Raise StorageError where a journal, which only ever grows, lacks what its copy has.

    To go on from there would write over the copy, which is then all that is left of it.
    """
    for what, held, had in (
        ("trials", len(trials), len(copied)),
        ("trials that have ended", _count_ended(trials), _count_ended(copied)),
        ("full trainings", len(trials.full_trainings()), len(copied.full_trainings())),
    ):
        if held < had:
            raise StorageError(
                f"{folder / JOURNAL_FILE} holds {held} {what}, where {folder / TRIALS_FILE} has "
                f"{had}: it was cut short; put back a copy, or move {TRIALS_FILE} away to go on "
                "with what is left"
            )


def _count_ended(trials: Trials) -> int:
    return sum(trials.count(state) for state in (COMPLETE, PRUNED, FAILED))


def journal_stamp(folder: Path) -> str:
    """Return a name for the state of a run's journal, which only ever grows.

    Raises StorageError where there is none.
    """
    try:
        return str((folder / JOURNAL_FILE).stat().st_size)
    except OSError as error:
        raise StorageError(f"{folder} has no study.journal ({error.strerror})") from None
