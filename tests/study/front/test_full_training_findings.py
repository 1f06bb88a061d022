from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from study.test_full_training import CLEAR, front_of

from nas.study.front.findings import Finding, Kind
from nas.study.front.front import Front
from nas.study.front.full_training_findings import full_training_findings
from nas.study.front.prose import sentence
from nas.study.full_training import (
    full_trainings_to_json,
    pack_losses,
    pack_marks,
    read_full_trainings,
)
from nas.study.marks import figures_of

RISING = {
    name: [0.5 + 0.05 * place, 0.51 + 0.05 * place]
    for place, name in enumerate(["plain", "a", "hand", "b", "c", "d"])
}


def the(kind: Kind, front: Front, rival: str | None = None) -> Finding:
    return next(
        finding
        for finding in full_training_findings(front)
        if finding.kind == kind and rival in (None, finding.rival)
    )


def test_the_basis_is_counted() -> None:
    finding = the(Kind.FULL_TRAINING, front_of(CLEAR))
    assert dict(finding.counts) == {"networks": 3, "seeds": 3, "images": 1000, "test_images": 1000}
    assert finding.text == "200 epochs"


def test_a_difference_carries_its_interval() -> None:
    finding = the(Kind.ACCURACY_DIFFERENCE, front_of(CLEAR), "se/r24")
    assert (finding.subject, finding.unit) == ("trial 1", "points")
    # By seed 0.051, 0.049, 0.051.
    assert finding.estimate == pytest.approx(5.033, abs=1e-3)
    assert 0 < finding.low < finding.estimate < finding.high
    assert f"[{finding.low:+.2f}, {finding.high:+.2f}]: better" in sentence(finding)
    plain = the(Kind.ACCURACY_DIFFERENCE, front_of(CLEAR), "plain")
    assert plain.figure("latency_share") == pytest.approx(0.1)
    assert math.isnan(finding.figure("latency_share"))


def test_what_is_beaten_and_what_is_better_is_named() -> None:
    beaten = the(Kind.PLACED_BEATEN_IN_FULL, front_of(CLEAR))
    assert (beaten.estimate, beaten.networks, beaten.worse_than) == (1.0, ("se/r24",), ())
    front = front_of(CLEAR | {"a": [0.701, 0.710, 0.706]})
    worse = the(Kind.PLACED_BEATEN_IN_FULL, front)
    assert (worse.estimate, worse.networks, worse.worse_than) == (0.0, (), ("se/r24",))
    assert the(Kind.ACCURACY_DIFFERENCE, front, "se/r24").is_below


def test_the_proxys_order_is_a_correlation_with_its_interval() -> None:
    finding = the(Kind.PROXY_ORDER, front_of(RISING))
    assert finding.estimate == pytest.approx(1.0) and finding.count("networks") == 6
    assert finding.is_above and finding.high <= 1.0
    losses = {name: 0.5 + 0.1 * place for place, name in enumerate(RISING)}
    reverse = the(Kind.PROXY_ORDER, front_of(RISING, losses=losses))
    assert reverse.estimate == pytest.approx(-1.0) and reverse.is_below


@pytest.mark.parametrize(
    ("front", "kind", "subject"),
    [
        (front_of({"a": [0.9, 0.9]}), Kind.NO_PLACED, "No hand-placed network"),
        (front_of({"hand": [0.9, 0.9]}), Kind.NO_SEARCHED, "No searched network"),
        (front_of({n: v[:1] for n, v in CLEAR.items()}), Kind.FULL_NOISE_UNKNOWN, "Networks were"),
        (front_of(CLEAR, latency_ms={"a": 9.0}), Kind.NONE_AS_FAST, "No retrained network of"),
        (front_of({"plain": [0.8], "a": [math.nan, 0.9], "hand": [math.nan, math.nan, 0.85]}),
         Kind.NO_COMMON_SEED, "Retrained networks have no seed"),
        (front_of(CLEAR | {"b": [0.95]}), Kind.LACKING_SEEDS, "Not compared, since"),
        (front_of(CLEAR, objectives=("retrained_accuracy", "latency_ms"), without=("fast",)),
         Kind.NOT_RETRAINED, "1 network was not retrained"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_a_finding_too(front: Front, kind: Kind, subject: str) -> None:
    assert sentence(the(kind, front)).startswith(subject)


def test_seeds_are_those_that_searched_networks_share_with_others() -> None:
    four = [0.70, 0.71, 0.69, 0.70]
    front = front_of({"plain": four, "a": [0.75, 0.76], "hand": four})
    assert the(Kind.FULL_TRAINING, front).count("seeds") == 2
    assert the(Kind.ACCURACY_DIFFERENCE, front, "se/r24").subject == "trial 1"


def unopened(front: Front, *names: str | None) -> Front:
    """Take away what the test images said of some networks, by their references."""
    columns = dict(front.measured.columns)
    texts = columns["retrained"].copy()
    for row, text in enumerate(texts):
        if text is not None and columns["reference"][row] in names:
            closed = [
                replace(item, test_accuracy=None, test_correct=None, test_images=None)
                for item in read_full_trainings(text)
            ]
            texts[row] = full_trainings_to_json(closed)
    return replace(front, measured=replace(front.measured, columns=columns | {"retrained": texts}))


def test_a_network_whose_test_images_stayed_closed_is_left_out() -> None:
    finding = the(Kind.FULL_TRAINING, unopened(front_of(CLEAR), "plain"))
    assert (finding.count("networks"), finding.count("test_images")) == (2, 1000)
    assert the(Kind.LACKING_SEEDS, unopened(front_of(CLEAR), "plain")).networks == ("plain",)


def test_where_one_network_alone_saw_the_test_images_all_are_judged_by_validation() -> None:
    finding = the(Kind.FULL_TRAINING, unopened(front_of(CLEAR), "plain", "se/r24"))
    assert (finding.count("networks"), finding.count("test_images")) == (3, 0)


def test_the_luckiest_by_the_images_that_judge_it_is_held_against_all_it_was_chosen_from() -> None:
    """Without test images; the twelve are equal."""
    rng = np.random.default_rng(0)
    networks = {"plain": [0.80, 0.803, 0.797]} | {
        f"n{number}": (0.80 + 0.004 * rng.standard_normal(3)).tolist() for number in range(12)
    }
    luckiest = max(networks, key=lambda name: sum(networks[name]))
    alone = {name: networks[name] for name in ("plain", luckiest)}
    among, by_itself = (
        the(Kind.ACCURACY_DIFFERENCE, unopened(front_of(some), "plain", None), "plain")
        for some in (networks, alone)
    )
    assert among.estimate == pytest.approx(by_itself.estimate)
    assert among.high - among.low > 1.2 * (by_itself.high - by_itself.low)
    # By test images, which have not chosen it, nothing is asked of the others.
    tested = the(Kind.ACCURACY_DIFFERENCE, front_of(networks), "plain")
    one = the(Kind.ACCURACY_DIFFERENCE, front_of(alone), "plain")
    assert tested.high - tested.low < 1.2 * (one.high - one.low)


def with_losses(front: Front, means: dict[str, float], apart: float = 0.0) -> Front:
    """Keep the loss of each test image; seeds differ by .001, images by much, alike for all."""
    rng = np.random.default_rng(0)
    images = rng.gamma(1.0, 1.0, 1000)
    columns = dict(front.measured.columns)
    texts = columns["retrained"].copy()
    for row, text in enumerate(texts):
        if text is None:
            continue
        name = columns["reference"][row] or "a"
        kept = []
        for training in read_full_trainings(text):
            losses = images + means[name] + 0.001 * training.seed + apart * rng.normal(size=1000)
            kept.append(
                replace(training, test_loss=float(losses.mean()), test_losses=pack_losses(losses))
            )
        texts[row] = full_trainings_to_json(kept)
    measured = replace(front.measured, columns=columns | {"retrained": texts})
    return replace(front, measured=measured)


CLOSE = {"plain": [0.80, 0.81, 0.79], "a": [0.80, 0.79, 0.81], "hand": [0.80, 0.80, 0.80]}


def test_the_loss_of_each_image_tells_what_accuracy_does_not() -> None:
    front = with_losses(front_of(CLOSE), {"plain": 0.05, "a": 0.0, "se/r24": 0.04}, apart=0.1)
    assert not the(Kind.ACCURACY_DIFFERENCE, front, "se/r24").is_above
    finding = the(Kind.FULL_LOSS_DIFFERENCE, front, "se/r24")
    assert finding.is_above and finding.estimate == pytest.approx(0.04, abs=0.01)
    assert finding.unit == "loss" and finding.probability > 0.99
    assert the(Kind.PLACED_BEATEN_IN_FULL, front).networks == ("se/r24",)
    assert "of loss saved by full training" in sentence(finding)


def test_where_loss_and_accuracy_disagree_it_is_said() -> None:
    front = with_losses(front_of(CLEAR), {"plain": 0.05, "a": 0.3, "se/r24": 0.04}, apart=0.1)
    finding = the(Kind.FIGURES_DISAGREE, front, "se/r24")
    assert finding.estimate == pytest.approx(5.03, abs=0.01) and finding.figure("loss") < 0
    assert "its loss is higher, its accuracy +5.03 points" in sentence(finding)
    assert the(Kind.PLACED_BEATEN_IN_FULL, front).worse_than == ("se/r24",)
    agreed = with_losses(front_of(CLEAR), {"plain": 0.05, "a": 0.0, "se/r24": 0.04}, apart=0.1)
    kinds = {found.kind for found in full_training_findings(agreed)}
    assert Kind.FIGURES_DISAGREE not in kinds


def test_how_probable_it_is_to_be_no_worse_is_told() -> None:
    finding = the(Kind.ACCURACY_DIFFERENCE, replace(front_of(CLOSE), margin_points=50.0))
    assert finding.figure("no_worse") > 0.99 and finding.figure("margin") == 50.0
    assert "worse by less than 50.0 points with a probability of more than 99 %" in sentence(
        finding
    )


IMAGES = 300


def segmenting(front: Front, skills: dict[str, float], *, kept: bool = True) -> Front:
    """Turn trainings into such of segmentation, whose images say alike of all networks.

    skills: by name, the share of pixels that a network tells right, of three classes of which each
        image has mostly one.
    """
    rng = np.random.default_rng(0)
    true = rng.multinomial(1000, rng.dirichlet([0.2] * 3, size=IMAGES))
    hard = rng.normal(0, 0.1, (IMAGES, 1))
    columns = dict(front.measured.columns)
    texts = columns["retrained"].copy()
    for row, text in enumerate(texts):
        skill = skills[columns["reference"][row] or "a"]
        trainings = []
        for training in read_full_trainings(text):
            level = skill + hard + 0.01 * rng.normal(size=(IMAGES, 1)) + 0.001 * training.seed
            both = (true * level.clip(0, 1)).astype(int)
            told = both + np.roll(true - both, 1, axis=1)
            marks = np.stack([both, told, true], axis=2)
            figures = figures_of("segmentation", marks)
            trainings.append(
                replace(
                    training,
                    task="segmentation",
                    test_correct=None,
                    test_accuracy=figures["miou"],
                    test_figures=figures,
                    test_marks=pack_marks("segmentation", marks) if kept else None,
                    test_images=IMAGES,
                )
            )
        texts[row] = full_trainings_to_json(trainings)
    measured = replace(front.measured, columns=columns | {"retrained": texts})
    return replace(front, measured=measured)


def test_the_noise_of_a_figure_that_is_no_mean_over_images_is_a_bootstraps() -> None:
    """Images are harder or easier for all networks alike, so that 1 % of skill can be told."""
    skills = {"plain": 0.6, "a": 0.72, "se/r24": 0.71}
    finding = the(Kind.ACCURACY_DIFFERENCE, segmenting(front_of(CLEAR), skills), "se/r24")
    assert finding.is_above and 0.5 < finding.low < finding.estimate < finding.high < 2.5
    equal = segmenting(front_of(CLEAR), skills | {"a": 0.71})
    found = the(Kind.ACCURACY_DIFFERENCE, equal, "se/r24")
    assert not found.is_above and not found.is_below


def test_without_its_marks_no_difference_of_such_a_figure_is_claimed() -> None:
    skills = {"plain": 0.6, "a": 0.72, "se/r24": 0.71}
    front = segmenting(front_of(CLEAR), skills, kept=False)
    assert the(Kind.FULL_NOISE_UNKNOWN, front).subject
    kinds = {finding.kind for finding in full_training_findings(front)}
    assert Kind.ACCURACY_DIFFERENCE not in kinds
