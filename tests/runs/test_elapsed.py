from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from support.simulated_run import simulated_run

from nas.runs.elapsed import RENEWED, STARTED, Elapsed, read_elapsed, read_spent
from nas.runs.run import Run

NOW = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)
BEGUN = "2026-11-29T12:00:00+00:00 searching\n2026-11-29T12:10:00+00:00 trial 0 COMPLETE\n"


def run_with(path: Path, log: str | None, limit: float | None = None) -> Run:
    run = simulated_run(path / "run", search={"trials": 4, "time_limit": limit})
    (run.path / "events.log").unlink()
    if log is not None:
        (run.path / "events.log").write_text(log)
    return run


def test_a_search_that_goes_on_counts_to_now(tmp_path: Path) -> None:
    run = run_with(tmp_path, BEGUN, 3600.0)
    assert read_elapsed(run, running=True, now=NOW) == Elapsed(1800.0, 1800.0)
    late = datetime(2026, 11, 29, 14, 0, tzinfo=UTC)
    assert read_elapsed(run, running=True, now=late) == Elapsed(7200.0, 0.0)


def test_one_that_was_stopped_counts_to_what_it_said_last(tmp_path: Path) -> None:
    run = run_with(tmp_path, BEGUN)
    assert read_elapsed(run, running=False, now=NOW) == Elapsed(600.0, None)


def test_what_comes_after_the_search_does_not_count(tmp_path: Path) -> None:
    over = "2026-11-29T12:12:00+00:00 searched: time\n2026-11-29T12:20:00+00:00 training fully\n"
    run = run_with(tmp_path, BEGUN + over, 3600.0)
    assert read_elapsed(run, running=True, now=NOW) == Elapsed(720.0, None)


def test_all_drives_count_without_the_time_between_them(tmp_path: Path) -> None:
    again = f"2026-11-29T12:24:00+00:00 {STARTED}\n2026-11-29T12:24:10+00:00 reading images\n"
    run = run_with(tmp_path, BEGUN + "no time here\nbroken\n" + again, 3600.0)
    assert read_elapsed(run, running=True, now=NOW) == Elapsed(600.0, 3000.0)
    again += "2026-11-29T12:25:00+00:00 searching\n"
    run = run_with(tmp_path / "on", BEGUN + again, 3600.0)
    assert read_elapsed(run, running=True, now=NOW) == Elapsed(900.0, 2700.0)


def test_without_a_log_nothing_is_said(tmp_path: Path) -> None:
    run = run_with(tmp_path, None)
    assert read_elapsed(run, running=False) is None
    (run.path / "events.log").write_bytes(b"\xff\xfe\n2026-11-29T12:00:00 searching\n")
    assert read_elapsed(run, running=False) is None


def test_a_search_that_was_killed_has_used_up_what_all_its_processes_took(tmp_path: Path) -> None:
    again = "2026-11-29T13:00:00+00:00 searching\n2026-11-29T13:05:00+00:00 trial 1 COMPLETE\n"
    assert read_spent(run_with(tmp_path, BEGUN + again, 3600.0)) == 900.0


def test_what_a_process_does_before_it_searches_does_not_use_up_the_pause(tmp_path: Path) -> None:
    taken_off = f"2026-11-29T23:00:00+00:00 {STARTED}\n2026-11-29T23:00:20+00:00 reading images\n"
    again = "2026-11-29T23:01:00+00:00 searching\n2026-11-29T23:06:00+00:00 trial 1 COMPLETE\n"
    assert read_spent(run_with(tmp_path, BEGUN + taken_off + again, 3600.0)) == 900.0
    assert read_spent(run_with(tmp_path / "2", BEGUN + taken_off, 3600.0)) == 600.0


def test_one_that_came_to_its_limit_and_was_killed_when_it_had_it_again(tmp_path: Path) -> None:
    over = "2026-11-29T12:12:00+00:00 searched: the time limit is reached\n"
    again = f"2026-11-29T13:00:00+00:00 {STARTED}\n2026-11-29T13:00:00+00:00 searching\n"
    killed = again + "2026-11-29T13:05:00+00:00 trial 1 COMPLETE\n"
    assert read_spent(run_with(tmp_path, BEGUN + over + killed, 3600.0)) == 300.0


def test_one_that_was_given_more_time_counts_from_there(tmp_path: Path) -> None:
    given = f"2026-11-29T12:50:00+00:00 {RENEWED}\n"
    again = "2026-11-29T13:00:00+00:00 searching\n2026-11-29T13:05:00+00:00 trial 1 COMPLETE\n"
    assert read_spent(run_with(tmp_path, BEGUN + given + again, 3600.0)) == 300.0


def test_one_that_came_to_its_limit_is_given_it_again_but_with_a_budget(tmp_path: Path) -> None:
    over = "2026-11-29T12:12:00+00:00 searched: the time limit is reached\n"
    after = "2026-11-29T12:40:00+00:00 training fully: 2 of the 4 that are left\n"
    run = run_with(tmp_path, BEGUN + over + after, 3600.0)
    assert read_spent(run) == 0.0
    plan = run.file.search.model_copy(update={"budget": 7200.0})
    assert read_spent(replace(run, file=run.file.model_copy(update={"search": plan}))) == 720.0


def test_without_a_log_nothing_is_used_up(tmp_path: Path) -> None:
    assert read_spent(run_with(tmp_path, None, 3600.0)) == 0.0
