"""`nas ask` as its users meet it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from nas.report import outlook


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlook, "_timed_speed", lambda plain, task: 1000.0)


def test_the_answer_comes_first(nas, small_space: Path) -> None:  # type: ignore[no-untyped-def]
    ran = nas("ask", small_space, "--data", "cifar10")
    lines = ran.out.splitlines()
    assert ran.code == 0 and lines[0].startswith("mobilenetv2_035 at 32x32, 1,000 classes: ")
    assert "Published results let one expect" in lines[1]
    assert "The 90 % interval is" in lines[2] and "it helps with probability" in lines[2]
    assert any("late half" in line and "se/r24" in line for line in lines)
    assert "Latency is not known. Measure it: nas profile" in ran.out
    assert "14 short trainings) would narrow it" in ran.out
    (command,) = [line.removeprefix("Next: ") for line in lines if line.startswith("Next: ")]
    words = shlex.split(command)
    assert words[:5] == ["nas", "search", str(small_space), "--data", "cifar10"]


@pytest.mark.parametrize(
    ("task", "head"), [("segmentation", "lraspp"), ("segmentation", "fpn"), ("retrieval", None)]
)
def test_other_tasks_are_told_their_own_costs_and_whose_gains_these_are(  # type: ignore[no-untyped-def]
    nas, small_space: Path, task: str, head: str | None
) -> None:
    given = ("--task", task, *(("--head", head) if head else ()))
    ran = nas("ask", small_space, *given)
    head = head or "embedding"
    assert ran.code == 0 and f", {task} with {head}: " in ran.out.splitlines()[0]
    assert (", 21 classes, " in ran.out) is (task == "segmentation")
    assert "published results of classification, in points of its accuracy: for " in ran.out
    assert "An hour of training" not in ran.out
    assert f"--task {task} --head {head} --out device.json" in ran.out
    (command,) = [line for line in ran.out.splitlines() if line.startswith("Next: ")]
    assert f"--task {task} --head {head}" in command
    found = json.loads(nas("ask", small_space, *given, "--json").out)
    cost = ("--backbone", "mobilenetv2_035", "--resolution", "32", "--total-stride", "16")
    classes = ("--classes", "21") if task == "segmentation" else ()
    plain = json.loads(nas("cost", *cost, *given, *classes, "--json").out)
    assert (found["task"], found["head"]) == (task, head)
    assert found["networks"][0]["macs"] == plain["macs"]


def test_machines_get_all_of_it(nas, small_space: Path) -> None:  # type: ignore[no-untyped-def]
    found = json.loads(nas("ask", small_space, "--json").out)
    (network,) = found["networks"]
    assert found["published"]["studies"] > 30 and not found["profiled"]
    assert {"gain", "gain_low", "gain_high", "p_helps", "macs"} <= set(network["placements"][0])
    assert found["command"].startswith("nas search")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "toaster"), "device 'toaster': unknown runtime"),
        (("--device", "nowhere.json"), "cannot read the device profile nowhere.json"),
        (("--plain-accuracy", "76"), "--plain-accuracy: found '76'; allowed: a number from 0 to 1"),
        (("--task", "colouring"), "task 'colouring'; allowed: classification"),
        (("--head", "unet"), "head 'unet'; allowed for classification: classifier"),
        (("--regime", "probe"), "found 'probe'; allowed: scratch, finetune"),
    ],
)
def test_wrong_input_is_one_line(  # type: ignore[no-untyped-def]
    nas, small_space: Path, arguments: tuple[str, str], message: str
) -> None:
    ran = nas("ask", small_space, *arguments)
    assert ran.code == 2 and message in ran.err and len(ran.err.strip().splitlines()) == 1


def test_a_missing_space_is_one_line(nas) -> None:  # type: ignore[no-untyped-def]
    ran = nas("ask", "nowhere.yaml")
    assert ran.code == 2 and "cannot read the search space nowhere.yaml" in ran.err
