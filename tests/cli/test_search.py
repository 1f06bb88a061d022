"""`nas search` as its users meet it: what it refuses, and what it never writes over."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.samples import ROOT

from nas.base.files import read_yaml

pytestmark = pytest.mark.xdist_group("run")


BAD = {
    "unknown key": ("name: a\nbackbone: x\n", "unknown key 'backbone'; allowed here: backbones"),
    "unknown block": ("name: a\nbackbones: [mobilenetv2_035]\nblocks: {sea: {}}", "unknown block"),
    "unknown backbone": ("name: a\nbackbones: [mobilenet]\nblocks: {se: {}}", "unknown backbone"),
    "unknown option": (
        "name: a\nbackbones: [mobilenetv2_035]\nblocks: {se: {ratio: [4]}}",
        "no option 'ratio'",
    ),
    "ratio too large": (
        "name: a\nbackbones: [mobilenetv2_035]\nresolutions: [32]\ntotal_stride: 16\n"
        "blocks: {se: {reduction: [5000]}}",
        "reduction 5000 is larger than",
    ),
    "unknown site": (
        "name: a\nbackbones: [mobilenetv2_035]\nresolutions: [32]\n"
        "sites: {exclude: [layer1.*]}\nblocks: {se: {}}",
        "matches no site",
    ),
    "no block fits": (
        "name: a\nbackbones: [mobilenetv2_035]\nresolutions: [8]\nblocks: {pcsa: {}}",
        "block 'pcsa' fits no site of 'mobilenetv2_035': its map of 1x1 is smaller",
    ),
    "unknown module": (
        "name: a\nbackbones: [mobilenetv2_035]\nresolutions: [32]\n"
        "sites: {modules: [layer1.*]}\nblocks: {se: {}}",
        "no module 'layer1.*' gives a feature map",
    ),
    "unknown position": (
        "name: a\nbackbones: [mobilenetv2_035]\nsites: {position: middle}\nblocks: {se: {}}",
        "after_depthwise",
    ),
    "nobody's network": (
        "name: a\nbackbones: [nobody:network]\nblocks: {se: {}}",
        "No module named 'nobody'",
    ),
    "code": ("!!python/object/apply:os.system ['touch /tmp/nas-was-here']", "not plain YAML"),
    "bomb": ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", "aliases"),
    "not YAML": ("name: [", "not plain YAML"),
    "nothing": ("", "a mapping of keys is needed"),
}


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("command", ["space", "search"])
def test_wrong_spaces_end_with_one_line_and_code_2(  # type: ignore[no-untyped-def]
    nas, tmp_path: Path, fault: str, command: str
) -> None:
    text, said = BAD[fault]
    path = tmp_path / "space.yaml"
    path.write_text(text)
    out = ["--out", tmp_path / "run"] if command == "search" else []
    ran = nas(command, path, *out)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.startswith("error: ")
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "proxy.knd=probe"], "unknown key 'knd'; allowed in proxy:"),
        (["--set", "proxy.kind=magic"], "proxy.kind: found 'magic'"),
        (["--set", "search.sampler=grid"], "search.sampler: found 'grid'"),
        (
            ["--regime", "finetune", "--set", "proxy.kind=scratch"],
            "regime finetune with proxy.kind",
        ),
        (
            ["--regime", "finetune", "--set", "retrain.weights=random"],
            "with retrain.weights random",
        ),
        (["--set", "proxy.backbone.weights=pretrained"], "or take regime finetune"),
        (
            ["--set", "regime=sctratch"],
            "regime: found 'sctratch'; allowed: 'scratch' or 'finetune'",
        ),
        (["--time-limit", "soon"], "--time-limit"),
        (["--data", "mnist"], "allowed: digits, cifar10, folder:PATH"),
        (["--data", "folder:/nowhere"], "no such folder"),
        (["--backbone", "vit_tiny_patch16_224"], "leave total_stride out"),
        (["--runner", "/nowhere.yaml"], "cannot read the runner"),
        (["--set", "proxy.subset=5"], "allowed: 10 (one of each class) to"),
        (["--set", "checkpoints=here"], "allowed: s3://BUCKET/FOLDER"),
    ],
)
def test_wrong_searches_write_nothing(  # type: ignore[no-untyped-def]
    nas, small_space: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    ran = nas("search", small_space, "--out", tmp_path / "run", *arguments)
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert said in ran.err
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_written_over(
    nas, small_space: Path, finished_run: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    before = (finished_run / "study.journal").read_bytes()
    ran = nas("search", small_space, "--out", finished_run)
    assert ran.code == 2
    assert f"is a run already; go on with it (nas resume {finished_run})" in ran.err
    assert (finished_run / "study.journal").read_bytes() == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    ran = nas("search", small_space, "--out", tmp_path / "mine")
    assert ran.code == 2
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_the_runner_that_ships_is_the_default() -> None:
    from nas.spec.runner import load_runner

    path, default = ROOT / "runners" / "local.yaml", load_runner(None)
    assert load_runner(path) == default
    # And shows every key there is.
    assert _keys(read_yaml(path.read_text(), str(path))) == _keys(default.model_dump())


def _keys(data: object, above: str = "") -> set[str]:
    if not isinstance(data, dict) or not data:
        return {above}
    return set().union(*(_keys(value, f"{above}.{name}") for name, value in data.items()))
