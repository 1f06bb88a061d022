"""The command line as its users meet it: exit codes, one-line errors, flags that stay."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import typer
from support.samples import ROOT, SMALL_SPACE

from nas.base.files import read_yaml
from nas.blocks import BLOCKS
from nas.cli import app

pytestmark = pytest.mark.xdist_group("run")


def test_flags_are_a_promise() -> None:
    command = typer.main.get_command(app)
    flags = {
        name: sorted(flag for param in sub.params for flag in param.opts if flag != "--help")
        for name, sub in command.commands.items()  # type: ignore[attr-defined]
    }
    assert flags == {
        "search": [
            "--backbone", "--calibration", "--data", "--focus", "--out", "--prior", "--runner",
            "--seed", "--set", "--time-limit", "--trials", "--workers", "space",
        ],
        "explain": [
            "--device", "--devices", "--for", "--importances", "--json", "--picture", "--prior",
            "run",
        ],
        "resume": ["--time-limit", "--trials", "--workers", "run"],
        "status": ["--json", "run"],
        "front": [
            "--at", "--by", "--csv", "--device", "--epsilon", "--hypervolume", "--json",
            "--knee", "--markdown", "--max", "--min", "--mixed", "--parquet", "--reference",
            "--where", "runs",
        ],
        "compare": ["--by", "--device", "--json", "--mixed", "first", "second"],
        "report": ["--figures", "--out", "--port", "--serve", "run"],
        "worker": ["--folder", "--grace", "--idle", "run"],
        "show": ["--json", "run", "trial"],
        "space": ["--json", "space"],
        "cost": [
            "--backbone", "--classes", "--exclude", "--json", "--position", "--resolution",
            "--total-stride", "--uniform",
        ],
        "blocks": ["--channels", "--json", "--side"],
        "backbones": ["--json", "--resolution", "pattern"],
        "export": ["--int8", "--out", "--to", "--trial", "--weights", "run", "trial"],
        "doctor": ["--json"],
        "launch": ["--address", "--dry-run", "--out", "--runner", "recipe", "space"],
        "profile": [],
        "calibrate": [
            "--data", "--full-epochs", "--full-weights", "--json", "--networks", "--out",
            "--runner", "--scores", "--seeds", "--set", "--supernet", "--workers", "space",
        ],
        "retrain": [
            "--dry-run", "--epochs", "--front", "--json", "--learning-rate", "--recipe",
            "--references", "--seeds", "--set", "--trial", "--workers", "run",
        ],
        "supernet": [
            "--data", "--epochs", "--json", "--out", "--plain", "--resolution", "--sandwich",
            "--score", "--seed", "--set", "--train-backbone", "space",
        ],
    }  # fmt: skip
    measuring = [
        "--batch", "--classes", "--held-out", "--networks", "--out", "--precision", "--runtime",
        "--threads", "space",
    ]  # fmt: skip
    profile = command.commands["profile"]  # type: ignore[attr-defined]
    assert {
        name: sorted(flag for param in sub.params for flag in param.opts if flag != "--help")
        for name, sub in profile.commands.items()
    } == {
        "measure": measuring,
        "show": ["--json", "file"],
        "compare": ["first", "second"],
        "check": ["file"],
        "pack": measuring,
        "fit": ["--name", "--out", "pack", "timings"],
    }


def test_every_command_has_help_with_an_example() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        assert f"Example: nas {name}" in (command.help or ""), name


def test_front_as_json_is_a_list_of_objects(nas, finished_run: Path) -> None:  # type: ignore[no-untyped-def]
    ran = nas("front", finished_run, "--json")
    points = json.loads(ran.out)
    assert ran.code == 0
    assert isinstance(points, list)
    for name in ("trial", "accuracy", "latency_ms", "params", "macs", "architecture", "reference"):
        assert all(name in point for point in points)
    assert {point["reference"] for point in points} >= {"plain", "se/r24", "eca"}
    assert [point["latency_ms"] for point in points] == sorted(
        point["latency_ms"] for point in points
    )


def test_front_filters_and_writes(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    every = json.loads(nas("front", finished_run, "--json").out)
    middle = every[len(every) // 2]["latency_ms"]
    few = json.loads(nas("front", finished_run, "--json", "--max", f"latency_ms={middle}").out)
    assert 0 < len(few) < len(every)
    assert all(point["latency_ms"] <= middle for point in few)
    assert json.loads(nas("front", finished_run, "--json", "--min", "accuracy=1.1").out) == []
    assert nas("front", finished_run, "--csv", tmp_path / "f.csv").code == 0
    assert nas("front", finished_run, "--parquet", tmp_path / "f.parquet").code == 0
    with (tmp_path / "f.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == [point["trial"] for point in every]
    assert parquet.read_table(tmp_path / "f.parquet").num_rows == len(every)
    table = nas("front", finished_run)
    assert "plain backbone" in table.out
    assert "seeds" in table.out
    by_accuracy = json.loads(nas("front", finished_run, "--by", "accuracy,params", "--json").out)
    assert by_accuracy


def test_show_and_status(nas, finished_run: Path) -> None:  # type: ignore[no-untyped-def]
    shown = nas("show", finished_run, 1)
    assert shown.code == 0
    assert "blocks.1.0/after_depthwise" in shown.out
    assert "hand-placed reference: se/r24" in shown.out
    assert json.loads(nas("show", finished_run, 1, "--json").out)["state"] == "COMPLETE"
    status = json.loads(nas("status", finished_run, "--json").out)
    assert status["trials"]["RUNNING"] == 0
    assert status["networks"] == {"evaluated": 5, "planned": 5}
    assert "not running" in nas("status", finished_run).out


def test_cost_of_the_paper(nas) -> None:  # type: ignore[no-untyped-def]
    arguments = ["--backbone", "mobilenetv2_100", "--uniform", "coord/r32"]
    arguments += ["--exclude", "blocks.0.*"]
    found = json.loads(nas("cost", *arguments, "--json").out)
    assert found["params"] == 3_950_648
    assert found["macs"] == 306_666_368
    assert found["insertions"] == 16
    assert "3.95M" in nas("cost", *arguments).out


def test_profiles_are_measured_shown_and_compared(  # type: ignore[no-untyped-def]
    nas, tmp_path: Path, finished_run: Path
) -> None:
    space, out = tmp_path / "small.yaml", tmp_path / "device.json"
    space.write_text(SMALL_SPACE)
    few = ["--networks", 2, "--held-out", 1, "--classes", 10]
    ran = nas("profile", space, "--out", out, *few)
    assert ran.code == 0, ran.err
    assert "ms plain" in ran.out
    assert f"--set device={out}" in ran.out
    assert json.loads(nas("profile", "show", out, "--json").out)["quality"]["networks"] == 1
    assert "ratio" in nas("profile", "compare", out, out).out
    assert nas("profile", "check", out).code in {0, 1}
    projected = json.loads(nas("front", finished_run, "--device", out, "--json").out)
    assert all(point["latency_predicted"] for point in projected)
    assert "~" in nas("front", finished_run, "--device", out).out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "nowhere.json"], "cannot read the device profile"),
        (["SPACE", "--out", "x.json", "--runtime", "phone"], "unknown runtime 'phone'"),
        (["SPACE", "--out", "x.json", "--precision", "fp8"], "has no 'fp8'"),
        (["nowhere.yaml", "--out", "x.json"], "cannot read the search space"),
        (["fit", "nowhere", "t.csv", "--out", "x.json"], "a pack is made by"),
        (["pack", "SPACE", "--runtime", "torch", "--out", "pack"], "torch runs where this does"),
    ],
)
def test_wrong_profiles_are_said(  # type: ignore[no-untyped-def]
    nas, small_space: Path, tmp_path: Path, monkeypatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = nas("profile", *[str(small_space) if item == "SPACE" else item for item in arguments])
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert said in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_cost_at_another_position(nas) -> None:  # type: ignore[no-untyped-def]
    arguments = ["cost", "--backbone", "mobilenetv2_035", "--uniform", "se"]
    found = json.loads(nas(*arguments, "--position", "after_residual", "--json").out)
    assert found["insertions"] == 10
    wrong = nas(*arguments, "--position", "before")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)
    assert "allowed: after_depthwise" in wrong.err
    nowhere = nas(*arguments, "--position", "after_first_depthwise")
    assert nowhere.code == 2
    assert "it has: after_depthwise, after_projection, after_residual" in nowhere.err


def test_blocks_lists_what_there_is(nas) -> None:  # type: ignore[no-untyped-def]
    found = {row["name"]: row for row in json.loads(nas("blocks", "--json").out)}
    assert found.keys() == BLOCKS.keys()
    assert (found["se"]["params"], found["se"]["options"]["reduction"][0]) == (1640, 24)
    tight = json.loads(nas("blocks", "--channels", 17, "--side", 1, "--json").out)
    refused = {row["name"]: row["refused"] for row in tight}
    assert refused["simam"] == "a map of one position has no variance"
    assert "its 17 channels do not divide" in refused["fca"]
    assert "not here: a map of one" in " ".join(nas("blocks", "--side", 1).out.split())


def test_backbones_lists_the_line_up_and_patterns(nas) -> None:  # type: ignore[no-untyped-def]
    found = json.loads(nas("backbones", "mobilenetv2_0[35]*", "--resolution", 64, "--json").out)
    assert [row["name"] for row in found] == ["mobilenetv2_035", "mobilenetv2_050"]
    assert found[1]["sites"] == {
        "after_depthwise": 17,
        "after_projection": 17,
        "after_residual": 10,
    }
    assert "has no site" in " ".join(nas("backbones", "resnet18").out.split())
    assert nas("backbones", "mobilenet_v9").code == 2


def test_space_lists_sites(nas, small_space: Path) -> None:  # type: ignore[no-untyped-def]
    ran = nas("space", small_space)
    assert "blocks.1" in ran.out
    assert "16x16" in ran.out
    found = json.loads(nas("space", small_space, "--json").out)
    assert found["architectures"] == 3 * 4**5
    sites = found["sites"]["mobilenetv2_035"]
    assert sites[0]["channels"] == 48


def test_version_and_usage(nas) -> None:  # type: ignore[no-untyped-def]
    assert nas("--version").out.startswith("attention-nas 0.")
    for words, said in (
        (["serch"], "No such command 'serch'"),
        (["search"], "Missing argument 'space'"),
        (["front", "runs", "--mrkdown"], "No such option: --mrkdown"),
        (["show", "runs", "-1"], "No such option: -1"),
        (["search", "space.yaml", "--trials", "many"], "Invalid value for '--trials'"),
    ):
        ran = nas(*words)
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
        assert ran.err.startswith(f"error: {said}") or said in ran.err
        assert " --help" in ran.err


def test_doctor_says_what_is_here(nas) -> None:  # type: ignore[no-untyped-def]
    ran = nas("doctor", "--json")
    subjects = [finding["subject"] for finding in json.loads(ran.out)]
    assert subjects[:2] == ["python", "packages"]
    assert {"cores", "memory", "disk", "GPU", "latency", "clock"} <= set(subjects)
    assert "[ ok ] python" in nas("doctor").out


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
        (["--time-limit", "soon"], "--time-limit"),
        (["--data", "mnist"], "allowed: digits, cifar10, folder:PATH"),
        (["--data", "folder:/nowhere"], "no such folder"),
        (["--backbone", "resnet18"], "has no site"),
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["front", "nowhere"], "nowhere does not exist; start one with: nas search"),
        (["resume", "nowhere"], "does not exist"),
        (["front", "RUN", "--max", "latency"], "write name=number"),
        (["front", "RUN", "--max", "speed=3"], "cannot filter on 'speed'; known: loss"),
        (["front", "RUN", "--by", "speed,loss"], "unknown objective 'speed'"),
        (["front", "RUN", "--by", "loss"], "at least two"),
        (["front", "RUN", "--at", "latency_ms=1,latency_ms=2"], "latency_ms is given twice"),
        (["front", "RUN", "--json", "--markdown"], "leave one"),
        (["front", "RUN", "--max", "latency_ms=nan"], "write it as in"),
        (["front", "RUN", "--csv", ROOT / "README.md"], "README.md exists; name a new file"),
        (["front", "RUN", "--parquet", ROOT / "README.md"], "README.md exists; name a new file"),
        (
            [
                "profile",
                ROOT / "search_spaces" / "mobilenetv2-small.yaml",
                "--out",
                ROOT / "README.md",
            ],
            "exists",
        ),
        (["resume", "RUN", "--trials", "2"], "has 5 networks, more than 2"),
        (["status", "sqlite:////nowhere/none.db"], "there is no such file"),
        (["search", "SPACE", "--time-limit", "5x"], "--time-limit: found '5x'"),
        (["resume", "RUN", "--time-limit", "5x"], "--time-limit: found '5x'"),
        (["search", "SPACE", "--focus", "speed=1..2"], "--focus: focus on 'speed'"),
        (
            ["supernet", ROOT / "search_spaces" / "mobilenetv2-small.yaml", "--plain", "nan"],
            "allowed: from 0",
        ),
        (["show", "RUN", "999"], "has no trial 999"),
        (["report", "nowhere"], "nowhere does not exist; start one with: nas search"),
        (["report", "RUN", "--out", ROOT / "README.md"], "README.md exists and is no report"),
        (["report", "RUN", "--serve", "--out", "x.html"], "--serve writes no file"),
        (["report", "RUN", "--figures", ROOT / "README.md"], "is a file; name a folder"),
        (["export", "RUN", "0", "--to", "tflite"], "unknown target"),
        (["export", "RUN"], "no trial named; write its number behind the run"),
        (["export", "RUN", "1", "--trial", "2"], "trial 1 and --trial 2; name one"),
        (["export", "RUN", "0", "--out", "x.tflite"], "is called like a file of litert"),
        (["export", "RUN", "--trial", "999"], "has no trial 999"),
        (["export", "RUN", "0", "--to", "ncnn", "--int8"], "ncnn has no int8 here"),
        (["export", "RUN", "0", "--weights", "test"], "allowed: best, search, retrained"),
        (["export", "RUN", "0", "--weights", "retrained"], "has no fully trained weights"),
        (["front", "RUN/run.yaml"], "run.yaml is a file; name the folder of a run"),
        (["export", "RUN", "0", "--int8", "--out", "x.onnx"], "name a folder for --out"),
        (["cost", "--backbone", "mobilenetv2_035", "--uniform", "se/r5000"], "does not fit"),
        (["cost", "--backbone", "mobilenetv2_035", "--total-stride", "5"], "allowed: 4, 8, 16, 32"),
        (["cost", "--backbone", "nothing"], "unknown backbone"),
    ],
)
def test_wrong_queries_are_said(nas, finished_run: Path, arguments: list[str], said: str) -> None:  # type: ignore[no-untyped-def]
    ran = nas(*[str(item).replace("RUN", str(finished_run)) for item in arguments])
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert said in ran.err


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/bin/mount").exists(), reason="needs to mount")
def test_a_run_that_can_only_be_read_is_shown_and_not_written(  # type: ignore[no-untyped-def]
    nas, finished_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    if subprocess.run(["mount", "--bind", str(finished_run), str(run)]).returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(run)], check=True)
        assert nas("status", run).code == nas("front", run).code == 0
        for arguments in (("report", run), ("export", run, "1"), ("resume", run)):
            ran = nas(*arguments)
            assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
            assert "Read-only file system" in ran.err
    finally:
        subprocess.run(["umount", "-l", str(run)], check=True)


@pytest.mark.parametrize("text", ["{}", "[]", '{"data": []}'])
def test_an_environment_that_says_nothing_is_one_line(  # type: ignore[no-untyped-def]
    nas, finished_run: Path, tmp_path: Path, text: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished_run, copy)
    (copy / "environment.json").write_text(text)
    ran = nas("export", copy, "1")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert "it does not say what the images were" in ran.err


def test_a_half_made_run_is_one_line(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for missing in ("space.yaml", "study.journal", "environment.json"):
        copy = tmp_path / missing
        shutil.copytree(finished_run, copy)
        (copy / missing).unlink()
        ran = nas("resume", copy, "--trials", "6")
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err


def test_a_run_file_that_is_no_text_is_one_line(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for name in ("space.yaml", "run.yaml"):
        copy = tmp_path / name
        shutil.copytree(finished_run, copy)
        (copy / name).write_bytes(b"\xff\xfe\x00")
        for command in ("status", "front", "report"):
            ran = nas(command, copy)
            assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
            assert "it is not a text file" in ran.err


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


def test_report_writes_a_page_and_figures(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    before = {path.name for path in finished_run.iterdir()}
    ran = nas("report", finished_run, "--out", tmp_path / "a.html", "--figures", tmp_path / "f")
    assert ran.code == 0, ran.err
    page = (tmp_path / "a.html").read_text()
    assert "<h1>small " in page and "se/r24" in page
    written = [line.removeprefix("Written: ") for line in ran.out.splitlines()]
    assert written[0] == str(tmp_path / "a.html")
    assert {Path(item).name for item in written} >= {"front.png", "front.svg", "progress.svg"}
    assert all(Path(item).stat().st_size for item in written)
    assert {path.name for path in finished_run.iterdir()} == before, "reading changes nothing"


def test_report_of_a_run_goes_into_its_folder(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(finished_run, tmp_path / "run")
    for _ in range(2):
        assert nas("report", tmp_path / "run").out == f"Written: {tmp_path}/run/front.html\n"
    (tmp_path / "run" / "study.journal").unlink()
    ran = nas("report", tmp_path / "run")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
