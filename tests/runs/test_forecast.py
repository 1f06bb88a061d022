"""What a search is said to do before it does it, beside what it does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.samples import QUICK

from nas.execution.observer import Narrator
from nas.runs.forecast import Forecast, images_for
from nas.runs.forecast_prose import sentences
from nas.runs.start import foresee, search
from nas.spec.runner import load_runner
from nas.spec.task import ACCURACY

pytestmark = pytest.mark.xdist_group("run")

SOME = Forecast(
    placed=("plain", "se/r24"),
    searched=8,
    repeats=(4, 20),
    workers=2,
    elsewhere=False,
    steps=21,
    batch_size=64,
    images=480,
    validated=120,
    seconds=(600.0, 1560.0),
    time_limit=None,
    in_time=None,
    full_trainings=0,
    full_seconds=(0.0, 0.0),
    disk=70_000_000,
    free=10**12,
    resolved=0.056,
    measured=False,
    figure=ACCURACY,
)


def foreseen(space: Path, out: Path, *settings: str) -> Forecast:
    return foresee(space, load_runner(None, (*QUICK, *settings)), "digits", out)[0]


def test_a_search_does_what_was_foreseen(small_space: Path, tmp_path: Path) -> None:
    out, lines = tmp_path / "run", list[str]()
    settings = ("search.trials=4", "workers=1")
    said = foreseen(small_space, out, *settings)
    assert not out.exists() and [path.name for path in tmp_path.iterdir()] == ["small.yaml"]
    run = search(
        small_space, load_runner(None, (*QUICK, *settings)), "digits", out,
        observer=Narrator(lines.append),
    )  # fmt: skip
    trials = run.trials()
    references = {name for name in trials["reference"] if name}
    assert set(said.placed) == references
    assert said.networks == 4 == trials.evaluated and said.searched == 4 - len(references)
    assert said.trainings[0] <= len(trials) <= said.trainings[1]
    assert said.steps == 4 and (said.images, said.validated) == (1151, 287)
    assert said.seconds is not None and 0 < said.seconds[0] <= said.seconds[1]
    weights = sum(path.stat().st_size for path in (out / "checkpoints").rglob("*.safetensors"))
    assert weights < said.disk
    before = lines[: lines.index("searching")]
    assert any(line.startswith("4 networks: 1 searched and 3 placed by hand") for line in before)
    assert any("judged on 287" in line for line in before)


def test_networks_placed_by_hand_are_counted_where_fewer_are_asked_for(
    small_space: Path, tmp_path: Path
) -> None:
    runner = load_runner(None, (*QUICK, "search.trials=1"))
    said, notes = foresee(small_space, runner, "digits", tmp_path / "run")
    assert (said.networks, said.searched) == (3, 0)
    assert any("3 networks are placed by hand, more than the 1 asked for" in note for note in notes)


@pytest.mark.parametrize(
    "settings",
    [
        ("proxy.kind=supernet",),
        ("proxy.unit=seconds", "proxy.rungs=[2]"),
        ("regime=scratch", "proxy.kind=scratch"),
        ("proxy.rungs=[2,6,18]", "search.confirm_seeds=1"),
        ("executor=worker",),
    ],
)
def test_every_kind_of_training_is_foreseen(
    small_space: Path, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    said = foreseen(small_space, tmp_path / "run", *settings)
    assert said.seconds is not None and said.seconds[1] > 0 and said.disk > 0
    assert all(sentences(said))
    nothing_to_count = settings[0] in {"proxy.kind=supernet", "proxy.unit=seconds"}
    assert (said.steps is None) == nothing_to_count
    if said.steps is None:
        assert not said.is_short


def test_a_network_that_cannot_be_timed_stops_nothing(
    small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **named: object) -> float:
        raise RuntimeError("somebody's own forward")

    monkeypatch.setattr("nas.runs.forecast.seconds_of_step", fail)
    said = foreseen(small_space, tmp_path / "run", "search.time_limit=30")
    assert said.seconds is None and said.in_time is None
    assert "no step could be timed" in sentences(said)[1]


def test_time_leaves_room_for_so_many_networks(small_space: Path, tmp_path: Path) -> None:
    said = foreseen(small_space, tmp_path / "run", "search.trials=5000", "search.time_limit=30")
    assert said.in_time is not None
    least, most = said.in_time
    assert len(said.placed) <= least <= most < 5000
    # From scratch the plain network takes time, too.
    scratch = ("search.trials=5000", "regime=scratch", "proxy.kind=scratch")
    every = foreseen(small_space, tmp_path / "run", *scratch)
    some = foreseen(small_space, tmp_path / "run", *scratch, "search.time_limit=2")
    assert some.repeats[1] < every.repeats[1] / 2 and some.disk < every.disk / 2
    assert "until time is over" in sentences(said)[0]
    assert sentences(said)[1].startswith("The search ends after 30 s")


def test_a_budget_is_shared_before(small_space: Path, tmp_path: Path) -> None:
    said = foreseen(small_space, tmp_path / "run", "search.budget=10h", "retrain.epochs=1")
    assert said.full_trainings >= 3 and said.full_seconds and said.time_limit


def test_processes_that_share_a_full_training_share_its_time(
    small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = []

    def second(*_: object, threads: int) -> float:
        timed.append(threads)
        return 1.0

    monkeypatch.setattr("nas.runs.retrain.plan.seconds_of_step", second)
    monkeypatch.setattr("nas.runs.retrain.plan.usable_cores", lambda: 8)
    monkeypatch.setattr("nas.runs.retrain.plan.visible_gpus", lambda: ())
    settings = ("search.full_trainings=4", "retrain.epochs=1")
    by_one, by_four = (
        foreseen(small_space, tmp_path / "run", *settings, f"retrain.processes={processes}")
        for processes in (1, 4)
    )
    # Four side by side end when four that all processes share end one after another.
    assert by_one.full_seconds == by_four.full_seconds and by_one.full_seconds
    assert timed == [1, 1, 2, 2]


def test_words_say_what_is_needed() -> None:
    networks, effort, told, short = sentences(SOME)
    assert networks == (
        "10 networks: 8 searched and 2 placed by hand (what a search has to beat: plain, se/r24); "
        "then 4 to 20 further seeds of these and of the front"
    )
    assert "about 10 to 26 min of training, 2 side by side; it needs up to 70 MB" in effort
    quick = sentences(replace(SOME, seconds=(0.0, 0.4)))[1]
    assert quick.startswith("The search takes less than a second of training")
    assert told == (
        "Each training takes 21 steps of 64 of the 480 images, and is judged on 120, which can "
        "show differences of 5.6 points of accuracy or more (one point takes about 3,800 images)"
    )
    assert "--set proxy.unit=steps --set proxy.rungs=[300]" in short
    assert len(sentences(replace(SOME, measured=True))) == 3
    full = replace(SOME, free=10**6, full_trainings=3, full_seconds=(7200.0, 10800.0), workers=1)
    assert "one by one, then 3 full trainings of about 2 to 3 h in all" in sentences(full)[1]
    assert "1 MB are free: make room" in sentences(full)[1]
    many = replace(SOME, placed=tuple("abcdefgh"))
    assert "has to beat: a, b, c, d, e, f and 2 more)" in sentences(many)[0]
    unknown = replace(SOME, seconds=None, resolved=None)
    assert "no step could be timed" in sentences(unknown)[1]
    assert sentences(unknown)[2].endswith("judged on 120")


def test_more_images_show_smaller_differences() -> None:
    assert images_for(0.005) == pytest.approx(4 * images_for(0.01), rel=0.01)
