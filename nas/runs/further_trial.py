"""A trial beside those that a search has proposed: entered into the study, trained as it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from nas.base.errors import SpecError
from nas.base.seeds import derive
from nas.execution.evaluator import Evaluator, EvaluatorSpec
from nas.execution.observer import Observer
from nas.models.candidates import Candidates
from nas.runs.choose_executor import latency_machine
from nas.runs.drive import write_results
from nas.runs.lock import run_lock
from nas.runs.prepare import SearchInputs, prepare
from nas.runs.run import Run
from nas.spec.architecture import Architecture
from nas.spec.objective import objectives_named
from nas.strategy.ledger import Ledger, check_finite, objective_values, record_outcome
from nas.strategy.storage.store import Store
from nas.study.record import Job, Latency, Record

__all__ = ["evaluate_further", "train_further"]


def evaluate_further(run: Run, architecture: Architecture, observer: Observer) -> Record:
    """Evaluate a network of a run's space as its search does, and return its record.

    It becomes a trial of the study as if the search had proposed it.
    Raises SpecError for a network that the space does not hold or the study has, StorageError.
    """
    inputs = SearchInputs.read(run)
    values = inputs.candidates.values(architecture)
    if values is None:
        raise SpecError(f"{run.path}: its space does not hold this network; search another space")
    if architecture.digest in set(map(str, run.trials()["digest"])):
        raise SpecError(f"{run.path} has this network already; nas front {run.path} shows it")
    with run_lock(run.path), latency_machine(run, observer) as machine:
        spec = prepare(inputs, observer, machine)
        observer.stage("training the network as the search does")
        record = train_further(run, spec, architecture, values=values, candidates=inputs.candidates)
        write_results(run)
    return record


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
        seed=derive(run.file.search.seed, "train", 0) % 2**31,  # as all first ones have
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
    record = record_outcome(record, job, outcome)
    ledger.update(record, objective_values(record, objectives))
    return record


def _read_ledger(store: Store) -> Ledger:
    ledger = Ledger(store)
    for record in store.records():
        ledger.restore(record)
    return ledger
