from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.recipes import KUBERNETES, check_ray_job
from support.samples import ROOT, SMALL_SPACE
from typer.testing import CliRunner

from nas.base.errors import NasError, SpecError
from nas.cli import app
from nas.runs.submit import Step, Submission, plan_steps, submit

RUNNERS = ROOT / "runners"


@pytest.fixture
def order(small_space: Path) -> Submission:
    options = ("--data", "folder:/shared/my images", "--set", "proxy.rungs=[1,3]")
    return Submission(space=small_space, out="/shared/runs/x", options=options)


def test_slurm_gets_the_words_of_nas_search(order: Submission) -> None:
    (step,) = plan_steps(RUNNERS / "slurm.sbatch", order)
    script = str(RUNNERS / "slurm.sbatch")
    expected = ("sbatch", script, str(order.space), "--out", "/shared/runs/x", *order.options)
    assert step.command == expected
    assert shlex.split(str(step)) == list(expected), "what is shown can be pasted"


def test_a_job_server_gets_the_files_and_a_command_that_can_be_repeated(order: Submission) -> None:
    (step,) = plan_steps(RUNNERS / "ray-cluster.yaml", order, address="http://head:8265")
    assert step.files["space.yaml"] == SMALL_SPACE
    assert "executor: ray" in step.files["runner.yaml"]
    assert step.command[:6] == (
        "ray", "job", "submit", "--no-wait", "--address", "http://head:8265",
    )  # fmt: skip
    shell = step.command[-1]
    subprocess.run(["bash", "-n", "-c", shell], check=True)
    assert "if [ -e /shared/runs/x/run.yaml ]; then nas resume /shared/runs/x;" in shell
    assert "--data 'folder:/shared/my images'" in shell


def test_a_command_given_again_goes_on(order: Submission, tmp_path: Path) -> None:
    def said() -> str:
        (step,) = plan_steps(RUNNERS / "ray-cluster.yaml", order_here, address="http://head:8265")
        shell = 'nas() { echo nas "$@"; }; ' + step.command[-1]
        return subprocess.run(
            ["bash", "-c", shell], capture_output=True, text=True, check=True
        ).stdout

    out = tmp_path / "a run"
    order_here = Submission(space=order.space, out=str(out), options=order.options)
    assert said().startswith("nas search space.yaml --runner runner.yaml --out")
    out.mkdir()
    (out / "run.yaml").touch()
    assert said() == f"nas resume {out}\n"
    longer = ("--trials", "400", "--data", "digits", "--time-limit=2h")
    order_here = Submission(space=order.space, out=str(out), options=longer)
    assert said() == f"nas resume {out} --trials 400 --time-limit=2h\n"


@pytest.mark.parametrize("limit", [("--time-limit", "2h"), ("--time-limit=2h",)])
def test_a_job_that_a_cluster_starts_again_has_what_is_left_of_its_time(
    order: Submission, tmp_path: Path, limit: tuple[str, ...]
) -> None:
    out = tmp_path / "not there yet" / "run"
    here = Submission(space=order.space, out=str(out), options=("--trials", "9", *limit))

    def job() -> Callable[[str], tuple[int, list[str]]]:
        (step,) = plan_steps(RUNNERS / "ray-cluster.yaml", here, address="http://head:8265")

        def start(ends: str) -> tuple[int, list[str]]:
            begun = f'mkdir -p "{out}"; : > "{out}/run.yaml"'
            nas = f'nas() {{ printf "%s\\n" "$@"; {begun}; {ends}; }}; '
            done = subprocess.run(
                ["bash", "-c", nas + step.command[-1]], capture_output=True, text=True, check=False
            )
            return done.returncode, done.stdout.splitlines()

        return start

    first = job()
    code, words = first("return 7")
    assert code == 7 and words[0] == "search" and words[-len(limit) :] == list(limit)
    # Its machine was lost, twice: the search has its limit already.
    for ends, expected in (("return 7", 7), ("true", 0)):
        assert first(ends) == (expected, ["resume", str(out), "--trials", "9"])
    assert [path.name for path in out.parent.iterdir()] == ["run"]
    # What somebody submits again is longer, once.
    second = job()
    assert second("return 7") == (7, ["resume", str(out), "--trials", "9", *limit])
    assert second("true") == (0, ["resume", str(out), "--trials", "9"])
    assert [path.name for path in out.parent.iterdir()] == ["run"]


def test_the_launcher_starts_copies_and_begins(order: Submission) -> None:
    made = plan_steps(RUNNERS / "ray-aws.yaml", order)
    assert [step.command[:2] for step in made] == [
        ("ray", "up"),
        ("ray", "rsync-up"),
        ("ray", "exec"),
    ]
    assert made[1].command[-2:] == (str(order.space), "~/nas-space.yaml")
    assert "--set executor=ray --set ray.address=auto" in made[-1].command[-1]


def test_kubernetes_gets_the_space_beside_the_job(order: Submission) -> None:
    (step,) = plan_steps(RUNNERS / "kuberay-rayjob.yaml", order)
    assert step.command == ("kubectl", "create", "-f", "-")
    config, job = yaml.safe_load_all(step.text or "")
    name = job["metadata"]["name"]
    assert re.fullmatch(r"nas-[a-z0-9-]+-[0-9a-f]{4}", name) and len(name) < 40
    assert config["metadata"]["name"] == f"{name}-files"
    check_ray_job(job)
    kubernetes_validate.validate(config, KUBERNETES, strict=True)
    assert config["data"] == {"space.yaml": SMALL_SPACE}
    head = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    mount = next(m for m in head["containers"][0]["volumeMounts"] if m["mountPath"] == "/etc/nas")
    volume = next(item for item in head["volumes"] if item["name"] == mount["name"])
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    shell, flag, command = shlex.split(job["spec"]["entrypoint"])
    assert (shell, flag) == ("sh", "-c") and "nas search /etc/nas/space.yaml" in command


def test_a_runner_file_comes_along(order: Submission, tmp_path: Path) -> None:
    runner = tmp_path / "mine.yaml"
    runner.write_text("search: {trials: 99}\n")
    taken = Submission(space=order.space, out=order.out, runner=runner)
    (slurm,) = plan_steps(RUNNERS / "slurm.sbatch", taken)
    assert slurm.command[-2:] == ("--runner", str(runner))
    (job,) = plan_steps(RUNNERS / "kuberay-rayjob.yaml", taken)
    assert next(yaml.safe_load_all(job.text or ""))["data"]["runner.yaml"] == runner.read_text()
    launcher = plan_steps(RUNNERS / "ray-gcp.yaml", taken)
    assert launcher[2].command[-2:] == (str(runner), "~/nas-runner.yaml")


@pytest.fixture
def far(small_space: Path, tmp_path: Path) -> list[str]:
    """Words of a launch that names files of this machine."""
    (tmp_path / "phone.json").write_text('{"a": "phone"}')
    (tmp_path / "rules.json").write_text('{"some": "rules"}')
    recipe = tmp_path / "job.yaml"
    text = (RUNNERS / "kuberay-rayjob.yaml").read_text()
    recipe.write_text(text.replace("REGISTRY", "registry.here").replace("PUT-IN", "claim"))
    files = ["--prior", str(tmp_path / "rules.json"), "--set", f"device={tmp_path / 'phone.json'}"]
    return ["launch", str(recipe), str(small_space), "--out", "/shared/x", *files]


def test_files_that_options_name_come_along(far: list[str], order: Submission) -> None:
    shown = CliRunner().invoke(app, [*far, "--dry-run"])
    assert shown.exit_code == 0, shown.output
    config, job = yaml.safe_load_all(shown.output.partition("<<'END'\n")[2].rpartition("END")[0])
    assert config["data"]["device.json"] == '{"a": "phone"}'
    assert config["data"]["prior.json"] == '{"some": "rules"}'
    entry = job["spec"]["entrypoint"]
    # The last of two counts.
    assert entry.rindex("--set=device=/etc/nas/device.json") > entry.rindex("phone.json")
    assert entry.rindex("--prior=/etc/nas/prior.json") > entry.rindex("rules.json")

    phone = Path(far[-1].partition("=")[2])
    taken = Submission(order.space, order.out, files={"device": phone})
    copied = plan_steps(RUNNERS / "ray-aws.yaml", taken)
    assert copied[2].command[-2:] == (str(phone), "~/nas-device.json")
    assert "--set=device=nas-device.json" in copied[-1].command[-1]
    (sent,) = plan_steps(RUNNERS / "ray-cluster.yaml", taken, address="http://head:8265")
    assert sent.files["device.json"] == phone.read_text()
    assert "--set=device=device.json" in sent.command[-1]
    (slurm,) = plan_steps(RUNNERS / "slurm.sbatch", taken)
    assert "device.json" not in " ".join(slurm.command), "its machines share these files"


def test_a_runner_that_is_the_recipe_brings_its_device(order: Submission, tmp_path: Path) -> None:
    (tmp_path / "phone.json").write_text("{}")
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"{{executor: ray, ray: {{address: auto}}, device: {tmp_path / 'phone.json'}}}"
    )
    (step,) = plan_steps(recipe, order, address="http://head:8265")
    assert step.files["device.json"] == "{}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "device=none.json"], "cannot read none.json"),
        (["--prior", "none.json"], "cannot read none.json"),
        (["--calibration", "runs/c"], "--calibration runs/c: name it as the cluster's"),
        (["--data", "folder:images"], "--data folder:images: name it as the cluster's"),
        (["--validation", "held"], "--validation held: name it as the cluster's"),
    ],
)
def test_what_the_cluster_would_not_find_is_one_line(
    far: list[str], words: list[str], said: str
) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        CliRunner().invoke(app, [*far[:5], *words, "--dry-run"], catch_exceptions=False)
    assert "\n" not in str(caught.value)


def test_what_is_there_already_is_left_as_it_is(far: list[str]) -> None:
    words = ["--set", "device=/only/there.json", "--data", "folder:/only/there"]
    shown = CliRunner().invoke(app, [*far[:5], *words, "--dry-run"])
    assert shown.exit_code == 0 and "device.json" not in shown.output


def test_more_than_a_config_map_holds_is_refused(far: list[str]) -> None:
    Path(far[-1].partition("=")[2]).write_text("1" * 1_100_000)
    with pytest.raises(SpecError, match="more than a ConfigMap of Kubernetes holds"):
        CliRunner().invoke(app, [*far, "--dry-run"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("recipe", "changes", "said"),
    [
        ("local.yaml", {}, "runs on the machine where it is started"),
        ("ray-local.yaml", {}, "runs on the machine where it is started"),
        ("ray-cluster.yaml", {"address": None}, "--address http://HEAD:8265"),
        ("ray-cluster.yaml", {"out": "runs/x"}, "from / on"),
        ("kuberay-rayjob.yaml", {"out": "runs/x"}, "from / on"),
        ("slurm-array.sbatch", {}, "--set executor=worker"),
        ("none.yaml", {}, "cannot read"),
    ],
)
def test_wrong_orders_are_one_line(
    order: Submission, recipe: str, changes: dict[str, Any], said: str
) -> None:
    address = changes.get("address", "http://head:8265")
    given = Submission(order.space, changes.get("out", order.out), order.options)
    with pytest.raises(SpecError, match=said) as caught:
        plan_steps(RUNNERS / recipe, given, address=address)
    assert "\n" not in str(caught.value)


def test_steps_are_carried_out_in_order_until_one_fails() -> None:
    calls: list[tuple[list[str], str | None]] = []

    def run(command: list[str], *, input: str | None, encoding: str, stderr: int | None) -> Any:
        assert encoding == "utf-8" and stderr is None, "errors are shown as they come"
        calls.append((command, input))
        if "{" not in command[-1] and len(command) > 2:
            assert Path(command[1], "a.txt").read_text() == "hello"
        return subprocess.CompletedProcess(command, 3 if command[0].endswith("false") else 0)

    made = [
        Step(("true", "{folder}", "x"), files={"a.txt": "hello"}),
        Step(("cat",), text="words"),
        Step(("false",)),
        Step(("true",)),
    ]
    with pytest.raises(NasError, match="false failed with exit code 3"):
        submit(made, run=run)
    assert len(calls) == 3 and calls[1][1] == "words"
    with pytest.raises(SpecError, match="no-such-program is not installed here"):
        submit([Step(("true",)), Step(("no-such-program",))], run=run)
    assert len(calls) == 3, "nothing is begun that cannot be finished"


# What sbatch of SLURM 22.05 says, and its exit code.
REFUSALS = {
    "partition": (
        "sbatch: error: invalid partition specified: nope\n"
        "sbatch: error: Batch job submission failed: Invalid partition name specified\n",
        1,
        "invalid partition specified: nope; Batch job submission failed: Invalid partition name "
        "specified",
    ),
    "time": ("sbatch: error: Invalid --time specification\n", 255, "Invalid --time specification"),
    "controller": (
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller "
        "(connect failure)\n",
        1,
        "Batch job submission failed: Unable to contact slurm controller (connect failure)",
    ),
}


def sbatch_that_says(folder: Path, monkeypatch: pytest.MonkeyPatch, errors: str, code: int) -> None:
    (folder / "bin").mkdir()
    program = folder / "bin" / "sbatch"
    said = f"printf %s {shlex.quote(errors)} >&2\n[ {code} -ne 0 ] || echo Submitted batch job 7"
    program.write_text(f"#!/bin/sh\n{said}\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"), prepend=os.pathsep)


@pytest.mark.parametrize("case", REFUSALS)
def test_what_slurm_refuses_is_one_line(
    order: Submission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    errors, code, reason = REFUSALS[case]
    sbatch_that_says(tmp_path, monkeypatch, errors, code)
    recipe = RUNNERS / "slurm.sbatch"
    with pytest.raises(SpecError) as caught:
        submit(plan_steps(recipe, order))
    advice = f"see the lines #SBATCH of {recipe}, and what sinfo shows"
    assert str(caught.value) == f"sbatch refuses it: {reason}; {advice}"


def test_what_slurm_says_of_a_job_that_it_takes_is_shown_with_what_to_do(
    order: Submission, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch_that_says(tmp_path, monkeypatch, "sbatch: your group has used up 90 %\n", 0)
    there = replace(order, out="/shared/my runs/x")
    used, then = submit(plan_steps(RUNNERS / "slurm.sbatch", there))
    assert used == "your group has used up 90 %"
    assert then.startswith("squeue --me shows") and then.endswith("nas status '/shared/my runs/x'")


def test_recipes_are_found_by_name_from_anywhere(
    small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [str(small_space), "--out", "/shared/x", "--dry-run"]
    for name in ("slurm.sbatch", "runners/slurm.sbatch"):
        shown = CliRunner().invoke(app, ["launch", name, *words])
        assert shown.output.split()[:2] == ["sbatch", str(RUNNERS / "slurm.sbatch")]
    with pytest.raises(SpecError, match=r"slurm: No .*; by name there are .*slurm\.sbatch"):
        CliRunner().invoke(app, ["launch", "slurm", *words], catch_exceptions=False)


def test_the_command_line_shows_and_checks(small_space: Path, tmp_path: Path) -> None:
    words = ["launch", str(RUNNERS / "slurm.sbatch"), str(small_space), "--out", "/shared/x"]
    shown = CliRunner().invoke(app, [*words, "--dry-run", "--trials", "60"])
    assert shown.exit_code == 0, shown.output
    assert shown.output.split()[:2] == ["sbatch", str(RUNNERS / "slurm.sbatch")]
    assert shown.output.split()[-2:] == ["--trials", "60"]
    for mistake in (
        ["--trails", "60"],
        ["--set", "search.sampler=best"],
        ["--set", "proxy.knd=probe"],
        ["--set", "proxy.backbone.weights=pretrained"],
        ["--data", "mnist"],
    ):
        assert CliRunner().invoke(app, [*words, "--dry-run", *mistake]).exit_code != 0, mistake
    kubernetes = ["launch", str(RUNNERS / "kuberay-rayjob.yaml"), *words[2:]]
    assert "line 30: put in" in CliRunner().invoke(app, [*kubernetes, "--dry-run"]).output
    with pytest.raises(SpecError, match=r"line 30: put in what belongs there for 'REGISTRY/'"):
        CliRunner().invoke(app, kubernetes, catch_exceptions=False)
    elsewhere = ["--data", "folder:/only/there", "--set", "search.patience=null"]
    elsewhere += ["--regime", "finetune", "--set", "proxy.backbone.weights=pretrained"]
    assert CliRunner().invoke(app, [*words, "--dry-run", *elsewhere]).exit_code == 0


@pytest.mark.parametrize("named", ["space", "--backbone", "--data"])
def test_files_of_code_must_be_where_the_cluster_sees_them(
    small_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("import torchvision\nnet = torchvision.models.mobilenet_v2\n")
    space = Path("space.yaml")
    text = small_space.read_text()
    space.write_text(text.replace("mobilenetv2_035", "mine.py:net") if named == "space" else text)
    recipe = (RUNNERS / "kuberay-rayjob.yaml").read_text()
    Path("job.yaml").write_text(recipe.replace("REGISTRY", "here").replace("PUT-IN", "claim"))
    words = ["launch", "job.yaml", str(space), "--out", "/shared/x", "--dry-run"]
    words += [] if named == "space" else [named, "mine.py:net"]
    with pytest.raises(SpecError, match="mine.py:net: name it as the cluster's machines see it"):
        CliRunner().invoke(app, words, catch_exceptions=False)
