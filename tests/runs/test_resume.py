"""Going on with runs that were stopped, killed, or should be longer."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from support.samples import SMALL_SPACE
from support.simulated_run import simulated_run

import nas
from nas.base.errors import SpecError, StorageError
from nas.execution.observer import SilentObserver
from nas.runs.resume import resume
from nas.runs.run import open_run
from nas.runs.start import search
from nas.spec.runner import load_runner
from nas.study.record import COMPLETE, Job, Record

pytestmark = pytest.mark.xdist_group("run")


def test_a_refused_resume_changes_nothing(finished_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    plan = (copy / "run.yaml").read_text().replace("data: digits", "data: folder:/nowhere")
    (copy / "run.yaml").write_text(plan)
    shutil.rmtree(copy / "checkpoints")

    def files() -> dict[str, bytes]:
        """All but the lock, which says who held it last."""
        shown = (file for file in copy.iterdir() if file.is_file() and file.name != ".lock")
        return {file.name: file.read_bytes() for file in shown}

    before = files()
    for trials in (None, 9):
        with pytest.raises(SpecError, match="nowhere"):
            resume(copy, trials=trials)
        assert files() == before
    assert open_run(copy).is_finished(), "what did not begin has stopped nothing"


def test_a_precision_that_this_machine_has_not_is_refused_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search of a GPU: half of its front in another precision would be no front."""
    monkeypatch.setenv("NAS_TRAIN_ON", "cpu")
    run = simulated_run(tmp_path / "run", proxy={"precision": "fp16"}, stop_after=4)
    plan, trials = (run.path / "run.yaml").read_text(), len(run.trials())
    with pytest.raises(SpecError, match="fp16 needs a GPU, and trainings run on the CPU here"):
        resume(run.path, trials=99)
    assert (run.path / "run.yaml").read_text() == plan
    assert len(open_run(run.path).trials()) == trials


class Killer(SilentObserver):
    """Kills the first worker that takes a job, with the signal that nobody can catch."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self.reasons: list[str] = []
        self.records: list[Record] = []

    def started(self, job: Job) -> None:
        if not self.killed:
            self.killed.append(job.trial)
            worker = next(iter(_pids()))
            os.kill(worker, signal.SIGKILL)

    def lost(self, job: Job, reason: str) -> None:
        self.reasons.append(reason)

    def finished(self, record: Record) -> None:
        self.records.append(record)


def _pids() -> list[int]:
    """Worker processes of this process, oldest first."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_bytes()
        except (OSError, ValueError, IndexError):
            continue
        if parent == os.getpid() and b"local_worker" in command:
            found.append(int(entry.name))
    return sorted(found)


def test_a_killed_worker_costs_no_trial_and_a_run_can_be_made_longer(
    finished_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    before = open_run(copy).trials()
    killer = Killer()
    run = resume(copy, trials=7, workers=1, observer=killer)
    after = run.trials()
    assert killer.reasons == ["killed by SIGKILL; the system may have run out of memory"]
    assert (after["state"] == COMPLETE).all()
    assert int((after["repeat"] == 0).sum()) == 7
    assert (after["digest"][: len(before)] == before["digest"]).all()
    assert (after["loss"][: len(before)] == before["loss"]).all()
    assert not _pids()


def test_a_broken_checkpoint_stops_with_one_line(finished_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    backbone = next(copy.glob("checkpoints/*/backbone.safetensors"))
    backbone.write_bytes(b"cut short")
    with pytest.raises(nas.NasError, match="cannot go on.*cannot be read"):
        resume(copy, trials=6, workers=1)


def test_changed_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np
    from PIL import Image

    for level, name in enumerate("ab"):
        folder = tmp_path / "images" / "train" / name
        folder.mkdir(parents=True)
        for number in range(20):
            pixels = np.full((32, 32, 3), 30 + 150 * level + number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    space = tmp_path / "space.yaml"
    space.write_text(SMALL_SPACE)
    with monkeypatch.context() as untrained:
        untrained.setattr("nas.runs.start.drive", lambda *_: None)
        search(space, load_runner(None), f"folder:{tmp_path / 'images'}", tmp_path / "run")
    (tmp_path / "images" / "train" / "a" / "0.png").unlink()
    with pytest.raises(SpecError, match="have changed since"):
        resume(tmp_path / "run", trials=4)


def cut(path: Path, lines: int) -> bytes:
    """Take the last lines off a journal; return what is left."""
    left = b"".join(path.read_bytes().splitlines(keepends=True)[:-lines])
    path.write_bytes(left)
    return left


@pytest.mark.parametrize("lines", [6, 15])
@pytest.mark.parametrize("more", [None, 9])
def test_a_journal_that_was_cut_short_is_refused_and_nothing_written_over(
    finished_run: Path, tmp_path: Path, lines: int, more: int | None
) -> None:
    """Few lines less leave every trial there, but the last without its end."""
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    journal = copy / "study.journal"
    cut(journal, lines)
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 5, "tor')
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    with pytest.raises(StorageError, match="was cut short; put back a copy, or move trials"):
        open_run(copy).front()
    with pytest.raises(StorageError, match="was cut short; put back a copy, or move trials"):
        resume(copy, trials=more)
    after = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    del before[".lock"], after[".lock"]
    assert after == before


def test_a_journal_without_its_copy_goes_on_with_what_is_left(
    finished_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished_run, copy)
    cut(copy / "study.journal", 6)
    (copy / "trials.parquet").rename(copy / "kept.parquet")
    count = len(open_run(finished_run).trials())
    assert (resume(copy, workers=1).trials()["state"] == COMPLETE).sum() == count
