from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.samples import make_record

from nas.base.errors import StorageError
from nas.study.record import COMPLETE, FAILED, PAUSED, PRUNED, RUNNING, Record, RungResult
from nas.study.trials import Trials

nan = math.nan

MIXED = [
    make_record(0, name="plain", reference="plain", loss=0.7, loss_sem=0.01),
    replace(make_record(1, failure="diverged: loss 9"), eligible=False),
    replace(make_record(2), state=RUNNING, loss=None, params=None),
    replace(make_record(3), final_latency_ms=1.25, final_latency_spread=0.0, finished="now"),
    replace(make_record(4, failure="params 9 > 8"), state=PRUNED, seed=2**31 - 1),
]

text = st.none() | st.text(st.characters(codec="utf-8"), max_size=8)
number = st.none() | st.floats(allow_nan=False)
records = st.builds(
    Record,
    trial=st.integers(0, 2**40),
    state=st.sampled_from([COMPLETE, PAUSED, PRUNED, FAILED, RUNNING]),
    digest=st.text(st.characters(codec="utf-8"), max_size=4),
    architecture=st.just("{}"),
    reference=text,
    eligible=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
    loss=number,
    latency_ms=number,
    params=st.none() | st.integers(0, 2**50),
    final_latency_ms=number,
    finished=text,
    failure=text,
    rungs=st.lists(
        st.builds(
            RungResult,
            *[st.floats(0, 1e9)] * 4,
            st.integers(0, 2**40),
            st.lists(st.floats(0, 1e9), max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
    images_seen=st.none() | st.integers(0, 2**40),
    epoch_losses=st.lists(st.floats(0, 1e9), max_size=3).map(tuple),
)


def rows(trials: Trials) -> list[dict[str, object]]:
    return [trials.row(row) for row in range(len(trials))]


def read(path: Path, stamp: str | None = None) -> Trials:
    trials = Trials.read(path, stamp=stamp)
    assert trials is not None
    return trials


@pytest.mark.parametrize("chosen", [MIXED, MIXED[1:2], []], ids=["mixed", "no evaluation", "none"])
def test_parquet_round_trip(tmp_path: Path, chosen: list[Record]) -> None:
    before = Trials.of(chosen)
    before.write(tmp_path / "t.parquet", stamp="7")
    after = read(tmp_path / "t.parquet", "7")
    assert rows(after) == rows(before) == [record.to_dict() for record in chosen]
    assert {name: values.dtype for name, values in after.columns.items()} == {
        name: values.dtype for name, values in before.columns.items()
    }
    assert [item.name for item in tmp_path.iterdir()] == ["t.parquet"]


@given(st.lists(records, max_size=6))
@settings(deadline=None)
def test_any_records_round_trip(
    tmp_path_factory: pytest.TempPathFactory, chosen: list[Record]
) -> None:
    path = tmp_path_factory.mktemp("trials") / "t.parquet"
    Trials.of(chosen).write(path, stamp="")
    trials = read(path)
    assert rows(trials) == [record.to_dict() for record in chosen]
    assert [trials.record(row) for row in range(len(trials))] == chosen
    assert trials.rung_counts().tolist() == [len(record.rungs) for record in chosen]


def test_columns_have_plain_types() -> None:
    trials = Trials.of(MIXED)
    assert len(trials) == 5
    assert trials["loss"].dtype == np.float64
    assert np.isnan(trials["loss"]).tolist() == [False, True, True, False, True]
    assert trials["eligible"].tolist() == [1, 0, 1, 1, 1]
    assert trials["reference"].tolist() == ["plain", None, None, None, None]
    assert trials.complete.tolist() == [True, False, False, True, False]
    counts = {state: trials.count(state) for state in (COMPLETE, FAILED, PRUNED, RUNNING)}
    assert counts == {COMPLETE: 2, FAILED: 1, PRUNED: 1, RUNNING: 1}


def test_rows_are_json_types() -> None:
    row = Trials.of(MIXED).row(3)
    assert (row["params"], row["eligible"], row["failure"]) == (1000, True, None)
    kinds = {type(value) for value in row.values()}
    assert kinds <= {int, float, str, bool, type(None)}


def test_nan_becomes_absent(tmp_path: Path) -> None:
    trials = Trials.of([make_record(0, loss=nan)])
    assert trials.row(0)["loss"] is None
    trials.write(tmp_path / "t.parquet", stamp="")
    assert math.isnan(read(tmp_path / "t.parquet")["loss"][0])


def test_another_state_of_the_study_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    Trials.of(MIXED[:1]).write(path, stamp="1")
    Trials.of(MIXED).write(path, stamp="2")
    assert Trials.read(path, stamp="1") is None
    assert len(read(path, "2")) == len(read(path)) == len(MIXED)


def broken(path: Path, how: str) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    Trials.of(MIXED).write(path, stamp="1")
    if how == "half":
        path.write_bytes(path.read_bytes()[:-100])
    elif how == "text":
        path.write_text("not Parquet")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "other columns":
        parquet.write_table(pa.table({"a": [1]}), path)
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["half", "text", "empty", "other columns", "absent"])
def test_broken_file_says_what_to_do(tmp_path: Path, how: str) -> None:
    path = tmp_path / "t.parquet"
    broken(path, how)
    with pytest.raises(StorageError, match="cannot be read") as caught:
        Trials.read(path)
    assert str(path) in str(caught.value)


def test_whatever_is_broken_is_one_line_when_it_is_asked_for(tmp_path: Path) -> None:
    """Columns are read when they are asked for, texts once more by themselves."""
    whole, broken = tmp_path / "whole.parquet", tmp_path / "trials.parquet"
    Trials.of([make_record(0), make_record(1, name="b")]).write(whole, stamp="a")
    rng, refused = np.random.default_rng(0), 0
    for _ in range(150):
        content = np.frombuffer(whole.read_bytes(), dtype=np.uint8).copy()
        content[rng.integers(len(content), size=8)] = rng.integers(256, size=8)
        broken.write_bytes(content.tobytes())
        try:
            trials = Trials.read(broken)
            assert trials is not None
            for name in trials.columns:
                _ = trials[name]
            architectures = trials.text("architecture")
            _ = architectures[0], architectures.objects(), architectures.count("se")
        except StorageError as error:
            refused += 1
            assert str(error).startswith(f"{broken} cannot be read") and "\n" not in str(error)
    assert refused > 50


def test_no_trials_at_all() -> None:
    trials = Trials.of([])
    assert len(trials) == 0
    assert trials.complete.dtype == bool
    assert trials.count(COMPLETE) == 0
    assert set(trials.columns) == set(Record.names())


def test_what_was_spent_and_what_it_saved() -> None:
    top = (RungResult(1, 0.9, 0.1, 10.0), RungResult(3, 0.8, 0.2, 30.0))
    two = top[:1]
    trials = Trials.of(
        [
            make_record(0, rungs=top, train_seconds=90.0),
            make_record(1, rungs=top, train_seconds=80.0, repeat=1),
            replace(make_record(2, train_seconds=10.0), state=PRUNED),
            replace(make_record(3, rungs=two, train_seconds=33.0), state=PAUSED),
            replace(make_record(4, rungs=two, train_seconds=30.0), state=FAILED),
            replace(make_record(5, failure="params 9 > 8"), state=PRUNED),
            make_record(6, failure="diverged"),
        ]
    )
    assert trials.stopped_early.tolist() == [False, False, True, False, False, False, False]
    spent = trials.spent([1, 3, 9])
    assert (spent.networks, spent.whole, spent.stopped) == (6, 1, 1)
    assert spent.seconds == 90 + 80 + 10 + 33 + 30
    assert spent.whole_seconds == pytest.approx(90 + 80 + 90 + 99 + 90)
    assert str(spent) == (
        "6 networks, 1 to the top, 1 stopped early: 243 s of training; whole training of all "
        "would have taken about 449 s"
    )


def test_nothing_was_spent_where_nothing_is() -> None:
    assert Trials.of([]).spent([1, 3]).seconds == 0
    assert Trials.of([make_record(0)]).spent([1]).whole_seconds == 0.5


def test_networks_of_a_plan_are_counted_without_seeds_and_widened_ones() -> None:
    trials = Trials.of(
        [
            make_record(0, reference="plain"),
            make_record(1, repeat=1, reference="plain"),
            make_record(2, reference="plain x1.2"),
            make_record(3, failure="diverged"),
            replace(make_record(4), state=RUNNING),
            replace(make_record(5), state=PAUSED),
            replace(make_record(6), state=PRUNED),
        ]
    )
    assert trials.counted.tolist() == [True, False, False, True, True, True, True]
    assert trials.evaluated == 3
    assert Trials.of([]).evaluated == 0 and Trials.of([]).counted.shape == (0,)
