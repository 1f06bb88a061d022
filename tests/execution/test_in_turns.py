from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.samples import QUICK

from nas.data import cached_data
from nas.execution.device_share import DeviceShare
from nas.execution.evaluator import Evaluator, EvaluatorSpec
from nas.execution.in_turns import evaluators
from nas.execution.local import _Worker
from nas.models.build import uniform
from nas.runs.start import search
from nas.spec.architecture import Architecture
from nas.spec.runner import Proxy, load_runner
from nas.spec.space import Constraints
from nas.spec.task import Task
from nas.study.record import FAILED, Evaluation, Job, Latency, Outcome
from nas.training.checkpoint import checkpoint_path, load_weights
from nas.training.loop import Training

PLAIN = Architecture("mobilenetv2_035", 32, total_stride=16)
PLACED = [
    uniform("mobilenetv2_035", block, resolution=32, total_stride=16, exclude=["blocks.[0-4].*"])
    for block in ("se", "coord")
]
JOBS = [
    Job(trial=number, architecture=placed.to_json(), digest=placed.digest, seed=number)
    for number, placed in enumerate(PLACED)
]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EvaluatorSpec:
    def unmeasured(_evaluator: Evaluator, worker: int) -> object:
        return lambda architecture, seed: Latency(1.0, 1.0, 0.0)

    monkeypatch.setattr(Evaluator, "_latencies", unmeasured)
    return EvaluatorSpec(
        data=cached_data("digits", 32, validation=0.2, seed=0),
        checkpoints=tmp_path / "checkpoints",
        # A trunk goes back to an earlier state at each rung, and the precision sets flags.
        proxy=Proxy.model_validate(
            {
                "rungs": [3, 6],
                "unit": "steps",
                "batch_size": 16,
                "schedule": "trunk",
                "cooldown": 1,
                "warm_up": 1,
                "start": "identity",
                "precision": "bf16",
            }
        ),
        constraints=Constraints(),
        plains=(),
        anchor=PLAIN.to_json(),
        anchor_ms=1.0,
        task=Task(outputs=10),
    )


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Whose step it was, by the thread; each draws from torch's stream, as dropout does."""
    taken: list[int] = []
    one_step, gradients = Training._one_step, Training._gradients

    def counted(training: Training, optimiser: torch.optim.Optimizer) -> None:
        taken.append(threading.get_ident())
        one_step(training, optimiser)

    def noisy(training: Training, optimiser: torch.optim.Optimizer) -> torch.Tensor:
        loss = gradients(training, optimiser)
        for group in optimiser.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.grad += 1e-3 * torch.randn_like(weight)
        return loss

    monkeypatch.setattr(Training, "_one_step", counted)
    monkeypatch.setattr(Training, "_gradients", noisy)
    return taken


def beside(each: Sequence[Callable[[Job], Outcome]], jobs: Sequence[Job]) -> list[Outcome]:
    """What comes of jobs in threads beside each other."""
    found: dict[int, Outcome] = {}

    def work(number: int) -> None:
        found[number] = each[number](jobs[number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    return [found[number] for number in range(len(jobs))]


def told(outcome: Outcome) -> Evaluation:
    assert outcome.evaluation is not None, outcome.failure
    rungs = tuple(replace(rung, seconds=0.0) for rung in outcome.evaluation.rungs)
    return replace(outcome.evaluation, seconds=0.0, train_seconds=0.0, rungs=rungs)


def test_trainings_in_turns_come_to_what_each_comes_to_alone(
    spec: EvaluatorSpec, steps: list[int], tmp_path: Path
) -> None:
    with evaluators(spec, worker=0, trainings=1) as each:
        alone = [each[0](job) for job in JOBS]
    steps.clear()
    other = replace(spec, checkpoints=tmp_path / "other")
    with evaluators(other, worker=0, trainings=2) as each:
        together = beside(each, JOBS)
    changes = sum(one != next_ for one, next_ in zip(steps, steps[1:], strict=False))
    assert len(set(steps)) == 2 and changes > 4, "one after the other shows nothing"
    assert list(map(told, together)) == list(map(told, alone))
    for job in JOBS:
        ones, others = (
            load_weights(checkpoint_path(at.checkpoints, job.digest, job.seed))
            for at in (spec, other)
        )
        assert all(torch.equal(value, others[name]) for name, value in ones.items())


def test_memory_that_runs_out_costs_its_own_training_alone(
    spec: EvaluatorSpec, steps: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits, without the turn, until the other has ended; and then has the device."""
    with evaluators(spec, worker=0, trainings=1) as each:
        alone = each[0](JOBS[0])
    begun = Training._gradients
    tries: list[int] = []

    def limited(training: Training, optimiser: torch.optim.Optimizer) -> torch.Tensor:
        if training._seed == JOBS[1].seed and training.step == 2:
            tries.append(len(steps))
            if len(tries) == 1:
                raise torch.OutOfMemoryError("of another network beside it")
        return begun(training, optimiser)

    monkeypatch.setattr(Training, "_gradients", limited)
    share = DeviceShare("pretended", tmp_path / "locks")
    monkeypatch.setattr(DeviceShare, "of", lambda device: share)
    steps.clear()
    other = replace(spec, checkpoints=tmp_path / "other")
    with evaluators(other, worker=0, trainings=2) as each:
        kept, late = beside(each, JOBS)
    assert told(kept) == told(alone)
    assert told(late).parts == 1 and len(tries) == 3  # at each of two rungs once more
    assert len(set(steps[tries[1] - 3 :])) == 1, "what is tried alone has nobody beside it"


def test_what_one_network_provokes_is_its_own_outcome(
    spec: EvaluatorSpec, steps: list[int]
) -> None:
    broken = replace(JOBS[1], architecture=JOBS[1].architecture.replace("coord", "no_such"))
    with evaluators(spec, worker=0, trainings=2) as each:
        good, bad = beside(each, [JOBS[0], broken])
        again = beside(each, [JOBS[1]])[0]
    assert good.evaluation is not None and "no_such" in (bad.failure or "")
    assert again.evaluation is not None


@pytest.mark.slow
def test_a_search_has_one_process_for_all_of_them(
    small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("check", "prepare"):  # which say that streams are of CUDA
        monkeypatch.setattr(f"nas.runs.{room}.check_placement", lambda *_: None)
    starts: list[int] = []
    begin = _Worker.__init__

    def counted(self: _Worker, *given: object, **named: object) -> None:
        starts.append(given[6])  # type: ignore[arg-type]
        begin(self, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(_Worker, "__init__", counted)
    settings = (*QUICK, "side_by_side=streams", "search.sampler=random")
    run = search(small_space, load_runner(None, settings), "digits", tmp_path / "run")
    assert starts == [2]
    assert run.trials().complete.sum() >= 5 and not (run.trials()["state"] == FAILED).any()
