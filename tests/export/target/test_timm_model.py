from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from support.tiny_network import CLASSES, data
from support.tiny_network import winner as tiny_winner
from torch import Tensor, nn

from nas.blocks import BLOCKS
from nas.export.conversion import write_files
from nas.export.pack import write_pack
from nas.export.pack_papers import Origin
from nas.export.target.timm_model import TIMM
from nas.export.verify import load_timm
from nas.export.winner import Winner
from nas.models.build import build, deploy, uniform
from nas.spec.architecture import Architecture, Insertion

pytestmark = pytest.mark.filterwarnings("ignore:Overwriting:UserWarning")  # one digest, twice

SIDE = 64
PLACES = [
    ("mobilenetv2_035", "coord", ""),
    ("mobilenetv2_035", "cbam", "after_residual"),
    ("mobilenetv3_small_050", "none", ""),
    ("ghostnet_050", "se", ""),
    ("mobilenetv4_conv_small_050", "eca", ""),
    ("repvit_m0_9", "simam", ""),
]


def shipped(folder: Path, architecture: Architecture) -> tuple[Path, nn.Module]:
    """Return timm's folder of a network, and the network."""
    torch.manual_seed(0)
    network = build(architecture, num_classes=len(CLASSES), start="identity").train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(4, 3, SIDE, SIDE))
    network = deploy(network.eval(), architecture)
    found = Winner(network, architecture, CLASSES, (80.0,) * 3, (40.0,) * 3)
    write_files(TIMM.write(found).files, folder / "network")
    return folder / "network", network


def create(folder: Path, **options: Any) -> Any:
    load_timm(folder / "config.json")  # imports winner.py, as a user does
    return timm.create_model(f"local-dir:{folder}", **options).eval()


def some(side: int = SIDE, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, side, side, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize(("backbone", "block", "position"), PLACES)
def test_a_winner_is_a_whole_model_of_timm(
    backbone: str, block: str, position: str, tmp_path: Path
) -> None:
    architecture = uniform(
        backbone, block, resolution=SIDE, position=position or (), where_it_fits=block != "none"
    )
    folder, network = shipped(tmp_path, architecture)
    loaded, origin = create(folder, pretrained=True), network
    torch.testing.assert_close(loaded(some()), origin(some()))
    assert type(loaded) is type(timm.create_model(backbone))
    maps = origin.forward_features(some())  # type: ignore[operator]
    torch.testing.assert_close(loaded.forward_features(some()), maps)
    # A larger image than it was trained on, as detectors read.
    torch.testing.assert_close(loaded(some(96)), origin(some(96)))
    other = create(folder, pretrained=True, num_classes=7)
    assert other(some()).shape == (2, 7) and other.num_classes == 7
    torch.testing.assert_close(other.forward_features(some()), maps)
    loaded.reset_classifier(5)
    assert loaded(some()).shape == (2, 5)
    assert create(folder, pretrained=True, in_chans=1)(some(channels=1)).shape == (2, 3)
    features = create(folder, pretrained=True, features_only=True, out_indices=(1, 2))
    found = features(some())
    assert [item.shape[1] for item in found] == features.feature_info.channels()
    assert [SIDE // item.shape[-1] for item in found] == features.feature_info.reduction()
    assert not torch.equal(create(folder)(some()), origin(some()))


def test_a_block_behind_a_stage_that_runs_all_it_holds(tmp_path: Path) -> None:
    insertions = (Insertion.of("s1/output", "se/r4"), Insertion.of("s2/output", "coord/r8"))
    folder, network = shipped(tmp_path, Architecture("regnetx_002", SIDE, insertions))
    assert sum("attention_after" in name for name in network.state_dict()) > 0
    torch.testing.assert_close(create(folder, pretrained=True)(some()), network(some()))


@pytest.mark.parametrize("backbone", ["mobilenetv2_035", "efficientnet_b0", "ghostnet_050"])
def test_features_are_those_that_timm_takes(backbone: str, tmp_path: Path) -> None:
    folder, network = shipped(tmp_path, uniform(backbone, "keep", resolution=SIDE))
    weights = {"state_dict": network.state_dict(), "num_classes": len(CLASSES)}
    own = timm.create_model(
        backbone, pretrained=True, pretrained_cfg_overlay=weights, features_only=True
    )
    features = create(folder, pretrained=True, features_only=True)
    assert features.feature_info.channels() == own.feature_info.channels()
    assert features.feature_info.reduction() == own.feature_info.reduction()
    for here, there in zip(features(some()), own.eval()(some()), strict=True):
        torch.testing.assert_close(here, there)


def test_a_network_of_another_total_stride_says_how_much_it_reduces(tmp_path: Path) -> None:
    architecture = uniform("mobilenetv2_035", "coord", resolution=SIDE, total_stride=8)
    folder, network = shipped(tmp_path, architecture)
    torch.testing.assert_close(create(folder, pretrained=True)(some()), network(some()))
    features = create(folder, pretrained=True, features_only=True)
    assert features.feature_info.reduction() == [1, 1, 2, 4, 8]
    assert [SIDE // item.shape[-1] for item in features(some())] == [1, 1, 2, 4, 8]


def test_a_network_of_a_dilated_end_is_one_of_timm(tmp_path: Path) -> None:
    architecture = uniform("mobilenetv2_035", "se", resolution=SIDE, output_stride=8)
    folder, network = shipped(tmp_path, architecture)
    torch.testing.assert_close(create(folder, pretrained=True)(some()), network(some()))
    features = create(folder, pretrained=True, features_only=True)
    assert [SIDE // item.shape[-1] for item in features(some())] == [2, 4, 8, 8, 8]


def test_a_block_of_one_size_says_so_at_another(tmp_path: Path) -> None:
    folder, network = shipped(tmp_path, uniform("mobilenetv2_035", "fca", resolution=SIDE))
    loaded = create(folder, pretrained=True)
    torch.testing.assert_close(loaded(some()), network(some()))
    assert loaded.pretrained_cfg["fixed_input_size"]
    with pytest.raises(ValueError, match=r"this block reads maps of \(32, 32\), not \(48, 48\)"):
        loaded(some(96))


def test_it_trains_on(tmp_path: Path) -> None:
    folder, _ = shipped(tmp_path, uniform("mobilenetv2_035", "coord", resolution=SIDE))
    loaded = create(folder, pretrained=True, num_classes=7).train()
    with torch.enable_grad():
        loaded(some()).sum().backward()
    assert all(parameter.grad is not None for parameter in loaded.parameters())


def test_what_a_graph_alone_cannot_do_is_refused(tmp_path: Path) -> None:
    with torch.enable_grad():
        found = tiny_winner("se")
    write_files(TIMM.write(found).files, tmp_path / "network")
    folder = tmp_path / "network"
    assert create(folder, pretrained=True, num_classes=3, features_only=False)
    for options in ({"num_classes": 7}, {"features_only": True}, {"in_chans": 1}):
        with pytest.raises(ValueError, match=r"is not possible: timm has no torchvision/tiny"):
            create(folder, pretrained=True, **options)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_the_same_in_a_model_of_timm(block: str, tmp_path: Path) -> None:
    sites = ["blocks.[0145].*", "blocks.[236].[123]*"]  # left out: one block of each size is enough
    architecture = uniform(
        "mobilenetv2_035", block, resolution=SIDE, exclude=sites, where_it_fits=True
    )
    folder, network = shipped(tmp_path, architecture)
    loaded = create(folder, pretrained=True)
    torch.testing.assert_close(loaded(some()), network(some()), atol=1e-5, rtol=1e-4)
    if not loaded.pretrained_cfg["fixed_input_size"]:
        torch.testing.assert_close(loaded(some(96)), network(some(96)), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_the_lines_of_the_card_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = uniform("mobilenetv2_035", "se", resolution=16, total_stride=4)
    network = build(architecture, num_classes=len(CLASSES))
    found = Winner(network, architecture, CLASSES, (80.0,) * 3, (40.0,) * 3)
    origin = Origin("run", 3, "noise", "probe", 0, "here", False, {})
    pack = write_pack(tmp_path / "pack", found, data(), TIMM, origin, int8=False)
    card = (pack.path / "README.md").read_text()
    lines = [line.strip() for line in card.splitlines() if "timm.create" in line or "sys." in line]
    monkeypatch.chdir(pack.path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    names: dict[str, Any] = {}
    try:
        exec("\n".join(lines), names)
    finally:
        sys.modules.pop("winner", None)
    torch.testing.assert_close(names["network"].eval()(some(16)), network(some(16)))
    assert "features_only" in card


def test_its_own_lines_open_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, network = shipped(tmp_path, uniform("mobilenetv2_035", "se", resolution=SIDE))
    monkeypatch.syspath_prepend(folder)
    head = (folder / "winner.py").read_text().split('"""')[1]
    lines = [line.strip() for line in head.splitlines() if line.startswith("    ")]
    names: dict[str, Any] = {}
    try:
        exec("\n".join(lines).replace("FOLDER", str(folder)), names)
    finally:
        sys.modules.pop("winner", None)
    torch.testing.assert_close(names["network"].eval()(some()), network(some()))
