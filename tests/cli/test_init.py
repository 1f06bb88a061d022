"""`nas init` as its users meet it: four questions, two files, and the command to run."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from nas.models.candidates import load_space
from nas.runs import draft
from nas.runs.draft import Draft, check_data, check_network
from nas.spec.runner import load_runner

pytestmark = pytest.mark.xdist_group("run")

ALL = ["--data", "digits", "--backbone", "mobilenetv2_035", "--device", "onnxruntime"]
ALL += ["--budget", "1h"]


@pytest.fixture(autouse=True)
def _known_speed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No machine's speed decides what these tests see."""
    monkeypatch.setattr(draft, "seconds_per_image", lambda *_, **__: 1e-3)
    monkeypatch.setattr(draft, "usable_cores", lambda: 2)
    monkeypatch.chdir(tmp_path)


def test_what_is_written_is_what_a_search_reads(nas, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    ran = nas("init", "mine", *ALL)
    assert ran.code == 0, ran.err
    space, runner = load_space("mine/space.yaml"), load_runner("mine/runner.yaml")
    assert (space.backbones, space.resolutions, space.total_stride) == (
        ["mobilenetv2_035"],
        [32],
        16,
    )
    assert (runner.task, runner.device) == ("classification", "onnxruntime")
    assert runner.search.budget == 3600
    assert runner.proxy.rungs is not None and runner.retrain.epochs is not None
    assert 5 <= runner.proxy.rungs[0] <= runner.retrain.epochs
    commands = [line.split() for line in ran.out.splitlines() if line.startswith("  nas search")]
    assert [words[-1] for words in commands] == ["--dry-run", "mine/run"]
    # And the command that is shown runs: what it would do is said.
    ran = nas(*shlex.split(" ".join(commands[0]))[1:])
    assert ran.code == 0, ran.err
    assert "placed by hand" in ran.out and not Path("mine/run").exists()


def test_nothing_is_written_over(nas, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    ran = nas("init", "mine", *ALL)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "the folder mine exists; name a new folder" in ran.err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--data, --backbone, --device, --budget left out, and without a terminal"),
        (ALL[:-2], "--budget left out"),
        ([*ALL, "--data", "folder:/nowhere"], "no such folder; needed: /nowhere/train/<class>"),
        ([*ALL, "--data", "mnist"], "allowed: digits, cifar10, folder:PATH"),
        ([*ALL, "--backbone", "mobilnetv2"], "unknown backbone 'mobilnetv2'"),
        ([*ALL, "--device", "phone"], "unknown runtime 'phone'; known: onnxruntime"),
        ([*ALL, "--device", "phone.json"], "cannot read the device profile"),
        ([*ALL, "--budget", "soon"], "--budget: found 'soon'; allowed: seconds, or a number"),
        ([*ALL, "--budget", "5s"], "--budget 5s: 40 trainings of one epoch each"),
        ([*ALL, "--budget", "0"], "--budget 0: 40 trainings of one epoch each"),
        ([*ALL, "--resolution", "big"], "--resolution: found 'big'; allowed: "),
    ],
)
def test_a_wrong_answer_is_one_line(  # type: ignore[no-untyped-def]
    nas, tmp_path: Path, arguments: list[str], said: str
) -> None:
    ran = nas("init", "mine", *arguments)
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert said in ran.err and not (tmp_path / "mine").exists()


def test_in_a_terminal_wrong_answers_are_asked_again(  # type: ignore[no-untyped-def]
    nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["mnist", "digits", "resnet", "mobilenetv2_035", "phone", "", "soon", "2h"])
    asked: list[str] = []

    def answer(question: str, default: str) -> str:
        asked.append(question)
        return next(answers) or default

    monkeypatch.setattr("nas.cli.init._somebody_is_there", lambda: True)
    monkeypatch.setattr("typer.prompt", answer)
    ran = nas("init", "mine")
    assert ran.code == 0, ran.err
    assert len(asked) == 8 and len(set(asked)) == 4
    for said in ("data 'mnist'; allowed", "unknown backbone", "unknown runtime 'phone'", "'soon'"):
        assert said in ran.out
    assert load_runner("mine/runner.yaml").search.budget == 7200


def test_more_time_gives_longer_trainings(tmp_path: Path) -> None:
    network = check_network(check_data("digits"), "mobilenetv2_035")
    lengths = [
        (d.short, d.full) for d in (Draft.of(network, "torch", t) for t in ("5m", "1h", "9d"))
    ]
    assert lengths == sorted(lengths) and lengths[0] != lengths[1]
    assert lengths[-1] == (18, 200), "300 steps are enough of short ones, the recipe's of full ones"


def test_a_network_without_strides_to_change_and_sites_elsewhere_is_drafted() -> None:
    network = check_network(check_data("digits"), "resnet18")
    assert network.notes and "no site after_depthwise" in network.notes[0]
    assert load_space_text(Draft.of(network, "my device.json", "1h").space_text())


def load_space_text(text: str) -> bool:
    from nas.base.files import parse, read_yaml
    from nas.spec.space import SearchSpace

    return parse(SearchSpace, read_yaml(text, "it"), "it").sites.granularity == "block"
