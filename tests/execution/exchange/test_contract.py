"""What every exchange keeps, whatever it is kept in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.databases import KINDS, fresh_address
from support.evaluations import make_outcome
from support.samples import make_record

from nas.execution.exchange import DONE, TAKEN, WAITING, Exchange, Presence, WorkerTerms, folder
from nas.execution.exchange.folder import FolderExchange
from nas.execution.exchange.study import StudyExchange
from nas.strategy.storage.database import connect
from nas.study.record import Job, Latency

FOUND = make_outcome()
TERMS = WorkerTerms({"proxy": {}}, {"attention-nas": "1"}, "digits", 60.0)


def job(trial: int, **more: object) -> Job:
    record = make_record(trial)
    return Job(trial, record.architecture, record.digest, 7, **more)  # type: ignore[arg-type]


class Both:
    """The same exchange as the driver and as a worker sees it."""

    def __init__(self, driver: Exchange, worker: Exchange) -> None:
        self.driver, self.worker = driver, worker
        driver.publish(TERMS)


@pytest.fixture(params=["folder", *KINDS])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Both]:
    if request.param == "folder":
        yield Both(FolderExchange(tmp_path), FolderExchange(tmp_path))
        return
    with fresh_address(request.param, request) as where:
        name = where.study or ""
        yield Both(StudyExchange(connect(where), name), StudyExchange(connect(where), name))


def test_a_job_goes_there_and_its_outcome_back(both: Both) -> None:
    given = job(3, rung=1, attempt=1, latency=Latency(1.0, None, 0.1))
    ticket = both.driver.offer(given)
    assert both.driver.states() == {ticket: WAITING}
    taken = both.worker.take("w")
    assert taken is not None and taken.id == ticket
    assert taken.job == given
    assert both.worker.take("v") is None
    assert both.driver.states() == {ticket: TAKEN}
    assert both.worker.holds(ticket, "w")
    assert both.worker.deliver(ticket, "w", FOUND)
    assert both.driver.states() == {ticket: DONE}
    assert not both.driver.withdraw(ticket)
    assert both.driver.outcome(ticket) == FOUND
    both.driver.settle(ticket)
    assert both.driver.states() == {}


def test_a_withdrawn_ticket_refuses_the_late_outcome(both: Both) -> None:
    ticket = both.driver.offer(job(0))
    assert both.worker.take("w") is not None
    assert both.driver.withdraw(ticket)
    again = both.driver.offer(job(0, attempt=1))
    assert not both.worker.holds(ticket, "w")
    assert not both.worker.deliver(ticket, "w", FOUND)
    assert both.driver.states() == {again: WAITING}
    both.worker.hand_back(ticket, "w")
    assert both.driver.states() == {again: WAITING}


def test_a_job_that_is_handed_back_goes_to_another(both: Both) -> None:
    ticket = both.driver.offer(job(0))
    assert both.worker.take("w") is not None
    both.worker.hand_back(ticket, "w")
    assert both.driver.states() == {ticket: WAITING}
    taken = both.worker.take("v")
    assert taken is not None and taken.id == ticket
    assert both.worker.deliver(ticket, "v", FOUND)


def test_a_waiting_ticket_can_be_withdrawn(both: Both) -> None:
    ticket = both.driver.offer(job(0))
    assert both.driver.withdraw(ticket)
    assert both.worker.take("w") is None and both.driver.states() == {}


def test_a_ticket_that_is_handed_back_meanwhile_is_withdrawn(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = both.driver.offer(job(0))
    assert both.worker.take("w") is not None
    listed, done = folder._names, []

    def handed_back(path: Path) -> list[str]:
        found = listed(path)
        if path.name == WAITING and not done:  # between the driver's two looks
            done.append(both.worker.hand_back(ticket, "w"))
        return found

    monkeypatch.setattr(folder, "_names", handed_back)
    assert both.driver.withdraw(ticket)
    assert both.driver.states() == {} and both.worker.take("v") is None


def test_the_oldest_job_comes_first(both: Both) -> None:
    for trial in (3, 4, 5):
        both.driver.offer(job(trial))
    taken = [both.worker.take("w") for _ in range(3)]
    assert [item.job.trial for item in taken if item] == [3, 4, 5]


def test_what_a_driver_left_is_found_by_the_next(both: Both) -> None:
    done, open_, waiting = (both.driver.offer(job(trial)) for trial in range(3))
    for trial in range(2):
        taken = both.worker.take("w")
        assert taken is not None and taken.job.trial == trial
    both.worker.deliver(done, "w", FOUND)
    left = {
        item.ticket.id: (item.ticket.job.trial, item.state) for item in both.worker.open_tickets()
    }
    assert left == {done: (0, DONE), open_: (1, TAKEN), waiting: (2, WAITING)}


def test_terms_and_workers_are_shown(both: Both) -> None:
    assert both.worker.terms() == TERMS
    shown = Presence("w", {"host": "h", "pid": 3}, 1, None, None, "now")
    both.worker.show(shown)
    assert both.driver.workers() == [shown]
    both.driver.forget("w")
    assert both.driver.workers() == []


def test_no_ticket_is_taken_twice(both: Both) -> None:
    for trial in range(12):
        both.driver.offer(job(trial))
    taken: list[int] = []

    def take_all(name: str) -> None:
        while (ticket := both.worker.take(name)) is not None:
            taken.append(ticket.job.trial)

    threads = [threading.Thread(target=take_all, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(12))


def test_of_outcome_and_withdrawal_the_first_alone_counts(both: Both) -> None:
    for trial in range(8):
        ticket = both.driver.offer(job(trial))
        assert both.worker.take("w") is not None
        told: dict[str, bool] = {}
        deliver = threading.Thread(
            target=lambda id=ticket, told=told: told.update(  # type: ignore[misc]
                delivered=both.worker.deliver(id, "w", FOUND)
            )
        )
        deliver.start()
        told["withdrawn"] = both.driver.withdraw(ticket)
        deliver.join()
        assert told["delivered"] != told["withdrawn"]


def test_a_torn_outcome_is_none(tmp_path: Path) -> None:
    exchange = FolderExchange(tmp_path)
    exchange.publish(TERMS)
    for text in ("", '{"evalu', "[]", "{}", '{"evaluation": {"loss": 1}, "failure": null}'):
        ticket = exchange.offer(job(0))
        exchange.take("w")
        exchange.deliver(ticket, "w", FOUND)
        (tmp_path / "outcomes" / f"{ticket}~w.json").write_text(text)
        assert exchange.outcome(ticket) is None
        exchange.settle(ticket)
    assert not list((tmp_path / "outcomes").iterdir())


def test_jobs_are_plain_json(tmp_path: Path) -> None:
    exchange = FolderExchange(tmp_path)
    exchange.publish(TERMS)
    exchange.offer(job(0))
    (file,) = (tmp_path / "waiting").iterdir()
    assert file.read_text().startswith('{"trial": 0, "architecture": "{')
