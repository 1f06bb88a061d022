from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from nas.base.errors import StorageError
from nas.execution.device_share import DeviceShare

SOON, AT_ONCE = 400.0, 0.2


def entering(context: object, entered: threading.Event, leave: threading.Event) -> threading.Thread:
    def hold() -> None:
        with context:  # type: ignore[attr-defined]
            entered.set()
            leave.wait(SOON)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    return thread


def test_trainings_share_a_device_and_one_that_is_alone_has_it(tmp_path: Path) -> None:
    share = DeviceShare("GPU 0", tmp_path)
    beside, alone, late = ([threading.Event(), threading.Event()] for _ in range(3))
    with share.beside_others(), share.beside_others():  # as two processes would
        threads = [entering(share.alone(), *alone)]
        assert not alone[0].wait(AT_ONCE)
        threads.append(entering(share.beside_others(), *late))
        assert not late[0].wait(AT_ONCE)  # it waits behind who wants to be alone
    assert alone[0].wait(SOON) and not late[0].is_set()
    alone[1].set()
    assert late[0].wait(SOON)
    threads.append(entering(DeviceShare("GPU 1", tmp_path).alone(), *beside))
    assert beside[0].wait(SOON)  # another device is another room
    for event in (late[1], beside[1]):
        event.set()
    for thread in threads:
        thread.join(SOON)


def test_a_process_that_dies_gives_its_device_back(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; "
        "from nas.execution.device_share import DeviceShare\n"
        f"with DeviceShare('0', Path({str(tmp_path)!r})).alone(): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    with DeviceShare("0", tmp_path).alone():
        pass


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(StorageError, match="holds the locks of GPUs: point XDG_CACHE_HOME"),
        DeviceShare("0", tmp_path / "file" / "gpus").alone(),
    ):
        pass


def test_a_cpu_is_no_device_that_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    assert DeviceShare.of(torch.device("cpu")) is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert DeviceShare.of(torch.device("mps")) is not None
