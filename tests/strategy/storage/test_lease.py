"""One driver for each study, with a fast heart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.shared.database_servers import Server
from nas.base.errors import SpecError, StorageError
from nas.spec.storage_url import StorageUrl
from nas.strategy.storage import lease as lease_module
from nas.strategy.storage.database import connect
from nas.strategy.storage.lease import Lease, driver_of

SECONDS = 0.6


def leased(where: StorageUrl) -> Lease:
    return Lease(connect(where), where.study or "", seconds=SECONDS)


def test_a_second_driver_is_refused_with_the_first_ones_name(
    address: StorageUrl,
) -> None:
    with leased(address):
        with pytest.raises(SpecError) as caught, leased(address):
            pass
        told = str(caught.value)
        assert f"process {os.getpid()} on " in told and " since 20" in told
        assert str(address) in told and "\n" not in told
        found = driver_of(connect(address), address.study or "")
        assert found is not None and found["pid"] == os.getpid()
    assert driver_of(connect(address), address.study or "") is None
    with leased(address) as again:
        again.check()


@pytest.fixture
def sqlite(tmp_path: Path) -> StorageUrl:
    return StorageUrl.parse(f"sqlite:///{tmp_path}/studies.db").of("one")


HOLD = """
import sys, time
from nas.spec.storage_url import StorageUrl
from nas.strategy.storage.database import connect
from nas.base.errors import StorageError
from nas.strategy.storage.lease import Lease
where = StorageUrl.parse(sys.argv[1])
with Lease(connect(where), where.study, seconds=float(sys.argv[2])) as lease:
    print("mine", flush=True)
    try:
        while True:
            time.sleep(0.02)
            lease.check()
    except StorageError as error:
        print(error, flush=True)
"""


def holder(where: StorageUrl) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLD, str(where), str(SECONDS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "mine\n"
    return process


def test_a_killed_driver_is_followed_at_once_on_its_machine(
    sqlite: StorageUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = holder(sqlite)
    driver = driver_of(connect(sqlite), "one")
    assert driver is not None and driver["pid"] == process.pid
    assert abs(datetime.fromisoformat(driver["heard"]) - datetime.now(UTC)) < timedelta(minutes=1)
    process.kill()
    process.communicate()
    assert driver_of(connect(sqlite), "one") is None
    monkeypatch.setattr(Lease, "_beat", lambda self: None)  # nothing is waited for
    with Lease(connect(sqlite), "one", seconds=3600):
        pass


def test_a_driver_killed_elsewhere_is_followed_when_its_lease_is_over(
    sqlite: StorageUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = holder(sqlite)
    process.kill()
    process.communicate()
    monkeypatch.setattr(lease_module, "has_ended", lambda process: False)
    began = time.monotonic()
    with leased(sqlite) as lease:
        assert time.monotonic() - began >= SECONDS
        lease.check()


@pytest.mark.slow
def test_a_driver_that_slept_through_its_lease_writes_no_more(server: Server) -> None:
    where = StorageUrl.parse(server.url).of("slept")
    process = holder(where)
    process.send_signal(signal.SIGSTOP)
    try:
        with leased(where) as lease:
            process.send_signal(signal.SIGCONT)
            out, _ = process.communicate(timeout=400)
            assert "another driver has taken over" in out
            lease.check()
    finally:
        process.kill()


def test_setting_the_clock_changes_nothing(
    sqlite: StorageUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    with leased(sqlite) as lease:
        for jump in (-1e7, 1e7):
            monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
            with pytest.raises(SpecError, match="is being worked on"), leased(sqlite):
                pass
            lease.check()


def test_a_driver_that_cannot_reach_its_storage_does_not_write(sqlite: StorageUrl) -> None:
    connection = connect(sqlite, patience=0.0)
    with Lease(connection, "one", seconds=SECONDS) as lease:
        lease._confirmed -= SECONDS
        lease._lost = True
        with pytest.raises(StorageError, match="another driver has taken over"):
            lease.check()
        lease._lost = False
