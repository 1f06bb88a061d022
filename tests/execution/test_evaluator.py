from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nas.data import cached_data, open_data
from nas.execution.device_share import DeviceShare
from nas.execution.evaluator import Evaluator, EvaluatorSpec
from nas.models.build import build, uniform
from nas.spec.runner import Proxy
from nas.spec.space import Constraints
from nas.spec.task import Task
from nas.study.record import FAILED, Evaluation, Job, Latency, Record, RungResult
from nas.training.checkpoint import checkpoint_path, load_weights, training_path
from nas.training.loop import Training, evaluate
from nas.training.objective import Objective
from nas.training.plain_backbone import prepare_backbone
from nas.training.recipe import Recipe

CPU = torch.device("cpu")
SE = uniform("mobilenetv2_035", "se", resolution=32, total_stride=16, exclude=["blocks.[0-4].*"])
PROXY = Proxy.model_validate(
    {
        "kind": "probe",
        "rungs": [1, 3, 4],
        "unit": "steps",
        "batch_size": 16,
        "backbone": {"epochs": 0.02},
    }
)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> EvaluatorSpec:
    checkpoints = tmp_path_factory.mktemp("checkpoints")
    data = cached_data("digits", 32, validation=0.2, seed=0)
    prepare_backbone(
        SE.plain,
        open_data(data),
        data.name,
        Task(outputs=10),
        PROXY,
        checkpoint_path(checkpoints, SE.plain.digest),
        seed=0,
        threads=1,
        device=CPU,
    )
    return EvaluatorSpec(
        data=data,
        checkpoints=checkpoints,
        proxy=PROXY,
        constraints=Constraints(),
        plains=(SE.plain.to_json(),),
        anchor=SE.plain.to_json(),
        anchor_ms=1.0,
        task=Task(outputs=10),
    )


def unmeasured(_evaluator: Evaluator, worker: int) -> object:
    return lambda architecture, seed: Latency(1.0, 1.0, 0.0)


@pytest.fixture
def evaluator(spec: EvaluatorSpec, monkeypatch: pytest.MonkeyPatch) -> Evaluator:
    """Measures nothing, and has a folder for itself where something is left in it."""
    monkeypatch.setattr(Evaluator, "_latencies", unmeasured)
    return Evaluator(spec)


def evaluated(evaluator: Evaluator, *, seed: int, rung: int = -1) -> Evaluation:
    job = Job(trial=0, architecture=SE.to_json(), digest=SE.digest, seed=seed, rung=rung)
    outcome = evaluator.evaluate(job)
    assert outcome.evaluation is not None, outcome.failure
    return outcome.evaluation


def test_climbing_rung_by_rung_ends_where_going_through_ends(evaluator: Evaluator) -> None:
    whole = evaluated(evaluator, seed=1)
    below = whole.rungs
    assert [rung.budget for rung in below] == [1, 3]
    weights = checkpoint_path(evaluator.spec.checkpoints, SE.digest, 1)
    expected = load_weights(weights)
    weights.unlink()

    first = evaluated(evaluator, seed=1, rung=0)
    assert (first.loss, first.rungs) == (below[0].loss, ())
    assert not weights.exists()  # below the top nothing is shipped
    second = evaluated(evaluator, seed=1, rung=1)
    assert second.loss == below[1].loss
    third = evaluated(evaluator, seed=1, rung=2)
    assert third.loss == whole.loss
    assert [replace(rung, seconds=0) for rung in third.rungs] == [
        replace(rung, seconds=0) for rung in below
    ]
    found = load_weights(weights)
    assert all((found[name] == value).all() for name, value in expected.items())
    assert not training_path(evaluator.spec.checkpoints, SE.digest, 1).exists()


@pytest.mark.parametrize("left", ["cut short", "further on"])
def test_what_a_killed_worker_leaves_changes_no_result(evaluator: Evaluator, left: str) -> None:
    expected = evaluated(evaluator, seed=2, rung=0).loss
    path = training_path(evaluator.spec.checkpoints, SE.digest, 2)
    if left == "cut short":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        evaluated(evaluator, seed=2, rung=1)
    assert evaluated(evaluator, seed=2, rung=0).loss == expected


def test_a_rung_whose_outcome_was_lost_is_judged_and_not_trained_again(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated(evaluator, seed=5, rung=0)
    expected = evaluated(evaluator, seed=5, rung=1)
    with monkeypatch.context() as idle:
        idle.setattr("nas.training.loop.Training.run", lambda *_, **__: pytest.fail("trained"))
        again = evaluated(evaluator, seed=5, rung=1)
    changing = {"seconds": again.seconds}
    assert again == replace(expected, **changing)  # type: ignore[arg-type]


def test_latency_is_measured_at_the_first_rung_alone(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(0, SE.to_json(), SE.digest, seed=6, rung=0)
    evaluator.evaluate(job)
    evaluator.latency_of = lambda *_: pytest.fail("measured again")
    found = evaluator.evaluate(replace(job, rung=1, latency=Latency(2.5, None, 0.01))).evaluation
    assert found is not None
    assert (found.latency_ms, found.latency_spread) == (2.5, 0.01)


@pytest.mark.parametrize("kind", ["finetune", "scratch"])
def test_other_kinds_are_evaluated_alike(
    spec: EvaluatorSpec, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluator, "_latencies", unmeasured)
    proxy = spec.proxy.model_copy(update={"kind": kind, "rungs": [1]})
    found = evaluated(Evaluator(replace(spec, proxy=proxy)), seed=3)
    assert found.loss_sem is not None and found.loss_sem > 0


def test_from_scratch_a_candidate_is_held_against_the_plain_network_of_its_seed(
    spec: EvaluatorSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images bear on all differences, however long networks were trained."""
    monkeypatch.setattr(Evaluator, "_latencies", unmeasured)
    proxy = spec.proxy.model_copy(update={"kind": "scratch", "rungs": [1]})
    evaluator = Evaluator(replace(spec, proxy=proxy, plains=(), checkpoints=tmp_path))
    plain = Job(trial=0, architecture=SE.plain.to_json(), digest=SE.plain.digest, seed=3)
    before = evaluated(evaluator, seed=3)
    itself = evaluator.evaluate(plain).evaluation
    assert itself is not None
    assert (before.loss_sem, itself.loss_sem) == (None, None), "nothing to pair with"
    after = evaluated(evaluator, seed=3)
    assert after.loss_sem is not None and after.loss_sem > 0
    assert after.accuracy_sem is not None and after.accuracy_sem > 0
    assert evaluated(evaluator, seed=4).loss_sem is None, "another seed differs by more than images"


def test_what_goes_wrong_is_an_outcome(
    spec: EvaluatorSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluator, "_latencies", unmeasured)
    job = Job(trial=0, architecture=SE.to_json(), digest=SE.digest, seed=4)
    wild = spec.proxy.model_copy(update={"kind": "scratch", "learning_rate": 1e12, "rungs": [9]})
    diverged = Evaluator(replace(spec, proxy=wild)).evaluate(job)
    assert "diverged" in (diverged.failure or "")
    limited = Evaluator(replace(spec, constraints=Constraints(latency_ms=0.5)))
    refused = limited.evaluate(job)
    assert refused.infeasible and "over the space's limit of 0.5" in (refused.failure or "")
    placed = limited.evaluate(replace(job, reference="se/r24"))
    assert placed.evaluation is not None and not placed.evaluation.within_limits


def test_a_subset_trains_on_fewer_images_and_is_judged_by_all(spec: EvaluatorSpec) -> None:
    proxy = spec.proxy.model_copy(update={"subset": 100})
    evaluator = Evaluator(replace(spec, proxy=proxy, profile=None))
    assert len(evaluator.setting.data.train) == 100
    assert len(evaluator.setting.data.validation) == len(open_data(spec.data).validation)


TRUNK = {"kind": "scratch", "schedule": "trunk", "rungs": [4, 8, 16], "cooldown": 2, "warm_up": 2}


@pytest.fixture
def trunk(spec: EvaluatorSpec, monkeypatch: pytest.MonkeyPatch) -> Evaluator:
    monkeypatch.setattr(Evaluator, "_latencies", unmeasured)
    proxy = Proxy.model_validate(PROXY.model_dump() | TRUNK)
    return Evaluator(replace(spec, proxy=proxy))


def timeless(evaluation: Evaluation) -> Evaluation:
    rungs = tuple(replace(rung, seconds=0.0) for rung in evaluation.rungs)
    return replace(evaluation, seconds=0.0, train_seconds=0.0, rungs=rungs)


def test_a_rung_of_a_trunk_is_a_training_of_its_length_with_a_cooldown(trunk: Evaluator) -> None:
    whole = evaluated(trunk, seed=11)
    top = RungResult(16, whole.loss, whole.accuracy, 0.0, whole.images_seen)
    setting = trunk.setting
    for length, found in zip([4, 8, 16], [*whole.rungs, top], strict=True):
        network = build(SE, num_classes=10, seed=11)
        recipe = Recipe(
            length,
            batch_size=16,
            learning_rate=0.0125,
            schedule="trapezoid",
            warm_up=2 / length,
            cooldown=2 / length,
        )
        training = Training(
            network,
            setting.data,
            setting.task,
            recipe,
            parameters=network.parameters(),
            seed=11,
            device=CPU,
        )
        training.run()
        score = evaluate(network, setting.data, setting.task, device=CPU)
        assert (found.loss, found.accuracy) == (score.loss, score.accuracy)
        assert found.images_seen == 16 * length


def test_a_longer_rung_of_a_trunk_costs_its_difference(
    trunk: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    one_step = Training._one_step

    def counted(training: Training, optimiser: torch.optim.Optimizer) -> None:
        steps.append(training.step)
        one_step(training, optimiser)

    monkeypatch.setattr(Training, "_one_step", counted)
    evaluated(trunk, seed=12)
    assert steps == [*range(4), *range(2, 8), *range(6, 16)]  # and two cooldowns of two


def test_a_trunk_that_is_interrupted_at_each_rung_comes_to_the_same(trunk: Evaluator) -> None:
    whole = evaluated(trunk, seed=13)
    weights = checkpoint_path(trunk.spec.checkpoints, SE.digest, 13)
    expected = load_weights(weights)
    weights.unlink()
    for rung, below in enumerate(whole.rungs):
        found = evaluated(trunk, seed=13, rung=rung)
        assert (found.loss, found.epoch_losses) == (below.loss, below.epoch_losses)
        # Its outcome was lost: the branch is trained again, and the trunk is still there.
        assert timeless(evaluated(trunk, seed=13, rung=rung)) == timeless(found)
    assert timeless(evaluated(trunk, seed=13)) == timeless(whole)
    trained = load_weights(weights)
    assert all((trained[name] == value).all() for name, value in expected.items())


@pytest.mark.parametrize("schedule", ["whole", "trunk"])
def test_losses_of_epochs_and_images_are_kept_at_every_rung(
    spec: EvaluatorSpec, schedule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluator, "_latencies", unmeasured)
    changes = {"kind": "scratch", "schedule": schedule, "rungs": [4, 6], "unit": "epochs"}
    changes |= {"batch_size": 64, "subset": 128, "cooldown": 2 if schedule == "trunk" else None}
    evaluator = Evaluator(replace(spec, proxy=Proxy.model_validate(PROXY.model_dump() | changes)))
    whole = evaluated(evaluator, seed=14)
    low = whole.rungs[0]
    assert (low.images_seen, whole.images_seen) == (4 * 128, 6 * 128)
    assert (len(low.epoch_losses), len(whole.epoch_losses)) == (4, 6)
    assert whole.epoch_losses[:3] == low.epoch_losses[:3]
    # A trunk's branch has cooled down in its fourth epoch, and the trunk has not.
    assert (whole.epoch_losses[3] == low.epoch_losses[3]) is (schedule == "whole")
    assert evaluated(evaluator, seed=14, rung=0).epoch_losses == low.epoch_losses
    assert timeless(evaluated(evaluator, seed=14)) == timeless(whole)


def test_a_training_that_loses_far_more_than_guessing_has_failed(
    spec: EvaluatorSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluator, "_latencies", unmeasured)
    update = {"kind": "finetune", "rungs": [24.0], "learning_rate": 100.0}
    evaluator = Evaluator(replace(spec, proxy=spec.proxy.model_copy(update=update)))
    job = Job(trial=0, architecture=SE.to_json(), digest=SE.digest, seed=9)
    outcome = evaluator.evaluate(job)
    assert outcome.failure is not None and outcome.failure.startswith("training diverged:")
    assert Record.of(job, outcome).state == FAILED
    assert not checkpoint_path(spec.checkpoints, SE.digest, 9).exists()


class Watched(DeviceShare):
    """A device's lock that says how it is held."""

    held = ""

    @contextmanager
    def _held(self, kind: int) -> Iterator[None]:
        with super()._held(kind):
            self.held = "alone" if kind == fcntl.LOCK_EX else "beside"
            yield
            self.held = ""


@pytest.mark.parametrize("fits", ["beside", "alone", "in halves", "never"])
def test_memory_that_runs_out_costs_its_own_candidate_alone(
    evaluator: Evaluator, fits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside others it is tried once, then alone; and only there in halves, or not at all."""
    share = evaluator._share = Watched("fake", tmp_path)
    tries: list[tuple[str, int]] = []
    forward = Objective.forward

    def limited(self: Objective, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        tries.append((share.held, len(images)))
        room = {"beside": True, "alone": share.held == "alone", "never": False}
        if not room.get(fits, share.held == "alone" and len(images) <= 8):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, images, targets)

    monkeypatch.setattr(Objective, "forward", limited)
    job = Job(trial=0, architecture=SE.to_json(), digest=SE.digest, seed=20, rung=0)
    outcome = evaluator.evaluate(job)
    training_path(evaluator.spec.checkpoints, SE.digest, 20).unlink(missing_ok=True)
    alone, halves = ("alone", 16), ("alone", 8)
    assert (
        tries
        == {
            "beside": [("beside", 16)],
            "alone": [("beside", 16), alone],
            "in halves": [("beside", 16), alone, halves, halves],
            "never": [("beside", 16), alone, halves],
        }[fits]
    )
    if fits == "never":
        assert outcome.failure is not None and outcome.failure.startswith("out of memory (CUDA")
        assert not outcome.lost
    else:
        assert outcome.evaluation is not None
        assert outcome.evaluation.parts == (2 if fits == "in halves" else 1)
    assert share.held == ""
