"""Every recipe in runners/ is what its tool reads, as far as that can be had without a cluster."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from support.recipes import check_ray_job, pods
from support.samples import ROOT

from nas.spec.runner import load_runner

RUNNERS = ROOT / "runners"
NAMES = {
    "local.yaml",
    "local-gpu.yaml",
    "demonstration.yaml",
    "ray-local.yaml",
    "ray-cluster.yaml",
    "ray-aws.yaml",
    "ray-gcp.yaml",
    "kuberay-rayjob.yaml",
    "slurm.sbatch",
    "slurm-array.sbatch",
    "Dockerfile",
}


def recipe(name: str) -> str:
    return (RUNNERS / name).read_text()


def loaded(name: str) -> Any:
    return yaml.safe_load(recipe(name))


def test_all_are_there_and_say_first_how_to_start_them() -> None:
    assert {path.name for path in RUNNERS.iterdir()} == NAMES
    for name in NAMES:
        top = [line for line in recipe(name).splitlines()[:7] if line.startswith("#")]
        assert any(re.search(r"nas (search|launch)|docker build", line) for line in top), name


@pytest.mark.parametrize(
    "name",
    ["local.yaml", "local-gpu.yaml", "demonstration.yaml", "ray-local.yaml", "ray-cluster.yaml"],
)
def test_runners_are_runners(name: str) -> None:
    runner = load_runner(RUNNERS / name)
    assert runner.executor == ("ray" if name.startswith("ray") else "local")
    # What local.yaml and ray-local.yaml say is what is taken when nothing is said.
    if name == "ray-local.yaml":
        assert runner.ray == load_runner(None).ray


# Ray's cluster launcher.


@pytest.mark.parametrize("name", ["ray-aws.yaml", "ray-gcp.yaml"])
def test_cluster_launchers_pass_rays_own_check(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = loaded(name)
    validate_config(prepare_config(loaded(name)))  # Ray's JSON schema, and what else it asks
    assert config["head_node_type"] in config["available_node_types"]
    assert sum(kind.get("max_workers", 0) for kind in config["available_node_types"].values()) == 8
    for commands in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert "nas-environment" in config[commands][-1], "the token goes along"
    for key in ("setup_commands", "initialization_commands", "head_start_ray_commands"):
        for command in config[key]:
            subprocess.run(["bash", "-n", "-c", command], check=True)


def test_a_wrong_cluster_file_would_be_noticed() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(loaded("ray-aws.yaml")) | {"max_worker": 3})


# KubeRay.


def test_the_kuberay_job_is_one() -> None:
    job = loaded("kuberay-rayjob.yaml")
    check_ray_job(job)
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    with pytest.raises(jsonschema.ValidationError):
        check_ray_job(job | {"spec": job["spec"] | {"entryPoint": "nas"}})
    pods(job)[0]["containers"][0]["imgae"] = "nas"
    with pytest.raises(kubernetes_validate.ValidationError, match="imgae"):
        check_ray_job(job)


# SLURM.

SBATCH = {
    "job-name", "nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "time", "output",
    "open-mode", "requeue", "exclusive", "signal", "gpus-per-node", "gpus", "array", "mem",
    "partition",
}  # fmt: skip


@pytest.mark.parametrize("name", ["slurm.sbatch", "slurm-array.sbatch"])
def test_batch_scripts_are_scripts_with_options_of_sbatch(name: str) -> None:
    subprocess.run(["bash", "-n", str(RUNNERS / name)], check=True)
    lines = recipe(name).splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    options = [line for line in lines if line.startswith("#SBATCH")]
    # sbatch reads options only up to the first command.
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert all(lines.index(line) < first for line in options)
    for line in options:
        match = re.fullmatch(r"#SBATCH --([a-z-]+)(=\S+)?", line)
        assert match and match[1] in SBATCH, line


@pytest.mark.parametrize(
    ("name", "words"), [("slurm.sbatch", ["space.yaml"]), ("slurm-array.sbatch", [])]
)
def test_batch_scripts_say_how_they_are_used(name: str, words: list[str]) -> None:
    done = subprocess.run(
        ["bash", str(RUNNERS / name), *words], capture_output=True, text=True, env={"PATH": "/bin"}
    )
    assert done.returncode == 2 and "usage: sbatch" in done.stderr


# What the programs that slurm.sbatch calls do here; every call is written to `calls`. As Ray 2.60
# does, a cluster that did not start ends with 0.
STAND_INS = {
    "srun": 'while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"',
    "scontrol": "echo machine1",
    "python": "echo token",
    "nas": 'exit "${SEARCH_ENDS:-0}"',
    "ray": """if [ $1 = symmetric-run ] && [ -z "$NO_RAY" ]; then
  while [ "$1" != -- ]; do shift; done; shift; exec "$@"
fi""",
}


class StandIns:
    """A machine of a job of slurm.sbatch."""

    def __init__(self, folder: Path) -> None:
        self.calls = folder / "calls"
        self.run = folder / "runs" / "my run"
        self._path = f"{folder / 'bin'}:/usr/bin:/bin"
        self.run.mkdir(parents=True)
        (folder / "bin").mkdir()
        for name, does in STAND_INS.items():
            program = folder / "bin" / name
            program.write_text(f'#!/bin/sh\necho {name} "$@" >> "$CALLS"\n{does}\n')
            program.chmod(0o755)

    def job(self, *words: str, **environment: str) -> tuple[list[str], int, str]:
        """Carry out the script; returns all calls, its exit code and its errors."""
        job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "machine1", "SLURM_JOB_NUM_NODES": "1"}
        done = subprocess.run(
            ["bash", str(RUNNERS / "slurm.sbatch"), "space.yaml", "--out", str(self.run), *words],
            env={"PATH": self._path, "CALLS": str(self.calls)} | job | environment,
            capture_output=True,
            text=True,
        )
        return self.calls.read_text().splitlines(), done.returncode, done.stderr


@pytest.fixture
def machine(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("environment", "code"), [({}, 0), ({"SEARCH_ENDS": "3"}, 3), ({"NO_RAY": "1"}, 1)]
)
def test_a_job_of_slurm_fails_where_its_search_does(
    machine: StandIns, environment: dict[str, str], code: int, there: bool
) -> None:
    """A job that goes on with a run fails, too, where Ray does not start in three attempts."""
    if there:
        (machine.run / "run.yaml").touch()
    calls, ended, errors = machine.job("--trials", "9", **environment)
    assert ended == code, errors
    rays = [call.split()[1] for call in calls if call.startswith("ray ")]
    assert rays == ["stop", "symmetric-run"] * (3 if "NO_RAY" in environment else 1)
    new = f"nas search space.yaml --out {machine.run} "
    search = f"nas resume {machine.run} --trials 9" if there else new
    assert sum(call.startswith(search) for call in calls) == ("NO_RAY" not in environment)
    assert ("Ray did not start" in errors) == ("NO_RAY" in environment)
    assert not list((machine.run.parent / ".cache").iterdir()), "its own files are gone"


@pytest.mark.parametrize("words", [["--time-limit", "8h"], ["--time-limit=8h"]])
def test_a_job_that_was_put_back_has_what_is_left_of_its_time(
    machine: StandIns, words: list[str]
) -> None:
    (machine.run / "run.yaml").touch()
    resumed = f"nas resume {machine.run} --trials 9"
    assert f"{resumed} {' '.join(words)}" in machine.job("--trials", "9", *words)[0], "submitted"
    calls, *_ = machine.job("--trials", "9", *words, SLURM_RESTART_COUNT="1")
    assert calls[-1] == resumed


# Docker.


def test_the_dockerfile_copies_what_there_is() -> None:
    text = re.sub(r"\\\n", " ", recipe("Dockerfile"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines[0].startswith("FROM ")
    for line in lines:
        word, _, rest = line.partition(" ")
        assert word in {"ARG", "FROM", "RUN", "COPY", "WORKDIR", "USER", "CMD", "ENV"}, line
        if word == "RUN":
            subprocess.run(["bash", "-n", "-c", rest], check=True)
        if word == "COPY":
            assert all((ROOT / source).exists() for source in rest.split()[:-1]), line
        if word == "CMD":
            assert json.loads(rest)[0] == "nas"
    assert any(line.startswith("USER ") and "root" not in line for line in lines)
    assert shutil.which("bash")


def test_recipes_name_commands_that_there_are(tmp_path: Path) -> None:
    from typer.main import get_command

    from nas.cli import app

    known = set(get_command(app).commands)  # type: ignore[attr-defined]
    later = {"worker"}
    for name in NAMES:
        named = set(re.findall(r"(?<![\w/.-])nas ([a-z]+) ", recipe(name)))
        assert named <= known | later, name


def test_the_demonstration_is_what_its_benchmark_trains() -> None:
    from benchmarks.fidelity import demonstration

    proxy = load_runner(RUNNERS / "demonstration.yaml").proxy
    assert (proxy.kind, proxy.rungs, proxy.unit) == ("scratch", [demonstration.EPOCHS], "epochs")
    assert (proxy.batch_size, proxy.learning_rate) == (demonstration.BATCH, demonstration.RATE)
    makefile = (ROOT / "Makefile").read_text()
    assert f"--data {demonstration.SOURCE} --runner runners/demonstration.yaml" in makefile
