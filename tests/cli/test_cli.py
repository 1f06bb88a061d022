"""All commands as their users meet them: exit codes, one-line errors, flags that stay."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer
from support.samples import ROOT

from nas.cli import app

pytestmark = pytest.mark.xdist_group("run")


def test_flags_are_a_promise() -> None:
    command = typer.main.get_command(app)
    flags = {
        name: sorted(flag for param in sub.params for flag in param.opts if flag != "--help")
        for name, sub in command.commands.items()  # type: ignore[attr-defined]
    }
    assert flags == {
        "init": ["--backbone", "--budget", "--data", "--device", "--resolution", "out"],
        "ask": [
            "--classes", "--data", "--device", "--head", "--json", "--plain-accuracy", "--regime",
            "--task", "space",
        ],
        "search": [
            "--backbone", "--backbone-args", "--budget", "--calibration", "--data", "--dry-run",
            "--focus", "--full-trainings", "--head", "--out", "--prior", "--regime", "--runner",
            "--seed", "--set", "--task", "--test", "--time-limit", "--trials", "--validation",
            "--weights", "--weights-match", "--workers", "space",
        ],
        "explain": [
            "--device", "--devices", "--evaluate", "--for", "--importances", "--json", "--picture",
            "--prior", "run",
        ],
        "evaluate": ["--backbone", "--name", "--network", "--place", "--resolution", "run"],
        "resume": [
            "--budget", "--full-trainings", "--time-limit", "--trials", "--workers", "run",
        ],
        "status": ["--json", "run"],
        "front": [
            "--at", "--by", "--csv", "--device", "--epsilon", "--findings", "--hypervolume",
            "--json", "--knee", "--margin", "--markdown", "--max", "--min", "--mixed", "--parquet",
            "--reference", "--where", "--within", "runs",
        ],
        "compare": ["--by", "--device", "--json", "--mixed", "first", "second"],
        "report": ["--figures", "--images", "--out", "--port", "--serve", "run"],
        "worker": ["--folder", "--grace", "--idle", "run"],
        "show": ["--json", "--picture", "run", "trial"],
        "space": ["--head", "--json", "--list", "--task", "space"],
        "sites": [
            "--block", "--classes", "--head", "--json", "--output-stride", "--size", "--task",
            "--total-stride", "--weights", "--weights-match", "network",
        ],
        "cost": [
            "--backbone", "--backbone-args", "--classes", "--exclude", "--head", "--json",
            "--output-stride", "--part", "--position", "--resolution", "--task",
            "--total-stride", "--uniform",
        ],
        "blocks": ["--channels", "--json", "--side"],
        "backbones": ["--json", "--resolution", "pattern"],
        "export": [
            "--int8", "--max-drop", "--nms", "--out", "--to", "--trial", "--weights",
            "run", "trial",
        ],
        "doctor": ["--json"],
        "launch": ["--address", "--dry-run", "--out", "--runner", "recipe", "space"],
        "profile": [],
        "calibrate": [
            "--budget", "--curves", "--data", "--doublings", "--full-epochs", "--full-weights",
            "--head", "--json", "--networks", "--out", "--runner", "--scores", "--seeds", "--set",
            "--supernet", "--task", "--weights", "--weights-match", "--workers", "space",
        ],
        "retrain": [
            "--dry-run", "--epochs", "--front", "--json", "--learning-rate", "--recipe",
            "--references", "--rivals", "--seeds", "--set", "--trial", "--workers", "run",
        ],
        "supernet": [
            "--data", "--epochs", "--json", "--out", "--plain", "--resolution", "--sandwich",
            "--score", "--seed", "--set", "--train-backbone", "space",
        ],
    }  # fmt: skip
    measuring = [
        "--batch", "--classes", "--head", "--held-out", "--networks", "--out", "--precision",
        "--runtime", "--task", "--threads", "space",
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
        "fit": ["--log", "--name", "--out", "pack", "timings"],
        "adb": ["--serial", "--tool", "pack"],
        "ssh": ["--tool", "host", "pack"],
    }


def test_every_command_has_help_with_an_example() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        assert f"Example: nas {name}" in (command.help or ""), name


def test_version_and_usage(nas) -> None:  # type: ignore[no-untyped-def]
    assert nas("--version").out.startswith("attention-nas 0.")
    for words, said in (
        (["serch"], "No such command 'serch'"),
        (["search"], "Missing argument 'space'"),
        (["front", "runs", "--mrkdown"], "No such option: --mrkdown"),
        (["show", "runs", "-1"], "No such option: -1"),
        (["search", "space.yaml", "--trials", "many"], "--trials: found 'many'"),
    ):
        ran = nas(*words)
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
        assert ran.err.startswith(f"error: {said}") or said in ran.err
        assert " --help" in ran.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["front", "nowhere"], "nowhere does not exist; start one with: nas search"),
        (["resume", "nowhere"], "does not exist"),
        (["front", "RUN", "--max", "latency"], "write name=number"),
        (["front", "RUN", "--margin", "speed=3"], "allowed: loss, points"),
        (["front", "RUN", "--margin", "loss=-1"], "allowed: a number, 0 or more"),
        (["front", "RUN", "--max", "speed=3"], "cannot filter on 'speed'; known: loss"),
        (["front", "RUN", "--by", "speed,loss"], "unknown objective 'speed'"),
        (["front", "RUN", "--by", "loss"], "at least two"),
        (["front", "RUN", "--at", "latency_ms=1,latency_ms=2"], "latency_ms is given twice"),
        (["front", "RUN", "--json", "--markdown"], "leave one"),
        (["front", "RUN", "--max", "latency_ms=nan"], "write name=number, as in latency_ms=8"),
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
        (["search", "SPACE", "--budget", "5x"], "--budget: found '5x'"),
        (["resume", "RUN", "--budget", "+5x"], "--budget: found '5x'"),
        (["search", "SPACE", "--set", "search.stop_when=0.1"], "0.1 points or 0.005 loss"),
        (["resume", "RUN", "--time-limit", "5x"], "--time-limit: found '5x'"),
        (["search", "SPACE", "--focus", "speed=1..2"], "--focus: focus on 'speed'"),
        (
            ["supernet", ROOT / "search_spaces" / "mobilenetv2-small.yaml", "--plain", "nan"],
            "allowed: a number from 0 to 1",
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
        (["export", "RUN", "0", "--max-drop", "1"], "write --int8 as well"),
        (["export", "RUN", "0", "--int8", "--max-drop", "-1"], "from 0 to 100"),
        (["export", "RUN", "0", "--int8", "--max-drop", "nan"], "from 0 to 100"),
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


def test_the_list_of_commands_fits_a_terminal(  # type: ignore[no-untyped-def]
    nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for words in ((), ("profile",)):
        listed = nas(*words, "--help").out.partition("Commands:\n")[2]
        assert listed and "..." not in listed, listed
        assert max(map(len, listed.splitlines())) <= 80


def test_help_names_values_in_words_of_the_field(nas, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COLUMNS", "200")
    root = typer.main.get_command(app)
    profile = root.commands["profile"].commands  # type: ignore[attr-defined]
    commands = [(name,) for name in root.commands] + [("profile", name) for name in profile]  # type: ignore[attr-defined]
    for words in commands:
        told = nas(*words, "-h")
        assert told.code == 0
        # `<int range>`, `<path>`, `<list[Path]>` are no words; choices are: <scratch|finetune>.
        types = re.findall(r"<(?![\w-]+\|)[^<>=]+>", told.out)
        assert not [kind for kind in types if kind != "<images>" and kind != "<class>"], told.out
        for line in told.out.partition("Options:\n")[2].splitlines():
            if line.startswith("  -"):  # each says in words what it is
                assert re.search(r"[a-z]{3,}", line.split("   ")[-1] or line), line
