from __future__ import annotations

import math
from dataclasses import replace

import pytest
from support.samples import make_record

from nas.runs.belief import read_belief, read_budgets, regime_of
from nas.spec.runner import Runner, load_runner
from nas.study.full_training import FullTraining
from nas.study.record import Record
from nas.study.trials import Trials

STUDY = [
    make_record(0, name="plain", reference="plain", loss=1.0, accuracy=0.5),
    make_record(1, name="a", loss=0.9, accuracy=0.6),
    make_record(2, name="b", loss=0.8, accuracy=0.7),
]


def runner(*overrides: str) -> Runner:
    return load_runner(None, overrides)


@pytest.mark.parametrize(
    ("overrides", "source", "images"),
    [
        (("proxy.kind=scratch", "proxy.rungs=[1,4]"), "start", (1000, 4000)),
        (("proxy.kind=scratch", "proxy.rungs=[2]", "proxy.subset=500"), "scratch", (1000,)),
        (("proxy.kind=scratch", "proxy.rungs=[2]", "proxy.resolution=16"), "scratch", (2000,)),
        (
            ("proxy.kind=finetune", "proxy.rungs=[10]", "proxy.unit=steps"),
            "finetune",
            (500,),
        ),
        (("proxy.kind=probe", "proxy.rungs=[700]", "proxy.unit=images"), "probe", (700,)),
        (("proxy.kind=scratch", "proxy.rungs=[60]", "proxy.unit=seconds"), "scratch", (60,)),
    ],
)
def test_a_proxy_is_evidence_of_images_seen(
    overrides: tuple[str, ...], source: str, images: tuple[float, ...]
) -> None:
    budgets = read_budgets(
        runner(*overrides, "retrain.epochs=30", "proxy.batch_size=50"), Trials.of(STUDY), 1000
    )
    assert (budgets.source, budgets.train_images, budgets.full_images) == (source, 1000, 30_000)
    assert budgets.images == pytest.approx(images)


def trained_fully(record: Record, epochs: float) -> Record:
    training = FullTraining(
        trial=record.trial,
        digest=record.digest,
        reference=record.reference,
        seed=1,
        key="k",
        recipe={"epochs": epochs},
        description="",
        resolution=32,
        loss=0.5,
        accuracy=0.8,
    )
    return replace(record, full_trainings=(training,))


def test_a_full_training_is_as_long_as_those_that_there_are() -> None:
    trials = Trials.of([*STUDY[:2], trained_fully(STUDY[2], 7)])
    budgets = read_budgets(runner("proxy.rungs=[1]", "retrain.epochs=30"), trials, 1000)
    assert budgets.full_images == 7000


def test_images_that_were_not_recorded_are_told_from_the_validation() -> None:
    records = [make_record(0, name="plain", images=200), make_record(1, images=200)]
    budgets = read_budgets(runner("proxy.rungs=[1]"), Trials.of(records), None)
    assert budgets.train_images == 800


def test_the_regime_is_that_of_the_proxy() -> None:
    assert regime_of(runner("proxy.kind=scratch")) == "scratch"
    assert regime_of(runner("proxy.kind=probe", "proxy.rungs=[1]")) == "finetune"


@pytest.mark.parametrize(
    "records",
    [[], STUDY[:1], [make_record(0, failure="diverged"), STUDY[0]]],
    ids=["none", "one", "one and a failure"],
)
def test_one_network_tells_nothing(records: list[Record]) -> None:
    assert read_belief(runner("proxy.rungs=[1]"), Trials.of(records), 1000) is None


@pytest.mark.parametrize(
    "losses",
    [(1.0, 1.0, 1.0), (1.0, math.inf, 0.9), (1.0, math.nan, 0.9), (1e6, 2e6, 1e12)],
    ids=["constant", "infinite", "no number", "a million times too large"],
)
def test_broken_figures_leave_finite_gains(losses: tuple[float, ...]) -> None:
    records = [replace(record, loss=loss) for record, loss in zip(STUDY, losses, strict=True)]
    belief = read_belief(runner("proxy.rungs=[1]"), Trials.of(records), 1000)
    assert belief is not None
    gain = belief.gain(belief.seen.architectures)
    assert all(math.isfinite(value) for value in (*gain.mean, *gain.deviation))


def test_epoch_losses_are_evidence_of_the_curve_and_not_of_a_probe() -> None:
    records = [
        replace(record, epoch_losses=(2.0, 1.5 - 0.1 * record.trial), images_seen=2000)
        for record in STUDY
    ]
    for kind, expected in (("scratch", ["epoch of start", "start"]), ("probe", ["probe"])):
        options = (f"proxy.kind={kind}", "proxy.rungs=[2]")
        belief = read_belief(runner(*options), Trials.of(records), 1000)
        assert belief is not None
        assert sorted(set(belief.evidence.source)) == expected
    evidence = read_belief(runner("proxy.rungs=[2]"), Trials.of(records), 1000).evidence
    epochs = [name == "epoch of start" for name in evidence.source]
    assert evidence.loss[epochs].tolist() == [1.5, 1.4, 1.3]
    assert evidence.images[epochs].tolist() == [2000] * 3
    assert evidence.training[epochs].tolist() == [0, 1, 2]
