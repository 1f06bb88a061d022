from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.samples import ROOT

from nas.base.errors import SpecError
from nas.spec.space import SearchSpace, parse_space

FULL = """
name: mobilenetv2
backbones: [mobilenetv2_050, mobilenetv2_100]
resolutions: [96, 224]
total_stride: 32
output_stride: 16
sites: {position: after_depthwise, granularity: stage, exclude: ["blocks.0.*"]}
blocks:
  cbam: {reduction: [8, 16], kernel_size: [3, 7]}
  eca:
max_insertions: 8
constraints: {params: 4.5e6, latency_ms: 20}
"""
LEAST: dict[str, Any] = {"name": "s", "backbones": ["net"], "blocks": {"eca": {}}}


def parsed(folder: Path, text: str | bytes) -> SearchSpace:
    path = folder / "space.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return parse_space(path)


def test_every_key_is_read(tmp_path: Path) -> None:
    space = parsed(tmp_path, FULL)
    assert space.backbones == ["mobilenetv2_050", "mobilenetv2_100"]
    assert (space.resolutions, space.total_stride) == ([96, 224], 32)
    assert space.output_stride == 16
    assert (space.sites.granularity, space.sites.exclude) == ("stage", ["blocks.0.*"])
    assert space.blocks == {"cbam": {"reduction": [8, 16], "kernel_size": [3, 7]}, "eca": {}}
    assert (space.max_insertions, space.constraints.latency_ms) == (8, 20)
    assert (space.constraints.params, space.constraints.macs) == (4_500_000, None)


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    space = parsed(tmp_path, yaml.safe_dump(LEAST))
    assert (space.resolutions, space.total_stride, space.max_insertions) == ([224], None, None)
    assert space.output_stride is None
    assert (space.sites.position, space.sites.granularity) == ([], "block")
    assert set(space.constraints.model_dump().values()) == {None}


@pytest.mark.parametrize("path", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=str)
def test_shipped_spaces_parse(path: Path) -> None:
    assert parse_space(path).name == path.stem


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bakbones": ["net"]}, "unknown key 'bakbones'; allowed here: backbones, blocks, cons"),
        ({"sites": {"position": "before"}}, "after_depthwise"),
        (
            {"sites": {"exlude": []}},
            "'sites.exlude'; allowed here: exclude, granularity, modules, part, position",
        ),
        ({"constraints": {"flops": 1}}, "'constraints.flops'; allowed here: latency_ms, macs, par"),
        ({"name": None}, "name: found null"),
        ({"name": "../up"}, "name: found '../up'"),
        ({"name": False}, "name: found False"),
        ({"backbones": []}, "backbones: found []"),
        ({"backbones": ["a", "a"]}, "backbones: ['a', 'a'] names something twice"),
        ({"backbones": "net"}, "backbones: found 'net'"),
        ({"resolutions": [0]}, "resolutions.0: found 0; allowed: 8 to 1024 pixels, or height x w"),
        ({"resolutions": [2048]}, "resolutions.0: found 2048; allowed: 8 to 1024 pixels"),
        ({"resolutions": [224.0]}, "resolutions.0: found 224.0"),
        ({"resolutions": [True]}, "resolutions.0: found True"),
        ({"resolutions": ["224x"]}, "resolutions.0: found '224x'"),
        ({"resolutions": ["0x10"]}, "resolutions.0: found '0x10'"),
        ({"resolutions": [224, "10x2000"]}, "resolutions.1: found '10x2000'"),
        ({"resolutions": [[224, 160]]}, "resolutions.0: found [224, 160]"),
        ({"resolutions": ["64x48", "64x48"]}, "names something twice"),
        ({"resolutions": [64, "64x64"]}, "names something twice"),
        ({"resolutions": [64, 64]}, "names something twice"),
        ({"total_stride": 12}, "total_stride: found 12; allowed: 4, 8, 16 or 32"),
        ({"output_stride": 4}, "output_stride: found 4; allowed: 8, 16 or 32"),
        ({"sites": {"granularity": "layer"}}, "found 'layer'; allowed: 'block', 'stage' or 'net"),
        ({"sites": {"part": "tail"}}, "sites.part.0: found 'tail'; allowed: 'backbone', 'neck' or"),
        ({"sites": {"part": ["head", "head"]}}, "['head', 'head'] names something twice"),
        ({"sites": {"part": []}}, "sites.part: found []"),
        ({"blocks": {}}, "blocks: found {}"),
        ({"blocks": ["se"]}, "blocks: found ['se']"),
        ({"blocks": {"se": {"reduction": 8}}}, "blocks.se.reduction: found 8; allowed: a list"),
        ({"blocks": {"se": {"reduction": []}}}, "se.reduction: []; give distinct values"),
        ({"blocks": {"se": {"reduction": [8, 8]}}}, "se.reduction: [8, 8]; give distinct values"),
        ({"blocks": {"se": {"reduction": [[8]]}}}, "blocks.se.reduction.0"),
        ({"max_insertions": 0}, "max_insertions: found 0; allowed: 1 or more"),
        ({"max_insertions": True}, "max_insertions: found True"),
        ({"constraints": {"latency_ms": -1}}, "constraints.latency_ms: found -1; allowed: above"),
        ({"constraints": {"params": "4M"}}, "constraints.params: found '4M'; allowed: a number"),
    ],
)
def test_fault_is_named_in_one_line(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as caught:
        parsed(tmp_path, yaml.safe_dump(LEAST | change))
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'space.yaml'}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", LEAST)
def test_missing_key_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(SpecError, match=f"key '{key}' is missing"):
        parsed(tmp_path, yaml.safe_dump({name: LEAST[name] for name in LEAST if name != key}))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds nothing; needed: keys"),
        (b"- name: a", "holds a list; needed: keys"),
        (b"name: \xff\xfe", "not a text file"),
        (b"name: a\nname: b", "'name' stands twice"),
        (b"name: &a x\nbackbones: [*a]", "aliases"),
        (b"name: !!python/object:os.system {}", "python/object"),
    ],
)
def test_file_that_is_no_space_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        parsed(tmp_path, content)


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_unreadable_path_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="cannot read the search space") as caught:
        parse_space(str(tmp_path / name))
    assert str(tmp_path) in str(caught.value)
