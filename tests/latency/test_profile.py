from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.latency_profiles import example_profile

from nas.base.errors import SpecError
from nas.base.size import Resolution
from nas.cli.profile.compare import compare
from nas.latency.profile import Correction, correct, fit_correction, load_profile
from nas.latency.quality import compare_profiles, judge_profile
from nas.spec.architecture import EMPTY, Architecture, Insertion


def placed(
    *labels: tuple[str, str], backbone: str = "net", resolution: Resolution = 32
) -> Architecture:
    return Architecture(backbone, resolution, tuple(Insertion.of(*item) for item in labels))


def test_a_prediction_is_the_plain_network_and_what_its_blocks_add() -> None:
    profile = example_profile()
    assert profile.predict(placed()).latency_ms == pytest.approx(5.0)
    one = profile.predict(placed(("a", "se/r24"))).latency_ms
    assert one == pytest.approx(5.0 + 1.1 * 0.2)
    both = profile.predict(placed(("a", "se/r24"), ("b", "coord/r32")))
    assert both.latency_ms == pytest.approx(5.0 + 1.1 * (0.2 + 0.7))
    assert 0 < both.half_width_ms < 0.5 * both.latency_ms


def test_an_emptied_slot_takes_time_away() -> None:
    profile = example_profile()
    emptied = Architecture("net", 32, (Insertion("b", EMPTY),))
    assert profile.predict(emptied).latency_ms == pytest.approx(4.9)


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        (placed(backbone="other"), "no other at 32x32"),
        (placed(resolution=64), "no net at 64x64"),
        (Architecture("net", 32, (), 16), "total stride 16"),
        (Architecture("net", 32, output_stride=16), "no net at 32x32, output stride 16"),
        (placed(("c", "se/r24")), "no site c"),
        (placed(("a", "se/r8")), "no se/r8 at a"),
        (placed(("a", "cbam/r24/k7")), "no cbam/r24/k7 at a"),
    ],
)
def test_what_was_not_measured_is_an_error_and_never_no_time(
    architecture: Architecture, said: str
) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        example_profile().predict(architecture)
    assert "\n" not in str(caught.value)


def test_many_at_once_equal_one_by_one() -> None:
    profile = example_profile()
    some = [placed(), placed(("a", "se/r24")), placed(("b", "coord/r32"))]
    means, halves = profile.predict_many(some)
    for mean, half, item in zip(means, halves, some, strict=True):
        alone = profile.predict(item)
        assert (mean, half) == pytest.approx((alone.latency_ms, alone.half_width_ms))


def test_a_million_networks_by_their_choices() -> None:
    profile = example_profile()
    branch = profile.branches[0]
    tables = [
        profile.choices(branch, ["a"], ["none", "se/r24"]),
        profile.choices(branch, ["b"], ["keep", "none", "coord/r32"]),
    ]
    rng = np.random.default_rng(0)
    chosen = [rng.integers(len(table), size=1_000_000) for table in tables]
    added, blocks = sum(table[index] for table, index in zip(tables, chosen, strict=True)).T
    mean, _ = correct(profile.correction, np.full(len(added), branch.plain_ms), added, blocks)
    assert mean.shape == (1_000_000,)
    row = int(np.flatnonzero((chosen[0] == 1) & (chosen[1] == 2))[0])
    both = profile.predict(placed(("a", "se/r24"), ("b", "coord/r32")))
    assert mean[row] == pytest.approx(both.latency_ms)
    with pytest.raises(SpecError, match="no eca at a"):
        profile.choices(branch, ["a"], ["eca"])


def test_profiles_travel_as_json(tmp_path: Path) -> None:
    profile = example_profile()
    profile.write(tmp_path / "device.json")
    assert load_profile(tmp_path / "device.json") == profile
    assert "output_stride" not in (tmp_path / "device.json").read_text()  # where it is not set

    (branch,) = profile.branches
    dilated = branch.model_copy(update={"output_stride": 16})
    profile.model_copy(update={"branches": [branch, dilated]}).write(tmp_path / "both.json")
    read = load_profile(tmp_path / "both.json")
    assert read.branch(Architecture("net", 32, output_stride=16)) == dilated


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is not JSON"),
        ("{}", "is no device profile"),
        ("[]", "is no device profile"),
        (json.dumps({"branches": [], "version": 7}), "of version 7; 1 is read here"),
        (json.dumps({"branches": [], "version": 1}), "'device'"),
    ],
)
def test_what_is_no_profile_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "device.json"
    path.write_text(text)
    with pytest.raises(SpecError, match=said) as caught:
        load_profile(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(SpecError, match="No such file"):
        load_profile(tmp_path / "nowhere.json")


def drawn(rng: np.random.Generator, number: int, noise: float) -> tuple[np.ndarray, ...]:
    """Networks with a known truth: plain + 0.1 + 1.08 added + 0.01 for each block."""
    blocks = rng.integers(1, 17, size=number).astype(float)
    added = blocks * rng.uniform(0.05, 0.4, size=number)
    plain = np.full(number, 8.0)
    truth = plain + 0.1 + 1.08 * added + 0.01 * blocks
    return plain, added, blocks, truth * (1 + noise * rng.standard_normal(number))


def test_a_correction_finds_what_is_there() -> None:
    plain, added, blocks, measured = drawn(np.random.default_rng(0), 8, 0.002)
    found = fit_correction(plain, added, blocks, measured)
    plain, added, blocks, truth = drawn(np.random.default_rng(1), 500, 0.0)
    mean, _ = correct(found, plain, added, blocks)
    assert np.abs(mean / truth - 1).mean() < 0.005


def test_intervals_cover_what_they_say() -> None:
    covered = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        found = fit_correction(*drawn(rng, 8, 0.02))
        plain, added, blocks, measured = drawn(rng, 50, 0.02)
        mean, half = correct(found, plain, added, blocks)
        covered.append(np.mean(np.abs(measured - mean) <= half))
    assert 0.86 < np.mean(covered) < 0.96


def test_without_whole_networks_the_sum_stands_with_a_wide_interval() -> None:
    nothing = np.zeros(0)
    found = fit_correction(nothing, nothing, nothing, nothing)
    assert (found.slope, found.offset_ms) == (1.0, 0.0)
    assert found.noise == 0.05


def test_quality_is_judged_by_networks_that_were_held_out() -> None:
    found = judge_profile(example_profile())
    assert found.networks == 3
    assert found.mape == pytest.approx(0.02, abs=0.002)
    assert found.spearman == pytest.approx(1.0)
    assert judge_profile(example_profile(), held_out=False).networks == 2


def test_devices_are_compared_on_what_they_share() -> None:
    one = example_profile()
    other = example_profile(factor=2.0)
    found = compare_profiles(one, other)
    assert dict((name, theirs / ours) for name, ours, theirs in found.rows) == pytest.approx(
        {"coord/r32": 2.0, "none": 2.0, "se/r24": 2.0}
    )
    with pytest.raises(SpecError, match="no site in common"):
        compare_profiles(one, example_profile(backbone="other"))


def test_a_correction_is_plain_by_default() -> None:
    assert Correction().slope == 1.0


def test_blocks_that_add_nothing_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "device.json"
    example_profile(factor=0.0).write(path)
    compare(path, path)
    assert "coord/r32" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"correction": {"covariance": [[0.0, 0.0], [0.0]]}}, "correction.covariance"),
        ({"correction": {"noise": 1e200}}, "correction.noise"),
        ({"correction": {"slope": -1e300}}, "correction.slope"),
    ],
)
def test_figures_that_nothing_can_be_computed_with_are_refused(
    tmp_path: Path, changes: dict[str, object], key: str
) -> None:
    path = tmp_path / "device.json"
    path.write_text(json.dumps(example_profile().model_dump() | changes))
    with pytest.raises(SpecError, match=key):
        load_profile(path)


def test_a_profile_is_of_a_shape(tmp_path: Path) -> None:
    square = example_profile()
    (branch,) = square.branches
    other = branch.model_copy(update={"resolution": "32x24", "plain_ms": 4.0})
    profile = square.model_copy(update={"branches": [branch, other]})
    profile.write(tmp_path / "device.json")
    read = load_profile(tmp_path / "device.json")
    assert [item.resolution for item in read.branches] == [32, "32x24"]
    assert read.predict(placed(resolution="32x24")).latency_ms == pytest.approx(4.0)
    assert read.predict(placed()).latency_ms == pytest.approx(5.0)
    with pytest.raises(SpecError, match="no net at 24x32"):
        read.predict(placed(resolution="24x32"))
    text = (tmp_path / "device.json").read_text()
    (tmp_path / "wrong.json").write_text(text.replace('"32x24"', '"32x"'))
    with pytest.raises(SpecError, match="resolution: found '32x'; allowed: whole pixels"):
        load_profile(tmp_path / "wrong.json")
