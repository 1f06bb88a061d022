"""`nas search` as its users meet it: what it refuses, and what it never writes over."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.samples import QUICK, ROOT

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
    "nothing": ("", "holds nothing; needed: keys with values"),
}


@pytest.mark.parametrize("command", ["search", "supernet", "calibrate", "curves"])
def test_a_network_that_does_not_fit_ends_with_one_line_and_code_2(  # type: ignore[no-untyped-def]
    nas, tmp_path: Path, command: str
) -> None:
    space, out = tmp_path / "space.yaml", tmp_path / "out"
    network = "pooled" if command in {"search", "calibrate"} else "viewed"
    space.write_text(
        f"name: odd\nbackbones: ['support.odd_networks:{network}']\nresolutions: [32]\n"
        "blocks: {se: {}}\n"
    )
    words = ["calibrate", "--curves"] if command == "curves" else [command]
    ran = nas(*words, space, "--out", out)
    assert ran.code == 2 and len(ran.err.strip().splitlines()) == 1, ran.err
    said = "--set device=torch" if network == "pooled" else "Use .reshape(...) instead"
    assert said in ran.err and not out.exists()


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


OWN = """
from torch import nn
from parts import STEM


class Own(nn.Module):
    def __init__(self, num_classes, width=1.0):
        super().__init__()
        channels = int(STEM * width)
        self.stem = nn.Conv2d(3, channels, 3, 2, 1)
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.Conv2d(channels, channels, 1),
        )
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x):
        x = self.stem(x)
        return self.head((x + self.block(x)).mean((2, 3)))
"""


def test_a_network_in_a_file_is_searched_and_resumed_from_anywhere(  # type: ignore[no-untyped-def]
    nas, small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my nets (old)"
    folder.mkdir()
    (folder / "own-net.py").write_text(OWN)
    (folder / "parts.py").write_text("STEM = 16\n")
    space = tmp_path / "space.yaml"
    space.write_text(
        "name: own\nbackbones: ['my nets (old)/own-net.py:Own']\nbackbone_args: {width: 0.5}\n"
        "resolutions: [16]\nblocks: {eca: {}}\n"
    )
    monkeypatch.chdir(tmp_path)
    settings = [part for each in QUICK for part in ("--set", each)]
    ran = nas("search", space, *settings, "--trials", 2, "--workers", 1, "--out", "run")
    assert ran.code == 0, ran.err
    name = f"{folder}/own-net.py:Own(width=0.5)"
    assert read_yaml((tmp_path / "run" / "space.yaml").read_text(), "")["backbones"] == [name]
    monkeypatch.chdir("/")
    (tmp_path / "run" / "front.csv").unlink()
    ran = nas("resume", tmp_path / "run", "--workers", 1)
    assert ran.code == 0, ran.err
    assert (tmp_path / "run" / "front.csv").exists()
    (folder / "own-net.py").rename(folder / "gone.txt")
    ran = nas("resume", tmp_path / "run", "--trials", 4)
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert f"there is no file {folder}/own-net.py" in ran.err
    assert nas("front", tmp_path / "run").code == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--backbone-args", "width"], "--backbone-args 'width': write NAME=VALUE"),
        (["--backbone-args", "width=1"], "'mobilenetv2_035' takes no arguments (width)"),
        (["--backbone-args", "a=1", "--backbone-args", "a=2"], "a is given twice"),
        (["--backbone", "nets.py:Own", "--backbone-args", "a=[1]"], "argument a: found [1]"),
        (["--backbone", "nets.py:Own"], "there is no file nets.py (from "),
    ],
)
def test_wrong_arguments_of_a_backbone_are_one_line(  # type: ignore[no-untyped-def]
    nas, small_space: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    ran = nas("search", small_space, "--out", tmp_path / "run", *options)
    assert ran.code == 2 and said in ran.err and ran.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
