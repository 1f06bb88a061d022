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
from conftest import ROOT

from nas.runner import load_runner

RUNNERS = ROOT / "runners"
NAMES = {
    "local.yaml",
    "local-gpu.yaml",
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
    "name", ["local.yaml", "local-gpu.yaml", "ray-local.yaml", "ray-cluster.yaml"]
)
def test_runners_are_runners(name: str) -> None:
    runner = load_runner(RUNNERS / name)
    assert runner.executor == ("local" if name.startswith("local") else "ray")
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


# KubeRay. The operator's own schema is a megabyte that no package brings: these are the fields of
# ray.io/v1 (KubeRay 1.6) that lie above the pods; pods are checked by Kubernetes's schemas.

KUBERNETES = "1.34"
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_POD = {"type": "object", "required": ["spec"]}
_COUNT = {"type": "integer", "minimum": 0}
_GROUP = {"rayStartParams": _TEXTS, "template": _POD, "resources": _TEXTS, "labels": _TEXTS}
RAY_JOB: dict[str, Any] = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayJob"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "required": ["entrypoint", "rayClusterSpec"],
            "additionalProperties": False,
            "properties": {
                "entrypoint": {"type": "string"},
                "backoffLimit": _COUNT,
                "activeDeadlineSeconds": _COUNT,
                "shutdownAfterJobFinishes": {"type": "boolean"},
                "ttlSecondsAfterFinished": _COUNT,
                "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
                "rayClusterSpec": {
                    "type": "object",
                    "required": ["headGroupSpec"],
                    "additionalProperties": False,
                    "properties": {
                        "rayVersion": {"type": "string"},
                        "authOptions": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"mode": {"enum": ["token", "disabled"]}},
                        },
                        "enableInTreeAutoscaling": {"type": "boolean"},
                        "autoscalerOptions": {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {"idleTimeoutSeconds": _COUNT},
                        },
                        "headGroupSpec": {
                            "type": "object",
                            "required": ["template", "rayStartParams"],
                            "additionalProperties": False,
                            "properties": _GROUP,
                        },
                        "workerGroupSpecs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": [
                                    "groupName",
                                    "template",
                                    "rayStartParams",
                                    "minReplicas",
                                    "maxReplicas",
                                ],  # fmt: skip
                                "additionalProperties": False,
                                "properties": _GROUP
                                | {
                                    "groupName": {"type": "string"},
                                    "replicas": _COUNT,
                                    "minReplicas": _COUNT,
                                    "maxReplicas": _COUNT,
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}


def pods(job: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def check_ray_job(job: dict[str, Any]) -> None:
    jsonschema.validate(job, RAY_JOB)
    for pod in pods(job):
        whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": pod}
        kubernetes_validate.validate(whole, KUBERNETES, strict=True)
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


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
