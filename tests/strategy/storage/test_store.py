"""The study in a database: the same as in a journal, and whatever happens on the way there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy
import sqlalchemy.exc
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from support.samples import make_job, make_record

from benchmarks.shared.database_servers import Server
from nas.base.errors import SpecError, StorageError
from nas.spec.objective import objectives_named
from nas.spec.storage_url import StorageUrl
from nas.strategy.storage import database
from nas.strategy.storage.database import Connection, connect
from nas.strategy.storage.store import Store
from nas.study.record import COMPLETE, RUNNING, Record

OBJECTIVES = objectives_named(["loss", "latency_ms"])
CHOICES = {"a": CategoricalDistribution(["none", "se/r8"])}


def filled(store: Store) -> list[Record]:
    """Three trials: complete, failed, running."""
    for trial in range(3):
        store.start(make_job(trial), {"a": "se/r8"}, CHOICES, {"mark": trial})
    records = [make_record(0, loss=0.25), make_record(1, failure="broken")]
    store.finish(records[0], [0.25, 1.0])
    store.finish(records[1], None)
    store.note_final({records[0].digest: (1.5, 0.1)})
    return records


def test_a_study_in_a_database_is_as_in_a_journal(
    address: StorageUrl,
    tmp_path: Path,
) -> None:
    journal = tmp_path / "study.journal"
    for where in (address, journal):
        filled(Store.create(where, OBJECTIVES, {"folder": "runs/x"}))
    here, there = (Store(where, writable=True) for where in (journal, address))
    assert there.trials() == here.trials()
    assert there.records()[0].final_latency_ms == 1.5
    assert [record.state for record in there.records()] == [COMPLETE, "FAILED", RUNNING]
    assert there.about() == here.about() == {"folder": "runs/x"}
    assert there.objectives() == ["loss", "latency_ms"]
    copy = Store.create(address.of(f"{address.study}-copy"), OBJECTIVES)
    copy.copy_from(here)
    assert copy.trials() == here.trials()
    copy.delete()


@pytest.fixture
def sqlite(tmp_path: Path) -> StorageUrl:
    return StorageUrl.parse(f"sqlite:///{tmp_path}/studies.db").of("one")


def test_the_only_study_needs_no_name(sqlite: StorageUrl) -> None:
    Store.create(sqlite, OBJECTIVES)
    plain = StorageUrl.parse(sqlite.url)
    assert Store(plain, writable=False).name == "one"
    Store.create(sqlite.of("two"), OBJECTIVES)
    with pytest.raises(SpecError, match="holds 2 searches: one, two; say which, as in '#two'"):
        Store(plain, writable=False)
    with pytest.raises(SpecError, match="holds no such study; there are: one, two"):
        Store(sqlite.of("three"), writable=False)


def test_a_file_is_the_one_that_was_named(tmp_path: Path) -> None:
    """Whatever its name means in a URL, or in a template, which Optuna takes its URLs for."""
    reads_all = sqlalchemy.make_url("sqlite:///%3F").database == "?"  # SQLAlchemy 2.0 does not
    name = f"50%25 of {{what}}{'?' if reads_all else ''} #1+2 ä.db"
    address = StorageUrl.parse(f"sqlite:///{tmp_path}/{quote(name)}").of("one")
    filled(Store.create(address, OBJECTIVES))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(Store(StorageUrl.parse(str(address)), writable=False).records()) == 3


def test_a_guard_is_asked_before_every_write(sqlite: StorageUrl) -> None:
    Store.create(sqlite, OBJECTIVES)

    def refuse() -> None:
        raise StorageError("another driver has taken over")

    store = Store(sqlite, writable=True, guard=refuse)
    writes: tuple[Callable[[], None], ...] = (
        lambda: store.start(make_job(0), {}, {}, {}),
        lambda: store.finish(make_record(0), [1.0, 1.0]),
        lambda: store.note_final({}),
    )
    for write in writes:
        with pytest.raises(StorageError, match="taken over"):
            write()
    assert store.records() == []


def away() -> StorageInternalError:
    error = StorageInternalError("on commit")
    error.__cause__ = sqlalchemy.exc.OperationalError("statement", {}, Exception("gone away"))
    return error


def failing(storage: Any, name: str, *, after: bool) -> list[int]:
    """Make one method fail once: before it takes effect, or after, when the answer is lost."""
    whole, calls = getattr(storage, name), [0]

    def once(*arguments: Any, **more: Any) -> Any:
        calls[0] += 1
        if calls[0] == 1 and not after:
            raise away()
        found = whole(*arguments, **more)
        if calls[0] == 1:
            raise away()
        return found

    setattr(storage, name, once)
    return calls


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "method", ["create_new_trial", "set_trial_user_attr", "set_trial_state_values"]
)
def test_a_write_whose_answer_is_lost_is_written_once(
    sqlite: StorageUrl, monkeypatch: pytest.MonkeyPatch, method: str, after: bool
) -> None:
    monkeypatch.setattr(database.time, "sleep", lambda seconds: None)
    store = Store.create(sqlite, OBJECTIVES)
    calls = failing(store._storage, method, after=after)
    filled(store)
    assert calls[0] >= 2
    again = Store(sqlite, writable=False)
    assert [record.state for record in again.records()] == [COMPLETE, "FAILED", RUNNING]
    states = [trial.state for trial in again._storage.get_all_trials(again._study)]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING]


def test_a_trial_that_optuna_wrote_twice_counts_once(sqlite: StorageUrl) -> None:
    store = Store.create(sqlite, OBJECTIVES)
    store.start(make_job(0), {}, {}, {})
    twin = store._storage.get_all_trials(store._study)[0]
    store._storage.create_new_trial(store._study, twin)
    store = Store(sqlite, writable=True)
    assert [record.trial for record in store.records()] == [0]
    store.start(make_job(1), {}, {}, {})
    store.finish(make_record(1), [1.0, 1.0])
    assert [record.state for record in store.records()] == [RUNNING, COMPLETE]
    trials = store._storage.get_all_trials(store._study)
    assert [trial.state for trial in trials] == [
        TrialState.RUNNING,
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]


def test_what_a_database_holds_twice_is_copied_once(sqlite: StorageUrl, tmp_path: Path) -> None:
    store = Store.create(sqlite, OBJECTIVES)
    store.start(make_job(0), {}, {}, {})
    store._storage.create_new_trial(store._study, store._storage.get_all_trials(store._study)[0])
    store.start(make_job(1), {}, {}, {})
    copy = Store.create(tmp_path / "study.journal", OBJECTIVES)
    copy.copy_from(Store(sqlite, writable=False))
    copy.start(make_job(2), {}, {}, {})
    assert [record.trial for record in copy.records()] == [0, 1, 2]


def test_who_looks_into_another_database_leaves_nothing_there(
    tmp_path: Path, server_of: Callable[[str], Server]
) -> None:
    sqlite = tmp_path / "others.db"
    sqlite.touch()
    postgres = server_of("postgresql").url.replace("/postgres?", "/template1?")
    for text in (f"sqlite:///{sqlite}", postgres):
        address = StorageUrl.parse(text)
        with pytest.raises(SpecError, match="holds no searches: none was ever begun there"):
            Store(address, writable=False)
        engine = sqlalchemy.create_engine(address.connection_url())
        assert sqlalchemy.inspect(engine).get_table_names() == []
        engine.dispose()


def test_patience_ends_with_one_line(sqlite: StorageUrl) -> None:
    connection = connect(sqlite, patience=0.0)

    def gone() -> None:
        raise away()

    with pytest.raises(StorageError, match=r"has not answered for 0 s \(gone away\)") as caught:
        connection.do(gone)
    assert "\n" not in str(caught.value)


def test_whoever_waits_for_a_storage_is_told_once_and_when_it_is_there_again(
    sqlite: StorageUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    connection = connect(sqlite)
    connection.say = said.append
    clock = iter(range(0, 100, 2))  # seconds
    monkeypatch.setattr("nas.strategy.storage.database.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("nas.strategy.storage.database.time.sleep", lambda seconds: None)
    failures = [*[away()] * 5, None]

    def sometimes() -> str:
        failure = failures.pop(0)
        if failure is not None:
            raise failure
        return "done"

    assert connection.do(sometimes) == "done"
    first, second = said
    assert first == f"{sqlite} does not answer (gone away); waiting for it, 300 s at most"
    assert second == f"{sqlite} answers again"
    failures = [away(), None]  # too short to speak of
    assert connection.do(sometimes) == "done" and len(said) == 2


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    nowhere = StorageUrl.parse(f"postgresql://me:hush@/db?host={tmp_path}")
    pytest.importorskip("psycopg")
    with pytest.raises(StorageError, match="cannot be opened: ") as caught:
        connect(nowhere)
    assert "\n" not in str(caught.value) and "hush" not in str(caught.value)


def test_a_finished_trial_is_not_finished_again_by_another(sqlite: StorageUrl) -> None:
    store = Store.create(sqlite, OBJECTIVES)
    other = Store(sqlite, writable=True)
    store.start(make_job(0), {}, {}, {})
    other.finish(make_record(0), [1.0, 1.0])
    with pytest.raises(StorageError, match="by another hand"):
        store.finish(make_record(0, loss=0.5), [0.5, 1.0])
    assert other.records()[0].loss == 1.0


def test_connections_say_nothing_of_their_password(sqlite: StorageUrl) -> None:
    assert isinstance(connect(sqlite), Connection)
    assert "password" not in json.dumps(repr(sqlite))


def test_a_damaged_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    filled(Store.create(path, OBJECTIVES))
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = b"".join([*lines[:5], b"\0\0\0\n", *lines[5:], b'{"op_code": 5, "tor'])
    path.write_bytes(damaged)
    with pytest.raises(StorageError, match="is damaged"):
        Store(path, writable=True)
    assert path.read_bytes() == damaged


def test_who_goes_on_after_half_a_line_writes_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    filled(Store.create(path, OBJECTIVES))
    path.write_bytes(path.read_bytes() + b'{"op_code": 5, "tor')
    store = Store(path, writable=True)
    store.finish(make_record(2, loss=0.5), [0.5, 1.0])
    assert [record.state for record in Store(path, writable=False).records()] == [
        COMPLETE,
        "FAILED",
        COMPLETE,
    ]
