"""The command on the page is run: what it asks for is what the run was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from support.simulated_run import simulated_run

from nas.report.rerun_command import list_overrides, rerun_command
from nas.spec.runner import Runner, load_runner


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("search.trials=5", "search.focus={latency_ms: [0.5, 2]}", "proxy.kind=finetune"),
        ("search.objectives=[accuracy, params]", "search.reduction=null", "proxy.rungs=[1, 3.5]"),
        ("proxy.backbone.weights=pretrained", "proxy.kind=probe", "search.time_limit=2h"),
        ("device=openvino",),
        ("loggers=[tensorboard]", "workers=3", "search.patience=9", "proxy.subset=100"),
    ],
)
def test_overrides_make_the_same_runner(changes: tuple[str, ...]) -> None:
    runner = load_runner(None, changes)
    assert load_runner(None, list_overrides(runner)) == runner
    assert len(list_overrides(runner)) == len(changes)


def test_the_command_asks_for_the_same_run(tmp_path: Path) -> None:
    run = simulated_run(
        tmp_path / "my run's", stop_after=0, data="folder:/photos of 'cats'", search={"trials": 7}
    )
    shell = "nas() { printf '%s\\0' nas \"$@\"; }\n" + rerun_command(run)
    ran = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    words = ran.stdout.split("\0")[:-1]
    assert words[:2] == ["nas", "search"]
    assert words[2] == str(run.path / "space.yaml")
    options = dict(zip(words[3::2], words[4::2], strict=True))
    assert options["--data"] == "folder:/photos of 'cats'"
    assert options["--out"] == f"{run.path}-again"
    asked = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    same = {name: getattr(run.file, name) for name in Runner.model_fields}
    assert load_runner(None, tuple(asked)) == Runner(**same)


def test_a_profile_is_taken_from_the_run(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", stop_after=0, device="../gone/phone.json")
    assert f"--set 'device=\"{run.path}/device.json\"'" in rerun_command(run)
