"""An independent worker for a run: `nas worker`, on this machine or on any other that sees it.

Jobs come through the run's folder or its database; weights go through the folder, which must be
on a file system that driver and workers share. Images are decoded on each machine.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from nas.base.errors import SpecError
from nas.base.machine import processor, results_depend_on
from nas.execution.evaluator import Evaluator, EvaluatorSpec
from nas.execution.exchange import Exchange, WorkerTerms
from nas.execution.exchange.study import StudyExchange
from nas.execution.workers.worker_process import WorkerProcess
from nas.latency.runtime import RUNTIMES
from nas.runs.images import decode_images
from nas.runs.open_study import exchange_of
from nas.runs.own_backbones import check_own_backbones
from nas.runs.prepare import DEVICE
from nas.runs.run import CHECKPOINTS, Run, open_run
from nas.spec.architecture import Architecture
from nas.spec.storage_url import StorageUrl, is_url
from nas.strategy.storage.store import Store
from nas.study.record import Job, Outcome

__all__ = ["join_run", "work"]

_MOST_PER_MACHINE = 1024


def work(
    target: str,
    *,
    folder: Path | None = None,
    grace: float = 10.0,
    idle: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> str:
    """Evaluate jobs of a run until its search ends. Returns why it ended (`WorkerProcess.run`).

    target: a run folder, or the URL of a study.
    folder: where the run folder is on this machine; None: where the study says.
    grace, idle: seconds; see `WorkerProcess`.
    say: hears what happens, a line each.
    Raises SpecError when this machine's versions, images, processor or own networks do not fit the
    run.
    """
    run, exchange = join_run(target, folder)
    for note in check_own_backbones(run):
        say(note)
    if isinstance(exchange, StudyExchange):
        exchange.connection.say = say
    terms = _wait_for_terms(exchange, idle, say)
    if terms is None:
        return "idle"
    if terms.closed:
        return "finished"
    spec = _fit_spec(run, terms)
    with _claim_number() as number:
        evaluator = Evaluator(spec, worker=number)

        def evaluate(job: Job) -> Outcome:
            _check_backbone(run, job.architecture)
            return evaluator.evaluate(job)

        process = WorkerProcess(
            exchange, evaluate, lease=terms.lease, grace=grace, idle=idle, say=say
        )
        say(f"{process.name} works on {run.path}")
        return process.run()


def join_run(target: str, folder: Path | None = None) -> tuple[Run, Exchange]:
    """Return a run and its exchange, as they are seen from here.

    target, folder: as `work` takes them.
    Raises SpecError where there is no run that takes workers.
    """
    if not is_url(target):
        if not (Path(target) / "run.yaml").is_file():
            raise SpecError(
                f"{target} holds no run yet; start it first: nas search SPACE --set "
                f"executor=worker --out {target}"
            )
        run = open_run(target)
        if run.file.executor != "worker":
            raise SpecError(
                f"{target} runs with executor {run.file.executor!r}, which starts its own workers; "
                "start the search with --set executor=worker"
            )
        return run, exchange_of(run)
    address = StorageUrl.parse(target)
    store = Store(address, writable=False)
    path = folder or Path(store.about().get("folder", ""))
    if not (path / "run.yaml").is_file():
        raise SpecError(
            f"the run folder {path} of {address} is not on this machine; mount it, or say where it "
            "is: --folder PATH"
        )
    run = open_run(path)
    if run.file.study != store.name:
        raise SpecError(f"{path} is of another search ({run.file.study}), not of {store.name}")
    if run.file.executor != "worker":
        return join_run(str(path))
    return run, StudyExchange(store.connection, store.name)


def _wait_for_terms(
    exchange: Exchange, idle: float | None, say: Callable[[str], None]
) -> WorkerTerms | None:
    """Return what the driver asks for, once it has said so; None when that takes too long."""
    began, announced = time.monotonic(), False
    while (terms := exchange.terms()) is None:
        if idle is not None and time.monotonic() - began > idle:
            return None
        if not announced:
            say("waiting for the driver: nas search, or nas resume")
            announced = True
        time.sleep(1.0)
    return terms


def _fit_spec(run: Run, terms: WorkerTerms) -> EvaluatorSpec:
    """Return the evaluator's spec with the paths of this machine.

    Raises SpecError where versions, processor, runtime or images are others.
    """
    _check_machine(run, terms)
    try:
        spec = EvaluatorSpec.from_dict(dict(terms.spec))
    except (KeyError, TypeError, ValueError):  # pydantic's is a ValueError
        raise SpecError(
            f"{run.path} is driven by another version of this program; install the same here"
        ) from None
    _check_runtime(run, terms)
    for text in (*spec.plains, spec.anchor):
        _check_backbone(run, text)
    data = decode_images(run.space, run.file)
    if not run.images(terms.data).are_in(data):
        raise SpecError(
            f"the images of {run.file.data} are not those that {run.path} was started with; "
            "copy them from there"
        )
    folder = run.path.resolve()
    return replace(
        spec,
        data=data.resolve(),
        checkpoints=run.checkpoints if run.file.checkpoints else folder / CHECKPOINTS,
        profile=folder / DEVICE if spec.profile else None,
        supernets=folder / "supernets" if spec.supernets else None,
    )


def _check_machine(run: Run, terms: WorkerTerms) -> None:
    """Raise SpecError where the packages or the processor are others."""
    installed = results_depend_on()
    for name, wanted in terms.versions.items():
        if installed.get(name) != wanted:
            raise SpecError(
                f"{run.path} runs with {name} {wanted}, here is {installed.get(name)}; install "
                "the same"
            )
    if terms.processor is not None and terms.processor != processor():
        raise SpecError(
            f"{run.path} measures latencies on {terms.processor}, this is {processor()}; work "
            "there, or search with a device profile, which predicts them (nas profile)"
        )


def _check_runtime(run: Run, terms: WorkerTerms) -> None:
    """Raise SpecError where latencies are measured with another runtime here."""
    if terms.runtime is not None:
        name = terms.runtime.split()[0]
        if terms.runtime != f"{name} {RUNTIMES[name].version()}":
            raise SpecError(
                f"{run.path} measures with {terms.runtime}, here is {RUNTIMES[name].version()}; "
                "install the same"
            )


def _check_backbone(run: Run, architecture: str) -> None:
    """Raise SpecError for a backbone that the run's own space does not name.

    Naming one can run code (`module:function`), and others may write into the exchange.
    """
    backbone = Architecture.from_json(architecture).backbone
    if backbone not in run.space.backbones:
        raise SpecError(f"a job of {run.path} is of {backbone!r}, which its space does not hold")


@contextmanager
def _claim_number() -> Iterator[int]:
    """Yield the lowest number that no other worker of this user has on this machine.

    Each measures on a core of its own. A claim dies with its process.
    """
    number, file = _lock_number()
    try:
        yield number
    finally:
        if file is not None:
            file.close()


def _lock_number() -> tuple[int, IO[str] | None]:
    folder = Path(tempfile.gettempdir()) / f"attention-nas-workers-{os.getuid()}"
    for number in range(_MOST_PER_MACHINE):
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            file = (folder / str(number)).open("w")
        except OSError:
            break
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        return number, file
    return 0, None
