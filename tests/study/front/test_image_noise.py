"""What the choice of validation images does to gains, by whatever trainings tell it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.samples import make_record

from nas.spec.task import TaskName
from nas.study.front.network_table import NetworkTable
from nas.study.full_training import FullTraining, pack_losses, pack_marks
from nas.study.marks import figure_gap
from nas.study.record import Record
from nas.study.trials import Trials

IMAGES = 60
RNG = np.random.default_rng(0)
LOSSES = {name: RNG.uniform(0.5, 1.5, IMAGES) for name in ("plain", "a")}


def columns_of(*records: Record) -> tuple[np.ndarray, np.ndarray]:
    columns = NetworkTable.of(Trials.of(records)).columns
    return columns["image_noise"], columns["accuracy_image_noise"]


def plain(*trainings: FullTraining) -> Record:
    record = make_record(0, name="plain", reference="plain", loss=1.0)
    return replace(record, full_trainings=trainings)


def of_a(*trainings: FullTraining) -> Record:
    return replace(make_record(1, name="a", loss=0.9), full_trainings=trainings)


def counts(seed: int) -> np.ndarray:
    """Pixels of two classes that were told rightly, told, and there, of each image."""
    rng = np.random.default_rng(seed)
    both = rng.integers(10, 50, (IMAGES, 2))
    return np.stack([both, both + 5, both + rng.integers(0, 30, (IMAGES, 2))], axis=2)


def trained(name: str, *, key: str = "key", task: TaskName | None = None) -> FullTraining:
    marks = pack_marks("segmentation", counts(len(name))) if task else None
    losses = pack_losses(LOSSES[name])
    mine = FullTraining(0, "x", None, 0, key, {}, "short", 32, loss=1.0, accuracy=0.5)
    return replace(mine, images=IMAGES, losses=losses, task=task, marks=marks)


def test_it_is_the_mean_over_seeds_and_that_of_others_where_it_is_not_known() -> None:
    """From scratch, only the seeds of the plain network tell it."""
    loss, accuracy = columns_of(
        plain(),
        make_record(1, name="a", loss=0.9, loss_sem=0.1, accuracy_sem=0.01),
        make_record(2, name="a", loss=0.9, seed=1, repeat=1),
        make_record(3, name="b", loss=0.8, loss_sem=0.3, accuracy_sem=0.03),
        make_record(4, name="c", loss=0.7),
    )
    np.testing.assert_allclose(loss, [np.nan, 0.1, 0.3, 0.2])
    np.testing.assert_allclose(accuracy, [np.nan, 0.01, 0.03, 0.02])


def test_full_trainings_tell_it_where_short_ones_have_not_kept_it() -> None:
    segmented = [trained(name, task="segmentation") for name in ("plain", "a")]
    loss, accuracy = columns_of(
        plain(segmented[0]),
        of_a(segmented[1]),
        make_record(2, name="b", loss=0.8),
    )
    expected = (LOSSES["a"] - LOSSES["plain"]).std() / IMAGES**0.5
    assert loss[1:] == pytest.approx([expected] * 2, rel=1e-2)
    gap = figure_gap("segmentation", [counts(1)], [counts(5)])
    assert accuracy[1:] == pytest.approx([gap.error] * 2)


def test_of_classification_full_trainings_tell_that_of_the_loss_alone() -> None:
    loss, accuracy = columns_of(
        plain(trained("plain")),
        of_a(trained("a")),
    )
    assert loss[1] > 0 and np.isnan(accuracy).all()


@pytest.mark.parametrize("beside", [(), ("another recipe",)])
def test_without_the_plain_network_beside_them_full_trainings_tell_nothing(
    beside: tuple[str, ...],
) -> None:
    loss, accuracy = columns_of(
        plain(*[trained("plain", key=key) for key in beside]),
        of_a(trained("a")),
    )
    assert np.isnan(loss).all() and np.isnan(accuracy).all()


def test_a_study_without_a_plain_network_knows_nothing_of_it() -> None:
    loss, accuracy = columns_of(of_a(trained("a")))
    assert np.isnan(loss).all() and np.isnan(accuracy).all()
