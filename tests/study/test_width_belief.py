"""What is believed of the plain network widened, by its own trainings alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from support.samples import make_record

from nas.spec.architecture import Architecture
from nas.study.evidence import Budgets
from nas.study.full_training import FullTraining
from nas.study.network_belief import NetworkBelief
from nas.study.record import Record
from nas.study.trials import Trials

BUDGETS = Budgets("start", (4000.0,), 1000.0, 30_000.0)
WIDE = Architecture("net@1.2", 32)


def widen(record: Record) -> Record:
    text, digest = WIDE.to_json(), WIDE.digest
    return replace(record, architecture=text, digest=digest, reference="plain x1.2", eligible=False)


def train_fully(record: Record, losses: Sequence[float]) -> Record:
    trainings = tuple(
        FullTraining(
            trial=record.trial,
            digest=record.digest,
            reference=record.reference,
            seed=seed,
            key="k",
            recipe={"epochs": 30.0},
            description="30 epochs",
            resolution=32,
            loss=loss,
            accuracy=1 - loss / 2,
        )
        for seed, loss in enumerate(losses)
    )
    return replace(record, full_trainings=trainings)


def study(
    *,
    attention: float = 0.0,
    plain: Sequence[float] = (0.80, 0.82, 0.81),
    wide: Sequence[float] = (0.70, 0.71),
    spread: float = 0.01,
    last_epoch: float | None = None,
) -> Trials:
    """A study of a plain network, a wide one, and six with blocks that gain `attention`.

    last_epoch: training loss of the wide one's last epoch; None: none is known of any.
    """
    records = [
        train_fully(make_record(0, name="plain", reference="plain", loss=1.2, accuracy=0.4), plain),
        widen(make_record(1, name="plain", loss=1.15, accuracy=0.43)),
    ]
    records[1] = train_fully(records[1], wide)
    for number, name in enumerate("abcdef", 2):
        loss = 1.2 - attention + spread * math.sin(number)
        records.append(make_record(number, name=name, loss=loss, accuracy=0.4 + attention / 2))
    repeats = [
        replace(
            record, trial=len(records) + place, repeat=1, seed=1, loss=(record.loss or 0) + 0.02
        )
        for place, record in enumerate(records[:4])
    ]
    every = [*records, *repeats]
    if last_epoch is not None:
        losses = [last_epoch if record.architecture == WIDE.to_json() else 1.5 for record in every]
        every = [
            replace(record, epoch_losses=(3.0, loss), images_seen=4000)
            for record, loss in zip(every, losses, strict=True)
        ]
    return Trials.of(every)


def believe(trials: Trials) -> NetworkBelief:
    belief = NetworkBelief.of(trials, BUDGETS)
    assert belief is not None
    return belief


def test_its_own_full_trainings_tell_what_it_gains() -> None:
    gain = believe(study()).gain([WIDE])
    assert gain.mean[0] == pytest.approx(0.105, abs=0.02)
    assert 0.005 < gain.deviation[0] < 0.03


def test_attention_does_not_pull_it_and_it_does_not_pull_attention() -> None:
    # Gains of blocks make the prior wider, no more: nothing of their sign is in it.
    up, down = (believe(study(attention=gain, wide=())).gain([WIDE]) for gain in (0.3, -0.3))
    assert up.mean[0] == pytest.approx(down.mean[0], abs=0.01)
    seen = [believe(study(wide=losses)) for losses in ((0.2, 0.2), (1.4, 1.4))]
    blocks = [item.gain(item.seen.architectures) for item in seen]
    assert blocks[0].mean == pytest.approx(blocks[1].mean)
    assert blocks[0].deviation == pytest.approx(blocks[1].deviation)
    assert WIDE not in seen[0].seen.architectures


def test_without_full_trainings_it_is_hardly_known() -> None:
    short, full = (believe(study(wide=losses)).gain([WIDE]) for losses in ((), (0.70, 0.71)))
    assert short.deviation[0] > 2 * full.deviation[0]


def test_more_full_trainings_tell_more() -> None:
    few, many = (believe(study(wide=[0.7, 0.71] * n)).gain([WIDE]) for n in (1, 4))
    assert many.deviation[0] < few.deviation[0]


def test_draws_are_of_the_gains_and_stand_where_they_were_asked_for() -> None:
    belief = believe(study())
    asked = [WIDE, *belief.seen.architectures]
    drawn, gain = belief.draws(asked, 4000), belief.gain(asked)
    assert drawn.mean(axis=0) == pytest.approx(gain.mean, abs=0.01)
    assert drawn[:, 0].std() == pytest.approx(gain.deviation[0], rel=0.1)
    points, share = belief.metric_draws(asked, 4000), belief.metric_gain(asked)
    assert points.mean(axis=0) == pytest.approx(share.mean, abs=0.01)
    # Of the same worlds: what saves loss there gains accuracy there.
    assert np.corrcoef(drawn[:, 0], points[:, 0])[0, 1] > 0.99


def test_what_was_not_trained_is_not_known() -> None:
    belief = believe(study())
    assert belief.knows(WIDE) and not belief.knows(Architecture("net@1.4", 32))
    trials = Trials.of([item for item in map(study().record, range(12)) if not item.reference])
    assert believe(trials).wider is None


def test_without_a_plain_network_beside_it_nothing_is_believed_of_it() -> None:
    records = [study().record(row) for row in range(12)]
    belief = believe(Trials.of([item for item in records if item.reference != "plain"]))
    assert belief.wider is None and not belief.knows(WIDE)


def test_equal_figures_leave_finite_gains() -> None:
    belief = believe(study(plain=(0.8, 0.8), wide=(0.8, 0.8), spread=0.0))
    gain = belief.gain([WIDE])
    assert math.isfinite(gain.mean[0]) and math.isfinite(gain.deviation[0])
    assert abs(gain.mean[0]) < 2 * gain.deviation[0]


def test_that_it_fits_the_training_images_better_says_nothing() -> None:
    before, after = (believe(study(last_epoch=loss)).gain([WIDE]) for loss in (None, 0.1))
    assert after.mean == pytest.approx(before.mean, abs=0.01)
    assert after.deviation == pytest.approx(before.deviation, rel=0.2)


def test_intervals_hold_what_they_say() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        truth = 0.04 * rng.standard_normal()
        plain, wide = (mean + 0.015 * rng.standard_normal(3) for mean in (0.8, 0.8 - truth))
        belief = believe_quickly(plain.tolist(), wide.tolist())
        held += abs(belief[0] - truth) < 1.645 * belief[1]
    assert 0.85 <= held / 200 <= 0.98


def believe_quickly(plain: list[float], wide: list[float]) -> tuple[float, float]:
    """The gain by the evidence alone, without the belief about networks with blocks."""
    from nas.study.evidence import collect_evidence
    from nas.study.width_belief import WidthBelief

    trials = study(plain=plain, wide=wide)
    digests = dict.fromkeys(trials["digest"].tolist())
    codes = {digest: np.array([row]) for row, digest in enumerate(digests)}
    found = WidthBelief.of(
        collect_evidence(trials, codes, BUDGETS),
        {WIDE.digest: int(codes[WIDE.digest][0])},
        int(codes[str(trials["digest"][0])][0]),
        full_images=BUDGETS.full_images,
        usual=0.04,
        usual_metric=0.02,
    )
    return float(found.loss.mean[0]), float(found.loss.deviation[0])
