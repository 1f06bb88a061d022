from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from support.object_store import bucket
from support.samples import QUICK

from nas.base.errors import SpecError, StorageError
from nas.base.object_store import copy, fetch, is_remote, location, remove, send
from nas.cli import main
from nas.execution.evaluator import Evaluator, EvaluatorSpec
from nas.execution.observer import SilentObserver
from nas.runs.choose_executor import latency_machine
from nas.runs.prepare import SearchInputs, prepare
from nas.runs.run import open_run
from nas.runs.start import search
from nas.spec.runner import load_runner
from nas.study.record import Job, Latency
from nas.study.trials import Trials
from nas.training.checkpoint import load_weights, save_weights

__all__ = ["bucket"]

pytestmark = pytest.mark.xdist_group("run")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images" / "sub").mkdir(parents=True)
    (tmp_path / "images" / "a.npy").write_bytes(b"a" * 1000)
    (tmp_path / "images" / "sub" / "b.json").write_text("{}")
    return tmp_path / "images"


def test_a_text_names_a_path_here_or_in_a_store(bucket: str) -> None:
    assert location("runs/demo") == Path("runs/demo")
    assert location("file:///shared/weights") == Path("/shared/weights")
    remote = location(f"{bucket}/a")
    assert is_remote(remote) and not is_remote(Path("a"))
    assert (str(remote / "b"), remote.name) == ("s3://weights/a/b", "a")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s3://key:secret@bucket/a", "the s3:// URL holds keys"),
        ("simplecache::s3://bucket/a", "allowed: s3://BUCKET/FOLDER"),
        ("://bucket", "allowed: s3://BUCKET/FOLDER"),
        ("s3://", "allowed: s3://BUCKET/FOLDER"),
        ("file:///", "allowed: s3://BUCKET/FOLDER"),
        ("nowhere://bucket", "nowhere://bucket cannot be reached"),
        ("memory://bucket/a", "memory:// is gone with the process"),
        ("abfs://bucket", "nothing here reaches abfs://"),
    ],
)
def test_a_wrong_url_is_said_without_its_keys(text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told) as refused:
        location(text)
    assert "secret" not in str(refused.value)


def test_a_folder_goes_there_and_back(bucket: str, folder: Path, tmp_path: Path) -> None:
    store = location(f"{bucket}/run-1")
    there = send(folder, store)
    assert str(there) == "s3://weights/run-1/images"
    back = fetch(there, tmp_path / "cache")
    assert back == tmp_path / "cache" / "images"
    assert (back / "a.npy").read_bytes() == b"a" * 1000
    assert (back / "sub" / "b.json").read_text() == "{}"
    assert sorted(os.listdir(tmp_path / "cache")) == ["images"], "nothing half-made is left"
    (there / "a.npy").unlink()
    assert fetch(there, tmp_path / "cache") == back, "fetched once"
    one = send(folder / "a.npy", store)
    assert fetch(one, tmp_path / "other").read_bytes() == b"a" * 1000
    copy(there, location(f"{bucket}/run-2"))
    assert location(f"{bucket}/run-2/sub/b.json").read_text() == "{}"
    remove(store)
    assert not store.exists()


def test_a_full_disk_here_is_not_blamed_on_the_store(
    bucket: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = send(folder, location(f"{bucket}/full"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("nas.base.object_store._copy_file", full)
    with pytest.raises(StorageError, match="no space left on this machine to copy s3://"):
        fetch(there, tmp_path / "cache")
    assert not os.listdir(tmp_path / "cache")


def test_a_folder_that_was_cut_off_on_its_way_is_sent_again(bucket: str, folder: Path) -> None:
    store = location(f"{bucket}/cut")
    there = send(folder, store)
    (there / ".whole").unlink()
    (there / "a.npy").write_bytes(b"half")
    send(folder, store)
    assert (there / "a.npy").read_bytes() == b"a" * 1000


def test_local_paths_stay_where_they_are(folder: Path, tmp_path: Path) -> None:
    assert send(folder, tmp_path / "elsewhere") == folder
    assert fetch(folder, tmp_path / "cache") == folder
    remove(folder)
    assert folder.exists()


def test_weights_are_there_whole_or_said_to_be_missing(bucket: str) -> None:
    path = location(f"{bucket}/one/seed-0.safetensors")
    save_weights(path, {"w": torch.arange(3.0)})
    assert load_weights(path)["w"].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(StorageError, match=r"s3://weights/one/none.* cannot be reached"):
        load_weights(path.with_name("none.safetensors"))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(StorageError, match="cannot be read"):
        load_weights(path)


def losses(trials: Trials) -> dict[tuple[str, int], float]:
    digests = trials.text("digest").objects().tolist()
    seeds, found = trials["seed"].tolist(), trials["loss"].tolist()
    return dict(zip(zip(digests, seeds, strict=True), found, strict=True))


@pytest.mark.slow
def test_a_run_keeps_its_weights_in_the_store(
    bucket: str,
    finished_run: Path,
    small_space: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = (*QUICK, "proxy.backbone.epochs=2", f"checkpoints={bucket}/runs")
    run = search(small_space, load_runner(None, asked), "digits", tmp_path / "away")
    assert not (run.path / "checkpoints").exists()
    kept = str(run.checkpoints)
    assert kept.startswith("s3://weights/runs/away-")
    local = open_run(finished_run)
    here, there = losses(run.trials()), losses(local.trials())
    # Who is confirmed hangs on latencies, which are measured.
    assert len(here.keys() & there.keys()) >= 5
    assert all(here[key] == there[key] for key in here.keys() & there.keys())
    trained = next(point for point in run.front().references if point.architecture.blocks)
    images = torch.zeros(1, 3, trained.architecture.resolution, trained.architecture.resolution)
    assert torch.equal(run.network(trained.trial)(images), local.network(trained.trial)(images))

    # A worker elsewhere, which has nothing of this machine.
    with latency_machine(run, SilentObserver()) as place:
        spec = prepare(SearchInputs.read(run), SilentObserver(), place).to_dict()
    assert all(spec[name].startswith(bucket) for name in ("data", "checkpoints"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    row = run.row(trained.trial)
    job = Job(99, row["architecture"], row["digest"], row["seed"], latency=Latency(1.0, 1.0, 0.0))
    found = Evaluator(EvaluatorSpec.from_dict(spec)).evaluate(job).evaluation
    assert found is not None and found.loss == row["loss"]
    assert len(list((tmp_path / "elsewhere/attention-nas/data").iterdir())) == 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://no-such-bucket/a", "name a bucket that can be written to"),
        ("file:///proc/none/a", "name a bucket that can be written to"),
        ("weights", "checkpoints: found 'weights'; allowed: s3://BUCKET/FOLDER"),
        ("s3://key:secret@weights/a", "holds keys"),
        ("abfs://weights", "nothing here reaches abfs://"),
    ],
)
def test_a_place_that_cannot_be_written_to_starts_nothing(
    url: str,
    told: str,
    bucket: str,
    small_space: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "run"
    command = ["nas", "search", str(small_space), "--out", str(out), "--set", f"checkpoints={url}"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    said = capsys.readouterr().err.strip()
    assert told in said and "secret" not in said and "\n" not in said
    assert not out.exists()
