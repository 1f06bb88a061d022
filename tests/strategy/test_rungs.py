from __future__ import annotations

from dataclasses import replace

import pytest
from support.samples import make_record

from nas.spec.objective import objectives_named
from nas.strategy.rungs import Ladder
from nas.study.record import COMPLETE, FAILED, PAUSED, PRUNED, RUNNING, Record, RungResult

OBJECTIVES = objectives_named(["loss", "accuracy", "latency_ms"])


def climber(
    trial: int, losses: list[float], state: str = PAUSED, *, latency_ms: float = 1.0, **more: object
) -> Record:
    """A network with a loss at each rung it has reached; its accuracy is 1 - loss."""
    *below, last = losses
    rungs = tuple(RungResult(number + 1, loss, 1 - loss, 1.0) for number, loss in enumerate(below))
    record = make_record(
        trial, name=str(trial), loss=last, accuracy=1 - last, latency_ms=latency_ms, **more
    )  # type: ignore[arg-type]
    return replace(record, state=state, rungs=rungs)


def ladder(*records: Record, reduction: int | None = 2, rungs: int = 3) -> Ladder:
    found = Ladder(OBJECTIVES, rungs=rungs, reduction=reduction)
    for record in records:
        found.note(record)
    return found


def test_an_estimate_is_shifted_by_what_the_way_to_the_top_has_brought() -> None:
    found = ladder(
        climber(0, [0.9, 0.7, 0.5], COMPLETE, reference="se"),
        climber(1, [0.8, 0.6, 0.2], COMPLETE),
        # Nothing to train: the same everywhere, and no measure for others.
        climber(2, [0.9, 0.9, 0.9], COMPLETE, trained=False, reference="plain"),
        climber(3, [0.7], latency_ms=3.0),
        climber(4, [0.9, 0.8], PRUNED),
        climber(5, [0.75], RUNNING),
        climber(6, [0.1], FAILED),
    )
    estimates = {trial: costs.round(6).tolist() for trial, costs in found.estimates().items()}
    assert estimates == {
        0: [0.5, -0.5, 1.0],
        1: [0.2, -0.8, 1.0],
        2: [0.9, -0.1, 1.0],
        3: [0.2, -0.8, 3.0],  # -0.5 on the mean from the first rung
        4: [0.5, -0.5, 1.0],  # -0.3 from the second
        5: [0.25, -0.75, 1.0],
    }
    assert found.waiting == [3]


def test_before_anybody_is_at_the_top_a_rung_is_taken_as_it_is() -> None:
    found = ladder(climber(0, [0.7]), climber(1, [0.9, 0.8]))
    assert [costs.tolist()[0] for costs in found.estimates().values()] == [0.7, 0.8]


@pytest.mark.parametrize(
    ("record", "rung"),
    [
        (replace(climber(0, [1.0]), loss=None, state=RUNNING), 0),
        (climber(0, [1.0]), 1),
        (climber(0, [1.0, 0.9]), -1),
        (replace(climber(0, [1.0]), loss=None, state=RUNNING, repeat=1), -1),
        (replace(climber(0, [1.0]), loss=None, state=RUNNING, reference="se"), -1),
    ],
)
def test_which_rung_comes_next(record: Record, rung: int) -> None:
    assert ladder().rung_to_train(record) == rung
    assert ladder(rungs=1).rung_to_train(record) == -1
    assert ladder(reduction=None).rung_to_train(record) == -1


@pytest.mark.parametrize("none", [ladder(rungs=1), ladder(reduction=None)])
def test_without_rungs_nobody_is_on_the_ladder(none: Ladder) -> None:
    none.note(climber(0, [1.0], COMPLETE))
    assert not none.halves
    assert (none.waiting, none.estimates(), none.next_trial(last=True)) == ([], {}, None)
    assert none.share_at_top == 1


def test_one_of_two_goes_on_and_more_in_the_end() -> None:
    found = ladder(climber(0, [0.9]), climber(1, [0.8]), climber(2, [0.7]))
    assert found.share_at_top == 0.5
    assert found.next_trial(last=False) == 2
    found.note(climber(2, [0.7], RUNNING))
    assert found.next_trial(last=False) is None
    # A better one: there is no room for it, until no more will come or the rung has grown.
    found.note(climber(3, [0.6, 0.5], PRUNED))  # counts as gone on
    found.note(climber(4, [0.5]))
    assert found.next_trial(last=False) is None
    assert found.next_trial(last=True) == 4
    found.note(climber(5, [0.95]))
    assert found.next_trial(last=False) == 4


def test_what_has_failed_leaves_its_place_to_the_next() -> None:
    found = ladder(climber(0, [0.9]), climber(1, [0.8], RUNNING))
    assert found.next_trial(last=False) is None
    found.note(climber(1, [0.8], FAILED))
    assert found.next_trial(last=False) is None  # one alone is not the best of two
    found.note(climber(2, [0.95]))
    assert found.next_trial(last=False) == 0


def test_references_are_ranked_but_take_no_place() -> None:
    placed = [climber(n, [0.5, 0.4, 0.3], COMPLETE, reference=f"r{n}") for n in range(2)]
    found = ladder(*placed, climber(2, [0.4]), climber(3, [0.9]))
    assert found.next_trial(last=False) == 2
    worse = ladder(*placed, climber(2, [0.6]), climber(3, [0.9]))
    assert worse.next_trial(last=False) is None  # both references are better
    out = ladder(*(replace(item, eligible=False) for item in placed), climber(2, [0.6]))
    assert out.next_trial(last=False) is None  # alone, where those that exceed a limit do not count


@pytest.mark.parametrize("state", [RUNNING, PRUNED])
def test_in_the_end_what_looks_like_the_front_goes_on(state: str) -> None:
    # The best three of nine are the ends of the front and 1; 3 is on it as well, but crowded.
    front = {0: (0.1, 9.0), 1: (0.5, 5.0), 2: (0.9, 1.0)}
    placed = [
        climber(trial, [loss, loss - 0.05], COMPLETE, latency_ms=latency_ms, reference="se")
        for trial, (loss, latency_ms) in front.items()
    ]
    dominated = [climber(trial, [0.95], latency_ms=9.0 + trial) for trial in range(4, 9)]
    found = ladder(*placed, climber(3, [0.45], latency_ms=6.0), *dominated, rungs=2, reduction=3)
    assert found.unfinished == 2
    assert found.next_trial(last=False) is None
    assert found.next_trial(last=True) == 3
    found.note(climber(3, [0.45], state, latency_ms=6.0))
    assert found.unfinished == (1 if state == RUNNING else 2)
    assert found.next_trial(last=True) is None  # all others are dominated
