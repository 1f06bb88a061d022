from __future__ import annotations

import numpy as np
import pytest

from nas.spec.task import TASKS
from nas.study.detection_marks import detection_marks, stack_marks
from nas.study.full_training import condense_marks, pack_losses, pack_marks, unpack_marks
from nas.study.marks import (
    Marks,
    class_ious,
    figure_covariance,
    figure_gap,
    figures_of,
    pixel_marks,
)


def segmented(rng: np.random.Generator, images: int, skill: float, classes: int = 4) -> Marks:
    """Counts of 400 pixels an image, of which some two classes take the most."""
    true = rng.multinomial(400, rng.dirichlet([0.3] * classes, size=images))
    both = rng.binomial(true, np.clip(rng.normal(skill, 0.15, true.shape), 0, 1))
    wrong = (true - both).sum(axis=1)
    told = both + rng.multinomial(wrong, [1 / classes] * classes)
    return np.stack([both, told, true], axis=2)


def test_figures_come_in_the_order_of_their_task() -> None:
    marks: dict[str, Marks] = {
        "classification": np.array([True, False, True, True]),
        "segmentation": np.array([[[1, 2, 3], [0, 1, 0]], [[2, 2, 2], [1, 1, 1]]]),
        "retrieval": np.array([[0.5, 0, 1], [1, 1, 1], [0.25, 0, 0], [0.25, 0, 1]]),
        # One is found from an overlap of .7 on, the other, a large one, not at all.
        "detection": stack_marks(
            [
                detection_marks(
                    np.array([[0, 0, 7, 10, 0.5, 0]]), np.array([[0, 0, 10, 10, 0, 0]])
                ),
                detection_marks(np.zeros((0, 6)), np.array([[0, 0, 100, 100, 1, 0]])),
            ]
        ),
    }
    expected = {
        "classification": {"accuracy": 0.75},
        "segmentation": {"miou": (3 / 6 + 1 / 2) / 2, "pixel_accuracy": 4 / 6},
        "retrieval": {"rank1": 0.25, "map": 0.5, "rank5": 0.75},
        "detection": {"ap": 0.25, "ap50": 0.5, "ap75": 0.0, "ap_small": 0.5, "ap_large": 0.0},
    }
    for task, figures in TASKS.items():
        found = figures_of(task, marks[task])
        # There is no object of medium size.
        named = [figure.name for figure in figures.figures if figure.name != "ap_medium"]
        assert list(found) == named
        assert found == pytest.approx(expected[task])


def test_a_class_that_is_nowhere_is_left_out_and_one_told_wrongly_is_not() -> None:
    marks = np.array([[[4, 5, 4], [0, 1, 0], [0, 0, 0], [0, 0, 2]]])
    assert class_ious(marks).tolist()[:2] == [4 / 5, 0.0]
    assert np.isnan(class_ious(marks)[2])
    assert figures_of("segmentation", marks)["miou"] == pytest.approx((0.8 + 0 + 0) / 3)
    assert figures_of("segmentation", marks[:0]) == {"miou": 0.0, "pixel_accuracy": 0.0}


def test_pixels_are_counted_and_one_that_was_not_told_is_wrong() -> None:
    told = np.array([[0, 1, 1], [255, 1, 255]], dtype=np.uint8)
    true = np.array([[0, 0, 1], [1, 255, 255]], dtype=np.uint8)
    assert pixel_marks(told, true, 3).tolist() == [[1, 1, 2], [1, 2, 2], [0, 0, 0]]


@pytest.mark.parametrize("task", ["classification", "retrieval"])
def test_gaps_of_means_over_images_are_paired_by_image(task: str) -> None:
    rng = np.random.default_rng(0)
    flags = [[rng.random(500) < level for _ in range(2)] for level in (0.7, 0.6)]
    marks = flags
    if task == "retrieval":
        marks = [[np.stack([one * 0.3, one, one], axis=1) for one in seeds] for seeds in flags]
    found = figure_gap(task, *marks)  # type: ignore[arg-type]
    apart = np.mean(flags[0], axis=0) - np.mean(flags[1], axis=0)
    assert found.gap == pytest.approx(apart.mean())
    assert found.error == pytest.approx(apart.std(ddof=1) / np.sqrt(500))


def test_a_bootstrap_of_one_class_is_the_formula_of_a_mean() -> None:
    """Where every image has as many pixels of the one class, its IoU is the mean over images."""
    rng = np.random.default_rng(1)
    both = rng.binomial(100, rng.beta(3, 2, size=300))
    marks = np.stack([both, both, np.full(300, 100)], axis=1)[:, None, :]
    variance = figure_covariance("segmentation", [[marks]], 300)[0, 0]
    assert variance == pytest.approx((both / 100).var(ddof=1) / 300, rel=0.1)
    points = figure_covariance("segmentation", [[marks]], 300, unit=100)[0, 0]
    assert points == pytest.approx(1e4 * variance)


def test_gaps_are_paired_and_repeat() -> None:
    """Two networks that err on the same images differ by less than two that do not."""
    rng = np.random.default_rng(2)
    one, other = segmented(rng, 200, 0.8), segmented(rng, 200, 0.8)
    near = one.copy()
    near[:, 0, 1] += rng.integers(0, 3, 200)
    assert figure_gap("segmentation", [one], [one]).error == 0.0
    alike, apart = (figure_gap("segmentation", [one], [item]) for item in (near, other))
    assert 0 < alike.gap < 0.05 and 0 < alike.error < apart.error / 3
    assert figure_gap("segmentation", [one], [other]) == apart
    seeds = figure_gap("segmentation", [one, near], [near, one])
    assert seeds.gap == 0.0 and seeds.error == pytest.approx(0.0, abs=1e-12)


def test_intervals_of_ninety_percent_hold_about_as_often() -> None:
    rng = np.random.default_rng(3)
    easy, hard = (segmented(rng, 20_000, skill) for skill in (0.8, 0.77))
    truth = figures_of("segmentation", easy)["miou"] - figures_of("segmentation", hard)["miou"]
    held, tries = 0, 120
    for _ in range(tries):
        rows = rng.integers(0, len(easy), 60)
        found = figure_gap("segmentation", [easy[rows]], [hard[rows]])
        held += abs(found.gap - truth) < 1.645 * found.error
    assert 0.82 < held / tries < 0.97


@pytest.mark.parametrize(("images", "classes", "groups"),
                         [(37, 3, 37), (1000, 3, 200), (500, 21, 63), (400, 150, 20)])  # fmt: skip
def test_counts_are_kept_by_group(images: int, classes: int, groups: int) -> None:
    marks = segmented(np.random.default_rng(4), images, 0.7, classes)
    found = unpack_marks("segmentation", pack_marks("segmentation", marks))
    assert found.shape == (groups, classes, 3)
    assert (found.sum(axis=0) == marks.sum(axis=0)).all(), "so that their figures are the same"
    assert (found[1] == marks[1::groups].sum(axis=0)).all()
    assert (marks[..., 0] <= marks[..., 1]).all(), "what is packed is not changed"


def test_a_bootstrap_over_groups_stands_for_one_over_images() -> None:
    rng = np.random.default_rng(5)
    pairs = [segmented(rng, 2000, skill) for skill in (0.8, 0.75)]
    kept = [unpack_marks("segmentation", pack_marks("segmentation", one)) for one in pairs]
    whole = figure_gap("segmentation", pairs[:1], pairs[1:])
    grouped = figure_gap("segmentation", kept[:1], kept[1:])
    assert grouped.gap == pytest.approx(whole.gap)
    assert grouped.error == pytest.approx(whole.error, rel=0.2)


def test_queries_are_kept_and_of_many_the_same_ones() -> None:
    rng = np.random.default_rng(6)
    marks = np.stack([rng.random(9000), rng.random(9000) < 0.4, rng.random(9000) < 0.6], axis=1)
    few = unpack_marks("retrieval", pack_marks("retrieval", marks[:100]))
    np.testing.assert_allclose(few, marks[:100], atol=5e-4)
    many = unpack_marks("retrieval", pack_marks("retrieval", marks))
    np.testing.assert_allclose(many, marks[::3], atol=5e-4)


@pytest.mark.parametrize("task", ["segmentation", "retrieval"])
def test_all_that_is_kept_of_a_training_is_smaller_than_a_text_of_mysql(task: str) -> None:
    """At the worst: as many images as there may be, and nothing that can be compressed."""
    rng = np.random.default_rng(7)
    losses = pack_losses(rng.exponential(size=8000), marked=True)
    marks: Marks = np.stack([rng.random(8000), rng.random(8000) < 0.5, rng.random(8000) < 0.5], 1)
    if task == "segmentation":
        marks = rng.integers(0, 1 << 12, (8000, 21, 3))
    assert 2 * len(losses) + 2 * len(pack_marks(task, marks)) < 58_000  # type: ignore[arg-type]


def test_condensed_marks_tell_gaps_as_well() -> None:
    rng = np.random.default_rng(8)
    counts = [rng.integers(1, 40, (300, 3, 1)) for _ in range(2)]
    marks = [np.concatenate([both, both + 9, both + 20], axis=2) for both in counts]
    whole = figure_gap("segmentation", [marks[0]], [marks[1]])
    few = [condense_marks("segmentation", one) for one in marks]
    assert len(few[0]) == 200
    condensed = figure_gap("segmentation", [few[0]], [few[1]])
    assert condensed.gap == pytest.approx(whole.gap)
    assert condensed.error == pytest.approx(whole.error, rel=0.2)
    right = rng.random(50) < 0.5
    assert condense_marks("classification", right) is right
