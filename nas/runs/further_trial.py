"""A trial beside those that a search has proposed: entered into the study, trained as it trains."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nas.base.errors import SpecError
from nas.base.freed_memory import return_freed_memory
from nas.execution.evaluator import Evaluator, EvaluatorSpec
from nas.execution.observer import Observer
from nas.models.candidates import Candidates
from nas.models.cost import cost
from nas.runs.choose_executor import latency_machine
from nas.runs.drive import write_results
from nas.runs.given_network import check_held
from nas.runs.lock import run_lock
from nas.runs.prepare import SearchInputs, prepare
from nas.runs.progress_bar import watched
from nas.runs.run import Run, open_run
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.objective import objectives_named
from nas.spec.width import is_widened, rival_name
from nas.strategy.ledger import (
    Ledger,
    check_finite,
    next_seed,
    objective_values,
    record_outcome,
)
from nas.strategy.storage.store import Store
from nas.study.record import Job, Latency, Record

__all__ = ["evaluate", "evaluate_further", "train_further"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/@+-]{0,29}")


def evaluate(
    path: str | Path,
    architecture: Architecture,
    *,
    name: str | None = None,
    backbone: nn.Module | None = None,
    observer: Observer | None = None,
    progress: bool | None = None,
) -> int:
    """Evaluate a network of your own as a run's search does, and return its trial's number.

    path: the run folder.
    name: of a placement that searched networks are held against, as against the hand-placed ones;
        None: it is one more network of the search.
    backbone: the network that the search was given in memory, as it was then.
    observer, progress: as of `nas.resume`.

    Raises SpecError for what is refused, which changes nothing; `evaluate_further` says what.
    """
    run = open_run(path, backbone=backbone)
    check_held(run)
    with watched(observer, progress) as audience:
        return evaluate_further(run, architecture, audience, name=name).trial


def evaluate_further(
    run: Run, architecture: Architecture, observer: Observer, *, name: str | None = None
) -> Record:
    """Evaluate a network as a run's search does, and return its record.

    It becomes a trial of the study: one of the search, or, with a name, a hand-placed one.
    Raises SpecError for a network of another backbone, one that the study has, a name that is
    taken, and, without a name, a network that the space does not hold. Raises StorageError.
    """
    inputs = SearchInputs.read(run)
    architecture = inputs.candidates.as_written(architecture)
    values = _values_in_space(inputs.candidates, architecture)
    plains = [plain for plain, _ in inputs.candidates.plains()]
    if architecture.plain not in plains:
        allowed = ", ".join(f"{plain.backbone} at {plain.size}" for plain in plains)
        raise SpecError(
            f"{run.path} is about {allowed}; found {architecture.backbone} at {architecture.size}"
        )
    if values is None and name is None:
        raise SpecError(
            f"{run.path}: its space does not hold this network; name it, and it is compared with "
            "as the hand-placed ones are"
        )
    trials = run.trials()
    same = np.flatnonzero(trials["digest"] == architecture.digest)
    if len(same):
        number = int(trials["trial"][same].min())
        raise SpecError(
            f"{run.path} has this network already, as trial {number}; nas show {run.path} {number} "
            "shows it"
        )
    cost(architecture, task=inputs.task)  # raises SpecError for sites and blocks that are not there
    if name is not None:
        _check_name(name, {PLAIN, *inputs.candidates.references(), *trials["reference"]})
    with run_lock(run.path), latency_machine(run, observer) as machine:
        spec = prepare(inputs, observer, machine)
        observer.stage("training the network as the search does")
        record = train_further(
            run,
            spec,
            architecture,
            reference=name,
            values=values,
            candidates=inputs.candidates,
        )
        write_results(run)
    return record


def _values_in_space(candidates: Candidates, architecture: Architecture) -> dict[str, str] | None:
    """Return the values of a network's parameters; None where the space does not hold it."""
    limit = candidates.space.max_insertions
    if limit is not None and len(architecture.blocks) > limit:
        return None
    return candidates.values(architecture)


def _check_name(name: str, taken: Collection[str | None]) -> None:
    """Raise SpecError for what is no name of a placement, or is that of another network."""
    if not _NAME.fullmatch(name) or is_widened(name):
        raise SpecError(
            f"name {name!r}; allowed: up to 30 letters, digits, blanks and . _ / @ + -, a letter "
            f"or digit first, and not as widened networks are called ({rival_name(1.5)})"
        )
    if name in taken:
        others = ", ".join(sorted(other for other in taken if other is not None))
        raise SpecError(f"name {name!r} is taken; there are: {others}")


def train_further(
    run: Run,
    spec: EvaluatorSpec,
    architecture: Architecture,
    *,
    reference: str | None = None,
    values: Mapping[str, str] | None = None,
    candidates: Candidates | None = None,
    latency: Latency | None = None,
) -> Record:
    """Enter a network into a run's study, train it in this process, and return its record.

    The caller holds the run's lock.
    reference: its name, where it is there to compare with.
    values: of the space's parameters, beside its candidates; None: the space does not hold it.
    latency: that is known; None: it is measured.
    """
    objectives = objectives_named(run.file.search.objectives)
    ledger = _read_ledger(Store(run.study, writable=True))
    job = Job(
        trial=len(ledger.records),
        architecture=architecture.to_json(),
        digest=architecture.digest,
        seed=next_seed(run.file.search, architecture.digest, ledger),
        reference=reference,
        eligible=values is not None,
        latency=latency,
    )
    choices = candidates.parameters_given(values) if candidates and values else {}
    record = ledger.start(job, values or {}, choices, {})
    if latency is not None:
        record = replace(
            record,
            latency_ms=latency.latency_ms,
            latency_wall_ms=latency.wall_ms,
            latency_spread=latency.spread,
        )
        ledger.update(record)  # so that a search that is killed now does not lose it
    threads = torch.get_num_threads()
    try:
        outcome = check_finite(Evaluator(spec).evaluate(job), objectives)
    finally:
        torch.set_num_threads(threads)
        return_freed_memory()
    record = record_outcome(record, job, outcome)
    ledger.update(record, objective_values(record, objectives))
    return record


def _read_ledger(store: Store) -> Ledger:
    ledger = Ledger(store)
    for record in store.records():
        ledger.restore(record)
    return ledger
