from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.latency_profiles import example_profile
from support.samples import SMALL_SPACE

import nas
from nas.base.errors import SpecError
from nas.base.files import parse, read_yaml
from nas.belief import published_prior
from nas.latency.profile import BackboneLatencies, Correction
from nas.models.candidates import Candidates
from nas.report import outlook
from nas.report.outlook import NetworkOutlook, Outlook, Placement, narrowed_deviation
from nas.spec.space import SearchSpace


def space_of(text: str = SMALL_SPACE) -> SearchSpace:
    return parse(SearchSpace, read_yaml(text, "space"), "space")


def asked(text: str = SMALL_SPACE, **given: object) -> Outlook:
    return outlook.ask(space_of(text), speed=lambda plain: 1000.0, **given)  # type: ignore[arg-type]


def only(found: Outlook) -> NetworkOutlook:
    (network,) = found.networks
    return network


def placed(network: NetworkOutlook, kind: str, place: str) -> Placement:
    return next(item for item in network.placements if (item.kind, item.place) == (kind, place))


def profile_of(space: SearchSpace, folder: Path) -> Path:
    """One millisecond for each site of SE, a tenth for one of ECA."""
    candidates = Candidates(space)
    ((plain, _),) = candidates.plains()
    added = {
        site.name: {
            label: 1.0 if label.startswith("se") else 0.1
            for label in decision.choices
            if label != "none"
        }
        for decision in candidates.decisions(plain)
        for site in decision.sites
    }
    measured = BackboneLatencies(
        backbone=plain.backbone,
        resolution=plain.resolution,
        total_stride=plain.total_stride,
        plain_ms=5.0,
        added_ms=added,
    )
    changes = {"branches": [measured], "networks": [], "correction": Correction(noise=0.01)}
    path = folder / "device.json"
    example_profile().model_copy(update=changes).write(path)
    return path


def test_each_kind_is_placed_everywhere_and_in_both_halves() -> None:
    network = only(asked())
    pairs = {(item.kind, item.place) for item in network.placements}
    places = ("everywhere", "early half", "late half")
    assert pairs == {(kind, place) for kind in ("se", "eca") for place in places}
    everywhere = placed(network, "se", "everywhere")
    halves = [placed(network, "se", place) for place in ("early half", "late half")]
    assert everywhere.blocks == network.sites == sum(half.blocks for half in halves)
    assert everywhere.macs == sum(half.macs for half in halves)
    assert everywhere.gain < sum(half.gain for half in halves)


def test_costs_are_those_of_the_built_networks() -> None:
    network = only(asked(num_classes=10))
    placement = placed(network, "se", "everywhere")
    built, plain = (
        nas.cost(
            nas.uniform(
                "mobilenetv2_035",
                label,
                resolution=32,
                total_stride=16,
                exclude="blocks.0.*",
                **more,
            ),
            num_classes=10,
        )
        for label, more in [("se", {"reduction": 24}), ("keep", {})]
    )
    assert (network.params, network.macs) == (plain.params, plain.macs)
    assert placement.block == "se/r24"
    assert placement.params == built.params - plain.params
    assert placement.macs == built.macs - plain.macs


def test_kinds_gain_alike_and_the_cheaper_one_is_suggested() -> None:
    network = only(asked())
    se, eca = (placed(network, kind, "everywhere") for kind in ("se", "eca"))
    assert se.gain == pytest.approx(eca.gain)
    assert network.suggested == network.placements[0] == eca
    assert eca.gain_low < 0 < eca.gain < eca.gain_high and 0.5 < eca.p_helps < 1
    assert network.p_late is not None and 0.5 < network.p_late < 0.9


def test_latencies_are_predicted_from_a_profile(tmp_path: Path) -> None:
    space = space_of()
    found = asked(device=profile_of(space, tmp_path))
    network = only(found)
    assert found.profiled and found.device == "onnxruntime on a processor"
    assert network.latency_ms == 5.0
    se = placed(network, "se", "late half")
    assert se.latency_ms == pytest.approx(se.blocks)
    assert se.latency_half_width_ms is not None and se.latency_half_width_ms > 0


def test_without_a_profile_no_latency_is_known() -> None:
    for device, name in [(None, None), ("local-onnxruntime", "onnxruntime")]:
        found = asked(device=device)
        assert (found.device, found.profiled) == (name, False)
        assert only(found).latency_ms is None
        assert only(found).placements[0].latency_ms is None


def test_devices_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="device 'toaster': unknown runtime 'toaster'; known: onnx"):
        asked(device="toaster")
    with pytest.raises(SpecError, match="cannot read the device profile"):
        asked(device=tmp_path / "nowhere.json")
    example_profile(backbone="another").write(tmp_path / "another.json")
    with pytest.raises(SpecError, match="holds no mobilenetv2_035 at 32x32"):
        asked(device=tmp_path / "another.json")


def test_a_broken_prior_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads(published_prior._FILE.read_text()) | {"uniform": "much"}
    broken = tmp_path / "published.json"
    broken.write_text(json.dumps(content))
    monkeypatch.setattr(published_prior, "_FILE", broken)
    with pytest.raises(SpecError, match="uniform: found 'much'"):
        asked()


def test_blocks_that_nobody_published_are_as_wide_as_the_others() -> None:
    found = asked(SMALL_SPACE.replace("eca: {}", "lka: {}"))
    assert found.published.kinds["lka"] == (0, 0) and found.published.kinds["se"][1] > 20
    se, lka = (placed(only(found), kind, "everywhere") for kind in ("se", "lka"))
    assert lka.gain == pytest.approx(se.gain) and lka.gain_low == pytest.approx(se.gain_low)


def test_limits_of_the_space_hold() -> None:
    few = only(asked(SMALL_SPACE + f"max_insertions: {only(asked()).sites - 1}\n"))
    assert {item.place for item in few.placements} == {"early half", "late half"}
    one = only(asked(SMALL_SPACE + "max_insertions: 1\n"))
    assert one.placements == () and one.suggested is None and one.narrowing is None
    plain = only(asked())
    limit = plain.macs + placed(plain, "se", "early half").macs
    tight = only(asked(SMALL_SPACE + f"constraints: {{macs: {limit}}}\n"))
    assert placed(tight, "se", "early half").allowed
    assert not placed(tight, "se", "everywhere").allowed
    assert tight.suggested is not None and tight.suggested.allowed


def test_a_block_in_the_middle_belongs_to_the_late_half() -> None:
    """The halves of seven blocks are 0 to 2 and 3 to 6, as in the tables of hand placement."""
    text = SMALL_SPACE.replace("mobilenetv2_035", "mobilenetv2_cifar").replace("stage", "block")
    text = text.replace("[32]", "[16]").replace("total_stride: 16\n", "")
    network = only(asked(text.replace(', exclude: ["blocks.0.*"]', "")))
    sizes = {item.place: item.blocks for item in network.placements}
    assert sizes == {"everywhere": 7, "early half": 3, "late half": 4}


def test_one_decision_has_no_halves() -> None:
    network = only(asked(SMALL_SPACE.replace("stage", "network")))
    assert {item.place for item in network.placements} == {"everywhere"}
    assert network.p_late is None


def test_each_plain_network_is_told_of() -> None:
    found = asked(SMALL_SPACE.replace("[32]", "[32, 64]"))
    assert [network.resolution for network in found.networks] == [32, 64]
    assert found.networks[1].macs > found.networks[0].macs


def test_what_is_known_of_the_task_moves_what_is_expected() -> None:
    first = only(asked()).placements[0]
    assert only(asked(plain_accuracy=0.95)).placements[0].gain < first.gain
    tuned = only(asked(regime="finetune")).placements[0]
    assert tuned.gain < first.gain and tuned.deviation > first.deviation
    with pytest.raises(SpecError, match="plain accuracy 95"):
        asked(plain_accuracy=95)


def test_more_trainings_leave_less_width_but_never_none() -> None:
    left = [narrowed_deviation(0.7, trainings) for trainings in (0, 1.9, 2, 20, 2000)]
    assert left[0] == left[1] == 0.7
    assert left[1] > left[2] > left[3] > left[4] > 0.4
    # Worked by hand: 1 / .49 + 1 / (4 * .25 / 4 + .25) = 2.0408 + 2.
    assert narrowed_deviation(0.7, 4) == pytest.approx(4.0408**-0.5, rel=1e-4)
    narrowing = only(asked()).narrowing
    assert narrowing is not None
    assert narrowing.trainings == pytest.approx(3600 * 1000 / 250_000)
    assert narrowing.narrowed < narrowing.width


def test_a_profile_of_another_task_is_refused(tmp_path: Path) -> None:
    device = profile_of(space_of(), tmp_path)
    with pytest.raises(SpecError, match="of classification with head classifier, and networks are"):
        asked(device=device, task="segmentation")
