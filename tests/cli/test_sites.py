"""`nas sites` as its users meet it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from rich.console import Console
from timm.models import save_for_hf

from nas.cli.output.site_table import _print_table
from nas.models.cost import cost
from nas.spec.architecture import Architecture, Insertion

BACKBONE = "mobilenetv2_035"


def shown(nas: Any, *arguments: object) -> dict[str, Any]:
    ran = nas("sites", *arguments, "--json")
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_costs_are_what_a_network_with_the_block_has_more(nas: Any) -> None:
    name = "mobilenetv3_small_050"
    found = shown(nas, name, "--size", 64, "--block", "coord", "--block", "eca")
    plain = cost(Architecture(name, 64))
    assert (found["params"], found["macs"]) == (plain.params, plain.macs)
    sites = {site["name"]: site for site in found["sites"]}
    for where, filled in (
        ("blocks.0.0/after_depthwise", True),
        ("blocks.1.1/after_residual", False),
    ):
        site = sites[where]
        assert (site["filled"], set(site["blocks"])) == (filled, {"coord/r32", "eca"})
        grown = cost(Architecture(name, 64, (Insertion.of(where, "coord/r32"),)))
        assert site["blocks"]["coord/r32"] == {
            "params": grown.params - plain.params,
            "macs": grown.macs - plain.macs,
        }
    first = sites["blocks.0.0/after_depthwise"]
    assert (first["channels"], first["height"], first["width"]) == (16, 16, 16)
    assert (first["stage"], first["position"]) == ("blocks.0", "after_depthwise")
    assert found["weights"] is None


def test_people_see_a_table_and_what_does_not_fit(nas: Any) -> None:
    ran = nas("sites", BACKBONE, "--size", 32, "--block", "coord/r32", "--block", "se/r64")
    assert ran.code == 0
    assert f"{BACKBONE} at 32x32" in ran.out and "blocks.1.0/after_depthwise" in ran.out
    assert "does not fit" in ran.out
    assert "reduction 64 is larger than its 16 channels" in " ".join(ran.out.split())


@pytest.mark.parametrize("classes", [10, 1000])
def test_weights_are_told_whole_with_the_classes_of_their_head(
    nas: Any, tmp_path: Path, classes: int
) -> None:
    network = timm.create_model(BACKBONE, num_classes=classes)
    file = tmp_path / "own.pth"
    torch.save({"model": network.state_dict()}, file)
    told = shown(nas, BACKBONE, "--size", 32, "--block", "eca", "--weights", file)["weights"]
    assert told["tensors"] == len(network.state_dict())
    assert (told["head_classes"], told["file"]) == (classes, str(file))
    assert told["notes"] == ["of own.pth the weights under 'model' are taken"]
    save_for_hf(network, str(tmp_path / "kept"), safe_serialization=True)
    ran = nas("sites", BACKBONE, "--size", 32, "--weights", f"local-dir:{tmp_path}/kept")
    said = " ".join(ran.out.split())
    assert f"are those of {BACKBONE}, with a head of {classes} classes" in said


def test_weights_are_told_in_order_where_names_differ(nas: Any, tmp_path: Path) -> None:
    network = timm.create_model(BACKBONE, num_classes=5)
    file = tmp_path / "own.pth"
    torch.save({f"net{i}": t for i, t in enumerate(network.state_dict().values())}, file)
    options = (BACKBONE, "--size", 32, "--block", "eca", "--weights", file)
    assert nas("sites", *options).code == 2
    assert shown(nas, *options, "--weights-match", "order")["weights"]["head_classes"] == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("mobilenet_v9",), "unknown backbone"),
        ((BACKBONE, "--block", "coord/x"), "cannot read 'x'"),
        ((BACKBONE, "--block", "nope"), "unknown block 'nope'"),
        ((BACKBONE, "--block", "none"), "unknown block 'none'"),
        ((BACKBONE, "--weights", "nowhere.pth"), "no such file"),
        ((BACKBONE, "--weights", "local-dir:nowhere"), "there is no folder"),
        (("no_such_module:network",), "no_such_module"),
    ],
)
def test_wrong_input_is_one_line(nas: Any, arguments: tuple[str, ...], said: str) -> None:
    ran = nas("sites", *arguments, "--size", 32)
    assert ran.code == 2 and said in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_weights_of_another_network_are_refused(nas: Any, tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save(timm.create_model("mobilenetv2_050", num_classes=5).state_dict(), file)
    ran = nas("sites", BACKBONE, "--size", 32, "--weights", file)
    assert ran.code == 2 and "do not fit the network" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_sites_of_a_dilated_end_have_larger_maps(nas: Any) -> None:
    usual = shown(nas, BACKBONE, "--size", 64, "--block", "se")
    dilated = shown(nas, BACKBONE, "--size", 64, "--block", "se", "--output-stride", 8)
    assert [site["name"] for site in dilated["sites"]] == [site["name"] for site in usual["sites"]]
    assert (usual["sites"][-1]["height"], dilated["sites"][-1]["height"]) == (2, 8)


@pytest.mark.parametrize(("width", "stages"), [(60, 0), (80, 0), (120, 0), (200, 1), (1000, 1)])
def test_no_figure_and_no_name_is_cut_where_there_is_little_room(width: int, stages: int) -> None:
    labels = ("se/r24", "cbam/r24/k7", "coord/r32", "eca")
    row = {
        "name": "backbone.extra.0.12/after_projection", "part": "backbone",
        "stage": "backbone.features.0", "channels": 120, "height": 12, "width": 12, "filled": True,
        "blocks": {label: {"params": -6_123, "macs": 38_456} for label in labels},
    }  # fmt: skip
    screen = Console(width=width, file=io.StringIO(), color_system=None)
    _print_table(screen, "title", [row | {"part": "neck"}, row], labels)
    shown = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in shown, shown
    assert shown.count("-6k") == shown.count("+38k") == 8 and shown.count("120x12x12") == 2
    assert shown.count(row["name"]) == 2 and shown.count("neck") == 1
    assert shown.count(row["stage"]) == 2 * stages
