from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet
from support.samples import make_record

from nas.base.errors import SpecError
from nas.spec.architecture import Architecture, Insertion
from nas.spec.objective import objectives_named
from nas.study.front.believed_gain import BelievedGain
from nas.study.front.filter import matching
from nas.study.front.front import Front
from nas.study.front.point import COLUMNS, Point, Trainings
from nas.study.record import PRUNED, RUNNING, Record
from nas.study.trials import Trials

nan = math.nan


def front_of(*records: Record, by: tuple[str, ...] = ("loss", "latency_ms")) -> Front:
    return Front.of(Trials.of(records), objectives_named(by))


def trials(front: Front) -> list[int]:
    return [point.trial for point in front]


# By latency: plain 1 ms, a 2 ms, b 3 ms (dominated by a), c 4 ms, se 5 ms (dominated by c).
STUDY = [
    make_record(0, name="plain", reference="plain", loss=1.0, latency_ms=1, accuracy=0.5),
    make_record(1, name="se", reference="se", loss=0.9, latency_ms=5, accuracy=0.6),
    make_record(2, name="c", loss=0.6, latency_ms=4, accuracy=0.8, params=3000),
    make_record(3, name="a", loss=0.8, latency_ms=2, accuracy=0.7, macs=5000),
    make_record(4, name="b", loss=0.8, latency_ms=3, accuracy=0.9),
]


def test_members_and_marked_references_by_latency() -> None:
    front = front_of(*STUDY)
    assert [(point.trial, point.reference, point.on_front) for point in front] == [
        (0, "plain", True),
        (3, None, True),
        (2, None, True),
        (1, "se", False),
    ]
    assert [point.trial for point in front.members] == [0, 3, 2]
    assert [point.trial for point in front.references] == [0, 1]
    assert len(front) == 4
    assert [round(point.loss_saved, 6) for point in front] == [0.0, 0.2, 0.4, 0.1]


def test_other_objectives_make_another_front() -> None:
    front = front_of(*STUDY, by=("accuracy", "latency_ms"))
    assert [point.trial for point in front.members] == [0, 3, 4]
    assert front.objectives == objectives_named(["accuracy", "latency_ms"])


def test_order_of_trials_does_not_matter() -> None:
    assert front_of(*STUDY).to_json() == front_of(*reversed(STUDY)).to_json()


def test_only_complete_trials_take_part() -> None:
    best = {"loss": 0.0, "latency_ms": 0.1}
    front = front_of(
        *STUDY,
        make_record(5, name="failed", failure="diverged"),
        replace(make_record(6, name="pruned", failure="params"), state=PRUNED, **best),
        replace(make_record(7, name="running"), state=RUNNING, **best),
        replace(make_record(8, name="gone", reference="gone", failure="no operator"), **best),
    )
    assert trials(front) == [0, 3, 2, 1]
    assert set(front.cloud["trial"]) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("bad", [{"loss": nan}, {"latency_ms": nan}, {"loss": nan, "accuracy": 1}])
def test_nan_is_never_on_the_front(bad: dict[str, float]) -> None:
    assert trials(front_of(*STUDY, make_record(5, name="x", **bad))) == [0, 3, 2, 1]


def test_nan_of_one_network_does_not_spread_to_others() -> None:
    front = front_of(
        make_record(0, name="a", loss=0.8, seed=0),
        make_record(1, name="a", loss=0.9, seed=1, repeat=1),
        make_record(2, name="x", loss=0.5, seed=0),
        make_record(3, name="x", loss=nan, seed=1, repeat=1),
    )
    losses = dict(zip(front.cloud["trial"], front.cloud["loss"], strict=True))
    assert losses[0] == pytest.approx(0.85)


def test_reference_outside_the_limits_is_shown_but_never_on_the_front() -> None:
    best = make_record(5, name="x", reference="coord", loss=0.1, latency_ms=0.1)
    front = front_of(*STUDY, replace(best, eligible=False))
    assert [(point.trial, point.on_front) for point in front][0] == (5, False)
    assert [point.trial for point in front.members] == [0, 3, 2]
    hidden = front_of(*STUDY, replace(best, eligible=False, reference=None))
    assert trials(hidden) == [0, 3, 2, 1]


def test_equal_networks_are_both_kept() -> None:
    twins = [make_record(0, name="a"), make_record(1, name="b")]
    assert trials(front_of(*twins)) == [0, 1]


def test_means_over_seeds_are_fair_to_a_single_hard_one() -> None:
    # Seed 1 costs 1.1 more than seed 0, as far as three networks tell: c's 2.2 counts as less.
    front = front_of(
        make_record(0, name="a", loss=1.0, seed=0, latency_ms=1.0, accuracy=0.5),
        make_record(1, name="b", loss=1.5, seed=0, latency_ms=0.4, accuracy=0.4),
        make_record(2, name="a", loss=2.0, seed=1, repeat=1, latency_ms=1.2, accuracy=0.7),
        make_record(3, name="b", loss=2.7, seed=1, repeat=1, latency_ms=0.6, accuracy=0.6),
        make_record(4, name="c", loss=2.2, seed=1, latency_ms=0.7, accuracy=0.6),
    )
    assert [(p.trial, p.seeds, p.loss, round(p.latency_ms, 6)) for p in front] == [
        (1, 2, pytest.approx(2.1), 0.5),
        (4, 1, pytest.approx(1.65, abs=0.2), 0.7),
        (0, 2, pytest.approx(1.5), 1.1),
    ]
    accuracies = [point.accuracy for point in front]
    assert accuracies == [pytest.approx(0.5), pytest.approx(0.5, abs=0.06), pytest.approx(0.6)]
    assert front.seed_noise == pytest.approx(math.sqrt(0.61))
    assert front.paired_noise == pytest.approx(0.1)
    noises = [point.loss_noise for point in front]
    assert noises == pytest.approx([math.sqrt(0.61 / 2), math.sqrt(0.61), math.sqrt(0.61 / 2)])
    assert [point.latency_spread for point in front] == pytest.approx([0.2, 0.001, 1 / 11])


def test_network_that_training_does_not_change_has_no_noise() -> None:
    plain = [
        make_record(i, name="plain", reference="plain", loss=3.0, seed=i, repeat=i) for i in (0, 1)
    ]
    searched = [make_record(2 + i, loss=1.0 + i, seed=i, repeat=i) for i in (0, 1)]
    point = front_of(*plain, *searched).references[0]
    assert (point.loss, point.loss_noise, point.seeds) == (3.0, 0.0, 2)


def test_unknown_noise_is_nan() -> None:
    point = front_of(*STUDY).points[0]
    assert math.isnan(point.loss_noise)
    assert math.isnan(point.image_noise)
    assert point.accuracy_noise == pytest.approx(math.sqrt(0.25 / 10_000))


def test_image_noise_is_the_mean_over_seeds() -> None:
    records = [make_record(i, loss=1 + i, seed=i, repeat=i, loss_sem=0.1 + 0.2 * i) for i in (0, 1)]
    assert front_of(*records).points[0].image_noise == pytest.approx(0.2)


def test_a_share_stays_one_however_easy_its_seed_was() -> None:
    """A collapsed training with a seed that was easy for all others."""
    records = [
        make_record(2 * number + seed, name=name, seed=seed, repeat=seed, accuracy=accuracy + own)
        for number, (name, own) in enumerate([("a", 0.0), ("b", 0.001), ("c", 0.002)])
        for seed, accuracy in enumerate((0.0, 0.1))
    ]
    collapsed = make_record(9, name="d", loss=0.1, latency_ms=0.1, seed=1, accuracy=0.0)
    accuracies = {point.trial: point.accuracy for point in front_of(*records, collapsed)}
    assert min(accuracies.values()) == accuracies[9] == 0.0


def test_without_the_plain_reference_no_saving_is_known() -> None:
    front = front_of(*STUDY[1:])
    assert all(math.isnan(point.loss_saved) for point in front)
    assert {item["loss_saved"] for item in json.loads(front.to_json())} == {None}


def test_final_latency_replaces_the_mean() -> None:
    final = {"final_latency_ms": 6.0, "final_latency_spread": 0.02}
    records = [
        make_record(0, name="a", loss=0.5, latency_ms=1.0, seed=0),
        make_record(1, name="a", loss=0.6, latency_ms=2.0, seed=1, repeat=1),
        make_record(2, name="b", loss=0.4, latency_ms=5.0),
    ]
    before = front_of(*records)
    assert [(p.trial, p.latency_ms, p.latency_final) for p in before] == [
        (0, 1.5, False),
        (2, 5.0, False),
    ]
    after = front_of(*[replace(record, **final) for record in records[:2]], records[2])
    assert trials(after) == [2]  # b is now as good and faster
    shown = after.cloud
    assert dict(zip(shown["trial"], shown["latency_ms"], strict=True)) == {0: 6.0, 2: 5.0}
    assert dict(zip(shown["trial"], shown["latency_spread"], strict=True)) == {0: 0.02, 2: 0.001}


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        ({"latency_ms": ("<", 4)}, [0, 3]),
        ({"latency_ms": ("<=", 4)}, [0, 3, 2]),
        ({"latency_ms": (">", 2)}, [4, 2, 1]),
        ({"latency_ms": (">=", 2)}, [3, 2, 1]),
        ({"latency_ms": (">=", 2), "accuracy": ("<", 0.75)}, [3, 1]),
        ({"loss": ("<", 0.95)}, [3, 2, 1]),
        ({"loss_saved": (">", 0.15)}, [3, 2]),
        ({"params": (">", 1000)}, [2]),
        ({"macs": (">=", 5000)}, [3]),
        ({"seeds": (">", 1)}, []),
        ({"blocks": ("<", 1)}, [0]),
        ({}, [0, 3, 2, 1]),
    ],
)
def test_filters(limits: dict[str, tuple[str, float]], kept: list[int]) -> None:
    front = front_of(*STUDY)
    assert trials(front.where(**limits)) == kept
    assert trials(front) == [0, 3, 2, 1]


def test_filters_add_up_and_the_front_is_that_of_what_is_left() -> None:
    narrowed = front_of(*STUDY).where(latency_ms=(">", 2)).where(latency_ms=("<", 4))
    assert [(point.trial, point.on_front) for point in narrowed] == [(4, True)]
    assert narrowed.points[0].loss_saved == pytest.approx(0.2)  # against plain, filtered out


def test_unknown_saving_passes_no_filter() -> None:
    front = front_of(*STUDY[1:])
    assert trials(front.where(loss_saved=(">", -9))) == []
    assert trials(front.where(loss_saved=("<=", 9))) == []


def test_unknown_filter_lists_the_known() -> None:
    with pytest.raises(SpecError, match="cannot filter on 'speed'; known: loss, loss_saved, acc"):
        front_of(*STUDY).where(speed=("<", 1))


@pytest.mark.parametrize("limit", [("~", 1), ("==", 1), ("<",), (), 12, ("<", "soon")])
def test_wrong_limit_shows_how_to_write_it(limit: object) -> None:
    with pytest.raises(SpecError, match=r"latency_ms=\('<', 8.0\)"):
        front_of(*STUDY).where(latency_ms=limit)  # type: ignore[arg-type]


def test_emptied_slots_are_not_counted_as_blocks() -> None:
    found = Architecture("net", 32, (Insertion("a", "none"), Insertion("b", "se")))
    record = replace(make_record(0), architecture=found.to_json(), digest=found.digest)
    assert front_of(record).cloud["blocks"].tolist() == [1]


def test_json_holds_the_promised_fields() -> None:
    found = json.loads(front_of(*STUDY).to_json())
    promised = {"trial", "accuracy", "latency_ms", "params", "macs", "architecture", "reference"}
    assert all(promised <= set(item) for item in found)
    assert [item["reference"] for item in found] == ["plain", None, None, "se"]
    third = found[2]
    assert (third["trial"], third["params"], third["macs"]) == (2, 3000, 2000)
    assert (third["accuracy"], third["latency_ms"], third["loss_noise"]) == (0.8, 4.0, None)
    again = Architecture.from_json(json.dumps(third["architecture"]))
    assert again.digest == third["digest"] == STUDY[2].digest


def test_csv_and_parquet_hold_the_rows_of_the_json(tmp_path: Path) -> None:
    front = front_of(*STUDY)
    front.write_csv(tmp_path / "front.csv")
    front.write_parquet(tmp_path / "front.parquet")
    with (tmp_path / "front.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    table = parquet.read_table(tmp_path / "front.parquet").to_pylist()
    for expected, line, row in zip(json.loads(front.to_json()), lines, table, strict=True):
        assert set(line) == set(row) == set(expected)
        for shown in (line, row):
            for name in ("architecture", "evidence"):
                assert json.loads(shown.pop(name)) == expected[name]
        del expected["architecture"], expected["evidence"]
        assert row == expected
        assert line == {name: "" if v is None else str(v) for name, v in expected.items()}
    assert {item.name for item in tmp_path.iterdir()} == {"front.csv", "front.parquet"}


NOTHING = [[], [make_record(0, failure="diverged")], [replace(make_record(0), state=RUNNING)]]


@pytest.mark.parametrize("records", NOTHING, ids=["no trials", "failed", "running"])
def test_nothing_complete_makes_an_empty_front(tmp_path: Path, records: list[Record]) -> None:
    front = front_of(*records)
    assert list(front) == []
    assert len(front) == 0
    assert (front.members, front.references) == ((), ())
    assert json.loads(front.to_json()) == []
    assert math.isnan(front.seed_noise)
    assert {len(values) for values in front.cloud.values()} == {0}
    assert list(front.where(latency_ms=("<", 8), blocks=(">", 1))) == []
    front.write_csv(tmp_path / "front.csv")
    assert (tmp_path / "front.csv").read_text().split(",")[0] == Point.__slots__[0]
    assert len((tmp_path / "front.csv").read_text().splitlines()) == 1
    front.write_parquet(tmp_path / "front.parquet")
    assert parquet.read_table(tmp_path / "front.parquet").num_rows == 0


def test_front_reads_the_same_from_parquet(tmp_path: Path) -> None:
    records = [*STUDY, make_record(5, name="x", failure="diverged")]
    Trials.of(records).write(tmp_path / "t.parquet", stamp="")
    read = Trials.read(tmp_path / "t.parquet")
    assert read is not None
    again = Front.of(read, objectives_named(["loss", "latency_ms"]))
    assert again.to_json() == front_of(*records).to_json()


def test_points_hold_plain_values() -> None:
    names = [*Point.__slots__, *BelievedGain.__slots__]
    kinds = {type(getattr(p, name)) for p in front_of(*STUDY) for name in names}
    assert kinds == {int, float, bool, str, type(None), Architecture, BelievedGain, Trainings}
    assert not any(issubclass(kind, np.generic) for kind in kinds)


def test_expressions_filter_like_limits_and_know_the_blocks() -> None:
    front = front_of(*STUDY)
    assert trials(front.where("latency_ms >= 2 and accuracy < 0.75")) == [3, 1]
    assert trials(front.where("sites('se') == 0")) == [0]
    assert trials(front.where("sites('se/r8') == 1 and reference == None")) == [3, 2]
    with pytest.raises(SpecError, match="unknown kind 'sse'; there are: se"):
        front.where("sites('sse') < 2")


def test_sites_are_counted_by_kind_ratio_and_stage() -> None:
    blocks = [("blocks.1.0/a", "se/r8"), ("blocks.1.1/a", "cbam/r8/k7"), ("blocks.10.0/a", "none")]
    one = Architecture("net", 32, tuple(Insertion.of(*item) for item in blocks))
    other = Architecture("other", 64, (Insertion.of("blocks.1.0/a", "se/r16"),))
    records = [
        replace(make_record(number, loss=1 - number, latency_ms=1 + number),
                architecture=item.to_json(), digest=item.digest)
        for number, item in enumerate((one, other))
    ]  # fmt: skip
    table = front_of(*records).measured
    found = {
        (kind, stage): table.sites(kind, stage).tolist()
        for kind in (None, "se", "se/r8", "cbam", "cbam/r8/k7", "none")
        for stage in (None, "blocks.1", "blocks.1.1")
    }
    assert found[None, None] == found[None, "blocks.1"] == [2, 1]
    assert found[None, "blocks.1.1"] == [1, 0]
    assert found["se", None] == [1, 1]
    assert found["se/r8", None] == [1, 0]
    assert found["cbam", None] == found["cbam/r8/k7", "blocks.1.1"] == [1, 0]
    assert found["none", None] == [1, 0]
    assert table.column("blocks").tolist() == [2, 1]
    assert table.column("backbone").tolist() == ["net", "other"]
    assert table.column("resolution").tolist() == table.column("width").tolist() == [32, 64]
    with pytest.raises(SpecError, match="unknown stage 'blocks.2'; there are: blocks.1, blocks.10"):
        table.sites("se", "blocks.2")
    with pytest.raises(SpecError, match="unknown stage ''; there are: blocks.1, blocks.10"):
        table.sites(None, "")


def test_sizes_that_are_not_square_are_told_by_height_and_width() -> None:
    records = [
        replace(make_record(number, loss=1 - number, latency_ms=1 + number),
                architecture=item.to_json(), digest=item.digest)
        for number, item in enumerate((Architecture("net", 32), Architecture("net", "32x24")))
    ]  # fmt: skip
    front = front_of(*records)
    table = front.measured
    assert table.column("height").tolist() == [32, 32]
    assert table.column("width").tolist() == [32, 24]
    assert table.column("resolution").tolist() == pytest.approx([32, math.nan], nan_ok=True)
    assert matching("width < height", table).tolist() == [False, True]
    assert matching("resolution == 32", table).tolist() == [True, False]
    assert matching("resolution < 64", table).tolist() == [True, False]


def test_three_objectives() -> None:
    front = front_of(*STUDY, by=("loss", "latency_ms", "params"))
    assert [point.trial for point in front.members] == [0, 3, 2]
    assert front.hypervolume().reference == {"loss": 1.0, "latency_ms": 5.0, "params": 3000.0}


def test_hypervolume_says_its_reference() -> None:
    front = front_of(*STUDY)
    found = front.hypervolume()
    assert found.reference == {"loss": 1.0, "latency_ms": 5.0}
    assert found.value == pytest.approx(0.2 * 3 + 0.2 * 1)
    given = front.hypervolume(loss=1.1, latency_ms=6)
    assert given.value == pytest.approx(0.1 * 5 + 0.2 * 4 + 0.2 * 2)
    higher = front_of(*STUDY, by=("accuracy", "latency_ms")).hypervolume(accuracy=0.4, latency_ms=6)
    assert higher.reference["accuracy"] == 0.4
    assert higher.value == pytest.approx(0.1 * 5 + 0.2 * 4 + 0.2 * 3)
    with pytest.raises(SpecError, match="reference of 'params'; allowed: loss, latency_ms"):
        front.hypervolume(params=3)
    with pytest.raises(SpecError, match="the front is empty"):
        front_of().hypervolume()


def test_hypervolume_of_figures_that_nothing_has_is_refused() -> None:
    front = front_of(*STUDY, by=("retrained_accuracy", "latency_ms"))
    with pytest.raises(SpecError, match="no network here has retrained_accuracy"):
        front.hypervolume()
    assert front.hypervolume(retrained_accuracy=0.5).value == 0


def test_the_knee_and_the_thinned_front() -> None:
    assert front_of(*STUDY, by=("accuracy", "latency_ms")).knee is None  # a straight line
    bent = [make_record(i, name=n, loss=x, latency_ms=y) for i, (n, x, y) in enumerate(
        [("a", 1.0, 1.0), ("b", 0.3, 1.2), ("c", 0.25, 3.0), ("d", 0.0, 4.0)])]  # fmt: skip
    knee = front_of(*bent).knee
    assert knee is not None and knee.trial == 1
    thin = front_of(*bent).thinned(loss=0.1, latency_ms=2)
    assert len(thin.members) < 4
    assert trials(front_of(*bent).thinned(loss=0.0)) == [0, 1, 2, 3]
    for wrong in ({"params": 1.0}, {"loss": -1.0}, {"loss": nan}):
        with pytest.raises(SpecError, match="epsilon"):
            front_of(*bent).thinned(**wrong)


def with_seeds(losses: dict[str, tuple[float, float]]) -> Front:
    wobble = (-0.01, 0.0, 0.012)
    records = [
        make_record(3 * number + seed, name=name, loss=loss + wobble[(number + seed) % 3],
                    latency_ms=latency, seed=seed, repeat=seed)
        for number, (name, (loss, latency)) in enumerate(losses.items())
        for seed in range(3)
    ]  # fmt: skip
    return front_of(*records)


def test_the_best_within_a_budget_and_how_sure_that_is() -> None:
    front = with_seeds({"a": (0.5, 1), "b": (0.9, 2), "c": (0.52, 3), "d": (0.1, 9)})
    choice = front.at(latency_ms=3)
    assert (choice.best.trial, choice.networks) == (0, 3)
    assert [point.trial for point, _ in choice.rivals] == [6, 3]
    close, far = (chance for _, chance in choice.rivals)
    assert 0.5 < close < far and far > 0.99
    assert choice.probability <= close
    assert front.at(latency_ms=2.5).probability > 0.99
    assert front.at(latency_ms=9).best.trial == 9
    assert front.at(latency_ms=1).rivals == ()


def test_a_choice_without_repeats_claims_no_probability() -> None:
    choice = front_of(*STUDY).at(latency_ms=4)
    assert choice.best.trial == 2
    assert math.isnan(choice.probability)
    assert all(math.isnan(chance) for _, chance in choice.rivals)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({}, "found budget none; allowed: latency_ms"),
        ({"loss": 1.0}, "found budget 'loss'"),
        ({"latency_ms": 0.1}, "no evaluated network keeps latency_ms <= 0.1"),
    ],
)
def test_wrong_budgets(budget: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        front_of(*STUDY).at(**budget)


def test_pandas_holds_the_rows_of_the_csv() -> None:
    frame = front_of(*STUDY).to_pandas()
    assert list(frame["trial"]) == [0, 3, 2, 1]
    assert list(frame.columns) == list(COLUMNS)
