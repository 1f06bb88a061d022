"""The study of a run, wherever it is kept, and the exchange beside it."""

from __future__ import annotations

import re
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.base.files import dump_yaml
from nas.base.machine import processor, results_depend_on
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.exchange import Exchange, WorkerTerms
from nas.execution.exchange.folder import FolderExchange
from nas.execution.exchange.study import StudyExchange
from nas.latency.runtime import RUNTIMES, device_named
from nas.runs.run import Run
from nas.runs.run_file import RunFile
from nas.runs.stored_trials import JOURNAL_FILE
from nas.spec.objective import objectives_named
from nas.spec.runner import JOURNAL, Runner
from nas.spec.space import SearchSpace
from nas.spec.storage_url import StorageUrl
from nas.strategy.storage.lease import Lease
from nas.strategy.storage.store import Store

__all__ = [
    "drop_study",
    "exchange_of",
    "make_study",
    "open_study",
    "study_name",
    "worker_terms",
]

_JOBS = "jobs"


def study_name(out: Path, runner: Runner) -> str:
    """Return a study's name: `search` in a journal, in a database one that no other run has."""
    if runner.storage == JOURNAL:
        return "search"
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", out.absolute().name) or "run"
    return f"{name}-{uuid.uuid4().hex[:6]}"


def make_study(
    building: Path, out: Path, space: SearchSpace, file: RunFile, begun: Run | None
) -> None:
    """Start a run's study: in the folder that is being built, or in its database.

    out: where the folder will be.
    begun: a run whose trials this one goes on from; None: it starts empty.
    """
    journal = building / JOURNAL_FILE
    if begun is not None and file.address is None and begun.file.address is None:
        shutil.copyfile(begun.path / JOURNAL_FILE, journal)
        return
    about: dict[str, Any] = {
        "folder": str(out.absolute()),
        "host": socket.gethostname(),
        "space": dump_yaml(space),
        "run": dump_yaml(file),
    }
    store = Store.create(file.address or journal, objectives_named(file.search.objectives), about)
    if begun is not None:
        store.copy_from(Store(begun.study, writable=False))


def drop_study(run: Run) -> None:
    """Take the study of a run that came to nothing out of its database."""
    if isinstance(run.study, StorageUrl):
        Store(run.study, writable=False).delete()


@contextmanager
def open_study(run: Run, say: Callable[[str], None]) -> Iterator[Store]:
    """Yield the study for its one driver.

    A journal is guarded by the lock of its run folder, a database by a lease.
    say: hears that a database has to be waited for.
    Raises SpecError, naming it, when there is another driver, and StorageError, before anything is
    written, for a journal that is damaged or was cut short.
    """
    address = run.file.address
    if address is None:
        run.trials()
        yield Store(run.path / JOURNAL_FILE, writable=True)
        return
    reader = Store(address, writable=False)
    reader.connection.say = say
    with Lease(reader.connection, reader.name, seconds=run.file.lease) as lease:
        yield Store(address, writable=True, guard=lease.check, connection=reader.connection)


def exchange_of(run: Run, store: Store | None = None) -> Exchange:
    """Return where the driver and the workers of a run meet: its database, or else its folder."""
    address = run.file.address
    if address is None:
        return FolderExchange(run.path / _JOBS)
    store = store or Store(address, writable=False)
    return StudyExchange(store.connection, store.name)


def worker_terms(run: Run, spec: EvaluatorSpec, *, data_key: str) -> WorkerTerms:
    """Return what a worker must know and fulfil to evaluate for a run.

    data_key: of the images, as environment.json has it.
    """
    measured = spec.profile is None
    runtime = device_named(spec.device).runtime
    return WorkerTerms(
        spec=spec.to_dict(),
        versions=results_depend_on(),
        data=data_key,
        lease=run.file.lease,
        processor=processor() if measured else None,
        runtime=f"{runtime} {RUNTIMES[runtime].version()}" if measured else None,
    )
