from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.samples import make_record

from nas.base.errors import SpecError
from nas.base.files import dump_yaml
from nas.models.build import uniform
from nas.models.candidates import load_space
from nas.runs.calibrate.calibrate import calibrate, compare, groups
from nas.runs.run import Run, open_run
from nas.runs.run_file import RunFile
from nas.runs.start import search
from nas.spec.objective import objectives_named
from nas.spec.runner import Runner, load_runner
from nas.strategy.storage.store import Store
from nas.study.record import Job, Record, RungResult

TRUTH = np.linspace(0.80, 0.90, 12)


def made_run(folder: Path, space: Path, records: list[Record], *overrides: str) -> Run:
    folder.mkdir(parents=True)
    file = RunFile(**load_runner(None, overrides).model_dump(), data="digits")
    file = file.model_copy(update={"proxy": file.proxy.settled(1_000)})
    (folder / "space.yaml").write_text(dump_yaml(load_space(space)))
    (folder / "run.yaml").write_text(dump_yaml(file))
    store = Store.create(folder / "study.journal", objectives_named(["loss", "latency_ms"]))
    for record in records:
        job = Job(record.trial, record.architecture, record.digest, record.seed)
        store.start(job, {}, {}, {})
        store.finish(record, [record.loss or 0.0, record.latency_ms or 0.0])
    return open_run(folder)


def records(
    quality: np.ndarray, *, below: list[float] | None = None, noise: int = 0
) -> list[Record]:
    """Of twelve networks with two seeds: accuracy is the quality, and loss its complement.
    below: what a lower rung says of each network. noise: the seed of what trainings differ by.
    """
    found, rng = [], np.random.default_rng(noise)
    for seed in range(2):
        for number, value in enumerate(quality):
            seen = float(value + rng.normal(0, 0.002))
            rungs = (RungResult(1.0, below[number], 0.5, 1.0),) if below else ()
            found.append(
                make_record(
                    len(found),
                    name=chr(97 + number),
                    seed=seed,
                    repeat=seed,
                    accuracy=seen,
                    loss=1 - seen,
                    rungs=rungs,
                )
            )
    return found


def test_each_rung_is_compared_with_full_training(tmp_path: Path, small_space: Path) -> None:
    full = made_run(
        tmp_path / "full", small_space, records(TRUTH), "proxy.kind=scratch", "proxy.seeds=2"
    )
    # The lower rung says the reverse of the truth.
    proxied = records(TRUTH, below=list(TRUTH), noise=1)
    proxy = made_run(tmp_path / "proxy", small_space, proxied, "proxy.rungs=[1,3]")
    found = compare(full, proxy)
    assert (found.networks, found.seeds, found.space) == (12, 2, "small")
    assert found.accuracy == pytest.approx(85.0, abs=0.2)
    low, top = found.proxies
    assert (low.budget, top.budget) == ("1 epochs", "3 epochs")
    assert low.spearman.value is not None and low.spearman.value < -0.9
    assert top.spearman.value is not None and top.spearman.value > 0.95
    assert low.cost == pytest.approx(top.cost / 3)
    assert top.cost == pytest.approx(1.0)
    # Of made records, loss is the complement of accuracy.
    assert top.loss_spearman == top.spearman
    assert found.loss_ceiling == pytest.approx(found.ceiling, abs=0.02)
    assert (low.apart, found.searched) == (None, top)
    assert found.verdict.startswith("Trustworthy above")


def test_networks_that_one_run_lacks_do_not_count(tmp_path: Path, small_space: Path) -> None:
    full = made_run(tmp_path / "full", small_space, records(TRUTH), "proxy.seeds=2")
    proxy = made_run(tmp_path / "proxy", small_space, records(TRUTH, noise=1)[:7])
    with pytest.raises(SpecError, match="only 0 networks"):
        compare(full, proxy)


def test_seeds_stay_apart_where_one_training_failed(tmp_path: Path, small_space: Path) -> None:
    """What came in its place has another seed, which is easy or hard for all in its own way."""
    shift = np.array([0.0, 0.05, -0.05])

    def seen(failed: bool) -> list[Record]:
        found, rng = [], np.random.default_rng(int(failed))
        for number, value in enumerate(TRUTH):
            lost = failed and number % 2 == 0
            for seed in (0, 2) if lost else (0, 1):
                loss = 1 - (float(value + shift[seed]) + float(rng.normal(0, 0.001)))
                found.append(
                    make_record(
                        len(found), name=chr(97 + number), seed=seed, repeat=seed,
                        accuracy=1 - loss, loss=loss,
                    )
                )  # fmt: skip
        return found

    full = made_run(tmp_path / "full", small_space, seen(failed=True), "proxy.seeds=2")
    found = compare(full, made_run(tmp_path / "proxy", small_space, seen(failed=False)), seeds=2)
    assert found.networks == 12
    assert found.seed_noise < 0.5 and found.ceiling > 0.95
    assert found.searched.spearman.value is not None and found.searched.spearman.value > 0.95


def test_groups_share_a_network_by_its_blocks() -> None:
    where = {"resolution": 32, "total_stride": 16}
    plain = uniform("mobilenetv2_035", "keep", **where)  # type: ignore[arg-type]
    se = uniform("mobilenetv2_035", "se", **where)  # type: ignore[arg-type]
    eca = uniform("mobilenetv2_035", "eca", exclude=["blocks.[0-4].*"], **where)  # type: ignore[arg-type]
    found = groups([plain, se, eca])
    assert found["se"].tolist() == [0, 1, 0]
    assert found["eca"].tolist() == [0, 0, 1]
    assert found["plain"].tolist() == [1, 0, 0]
    assert found["few blocks"].tolist() == [0, 0, 1]
    assert found["many blocks"].tolist() == [0, 1, 0]
    assert set(groups([plain, se], by_number=False)) == {"se", "plain"}


@pytest.mark.parametrize(
    ("asked", "kind", "epochs", "rate"),
    [
        ({}, "scratch", 40.0, None),
        ({"full_weights": "backbone"}, "finetune", 3.0, 0.05),
        ({"full_weights": "backbone", "full_epochs": 1.5}, "finetune", 1.5, 0.05),
    ],
)
def test_full_training_starts_where_it_is_told_to(
    asked: dict[str, object],
    kind: str,
    epochs: float,
    rate: float | None,
    small_space: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def begins(space: object, runner: Runner, *_: object, **__: object) -> None:
        assert (runner.proxy.kind, runner.proxy.rungs) == (kind, [epochs])
        # Of all weights at a full rate: finetuning as a proxy has a smaller one.
        assert runner.proxy.learning_rate == rate
        raise KeyboardInterrupt

    monkeypatch.setattr("nas.runs.calibrate.network_sample.search", begins)
    with pytest.raises(KeyboardInterrupt):
        calibrate(small_space, out=tmp_path / "out", networks=8, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "told"),
    [({"networks": 5}, "at least 8"), ({"seeds": 1}, "--seeds 1: at least 2")],
)
def test_a_sample_too_small_trains_nothing(
    asked: dict[str, int], told: str, small_space: Path, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=told):
        calibrate(small_space, out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["photos", "run", "file"])
def test_what_is_there_already_is_left_alone(name: str, small_space: Path, tmp_path: Path) -> None:
    out = tmp_path / name
    if name == "file":
        out.write_text("mine")
    elif name == "run":
        made_run(out, small_space, [])
    else:
        out.mkdir()
        (out / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SpecError, match="name a new folder for --out"):
        calibrate(small_space, out=out, networks=8)
    assert sorted(tmp_path.rglob("*")) == before


def test_other_images_are_another_calibration(
    tmp_path: Path, small_space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = (
        "search.sampler=random",
        "search.trials=8",
        "search.reduction=null",
        "proxy.seeds=3",
    )
    full = ("proxy.kind=scratch", "proxy.rungs=[40]")
    made_run(tmp_path / "out" / "full", small_space, records(TRUTH), *sampled, *full)
    with pytest.raises(SpecError, match="data folder .*elsewhere: no such folder"):
        calibrate(small_space, data="folder:elsewhere", out=tmp_path / "out", networks=8)
    with pytest.raises(SpecError, match="another space or runner, or of other data"):
        other = load_runner(None, ("search.seed=1",))
        calibrate(small_space, other, out=tmp_path / "out", networks=8)
    monkeypatch.setattr(
        "nas.runs.calibrate.network_sample.resume", lambda *_, **__: pytest.fail("goes on")
    )
    with pytest.raises(pytest.fail.Exception, match="goes on"):
        calibrate(small_space, data="digits", out=tmp_path / "out", networks=8)


@pytest.mark.slow
def test_a_calibration_goes_on_and_a_search_goes_on_from_it(
    small_space: Path, tmp_path: Path
) -> None:
    runner = load_runner(
        None,
        ("workers=2", "proxy.unit=steps", "proxy.rungs=[1,3]", "proxy.backbone.epochs=0.1"),
    )
    out = tmp_path / "calibration"

    class Stopping:
        """Stops the first run in the middle, as Ctrl-C would."""

        def __getattr__(self, name: str) -> object:
            return self._heard if name == "finished" else lambda *_: None

        def _heard(self, record: Record) -> None:
            if record.trial == 6:
                raise KeyboardInterrupt

    asked = {"networks": 8, "seeds": 2, "full_epochs": 0.1}
    with pytest.raises(KeyboardInterrupt):
        calibrate(small_space, runner, out=out, observer=Stopping(), **asked)  # type: ignore[arg-type]
    found = calibrate(small_space, runner, out=out, **asked)  # type: ignore[arg-type]
    assert found.networks == 8
    assert [trust.budget for trust in found.proxies] == ["1 steps", "3 steps"]
    assert (out / "calibration.png").stat().st_size > 10_000
    assert found.judging == "other images" and found.image_noise is not None
    assert found.ceiling_interval is not None
    with pytest.raises(SpecError, match="another space or runner"):
        calibrate(small_space, load_runner(None, ("search.seed=5",)), out=out, **asked)  # type: ignore[arg-type]

    longer = runner.model_copy(update={"search": runner.search.model_copy(update={"trials": 9})})
    run = search(small_space, longer, "digits", tmp_path / "run", calibration=out)
    trials = run.trials()
    assert int((trials["repeat"] == 0).sum()) == 9
    assert trials["loss"][:16].tolist() == open_run(out / "proxy").trials()["loss"][:16].tolist()
    assert run.calibration() == found
    assert found.verdict in run.front().trust[0]
    other = load_runner(None, ("proxy.rungs=[2]", "proxy.unit=steps"))
    with pytest.raises(SpecError, match="another proxy"):
        search(small_space, other, "digits", tmp_path / "other", calibration=out)
    assert not (tmp_path / "other").exists()
