"""How a search gets onto a cluster: the commands that submit it, made from a recipe."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from nas.base.content import read_content
from nas.base.errors import NasError, SpecError
from nas.base.files import read_text, read_yaml
from nas.spec.runner import load_runner

__all__ = ["Step", "Submission", "find_unfilled", "plan_steps", "submit"]

_MOST_IN_CONFIG_MAP = 1_000_000  # bytes
_TO_FILL = re.compile(r"PUT-IN|\bREGISTRY/")
_GOING_ON = frozenset({"--trials", "--time-limit", "--workers"})
_NAMES = {"device": "--set=device=", "prior": "--prior="}
_ON_CLUSTER = ("--set", "executor=ray", "--set", "ray.address=auto")


@dataclass(frozen=True, slots=True)
class Submission:
    """A search to submit.

    space: its file.
    out: the run folder, as the cluster's machines see it.
    options: of `nas search`, beside those two.
    runner: a runner file that is sent along; None: there is none.
    files: `device` or `prior` -> a file here that an option names; it is sent along, too.
    folders: an option in words -> the folder that it names, which must be there.
    """

    space: Path
    out: str
    options: tuple[str, ...] = ()
    runner: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)

    def files_to_send(self) -> dict[str, Path]:
        """Return all files but the runner, by the names that they have there."""
        named = {f"{name}.json": path for name, path in self.files.items()}
        return {"space.yaml": self.space, **named}

    def options_there(self, folder: str = "") -> list[str]:
        """Return the options with the files as they are named there.

        Of an option that is given twice the last counts.
        """
        return [*self.options, *(f"{_NAMES[name]}{folder}{name}.json" for name in self.files)]


@dataclass(frozen=True, slots=True)
class Step:
    """One command.

    command: its words.
    text: for its standard input; None: it reads none.
    files: name -> text, in a folder that stands for `{folder}` in the command.
    refused: what to look at when it fails, where it ends at once and names the reason itself;
        None: it goes on for a while, and its errors are shown as they come.
    after: what to do next, in words.
    """

    command: tuple[str, ...]
    text: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    refused: str | None = None
    after: str = ""

    def __str__(self) -> str:
        words = shlex.join(self.command).replace("'{folder}'", "{folder}")
        parts = [words if self.text is None else f"{words} <<'END'\n{self.text}END"]
        if self.files:
            parts.insert(0, "# {folder}: a temporary one with " + ", ".join(self.files))
        return "\n".join(parts)


def plan_steps(recipe: Path, order: Submission, *, address: str | None = None) -> list[Step]:
    """Return the commands that submit an order by a recipe of runners/, or one like them.

    address: of the job server, where the recipe joins a cluster; None elsewhere.
    Raises SpecError for what is no recipe, or one of something else.
    """
    text = read_content("recipes", recipe, "the recipe")
    if recipe.suffix == ".sbatch":
        return _by_sbatch(recipe, order)
    data = read_yaml(text, str(recipe))
    if not isinstance(data, dict):
        raise SpecError(f"{recipe} holds no recipe; there are some in runners/")
    if data.get("kind") == "RayJob":
        return _by_kubectl(data, order)
    if "cluster_name" in data:
        return _by_launcher(recipe, order)
    return _by_ray_jobs(recipe, order, address)


def find_unfilled(recipe: Path) -> str | None:
    """Return what of a recipe is still to be put in, in words; None: nothing."""
    for number, line in enumerate(read_text(recipe).splitlines(), start=1):
        match = _TO_FILL.search(line.partition("#")[0])
        if match:
            return f"{recipe}, line {number}: put in what belongs there for {match[0]!r}"
    return None


def submit(steps: Sequence[Step], *, run: Callable[..., Any] = subprocess.run) -> list[str]:
    """Carry out commands, one after the other, and return what the user should read then.

    run: called as `subprocess.run`.
    Raises SpecError where a program is missing or refuses what is asked for, NasError where one
    fails.
    """
    for step in steps:
        if _program(step.command[0]) is None:
            raise SpecError(
                f"{step.command[0]} is not installed here; submit from where it is, or see what "
                "would be done with --dry-run"
            )
    lines_out: list[str] = []
    for step in steps:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in step.files.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            command = [word.replace("{folder}", folder) for word in step.command]
            command[0] = _program(command[0]) or command[0]
            errors = None if step.refused is None else subprocess.PIPE
            done = run(command, input=step.text, encoding="utf-8", stderr=errors)
        name = step.command[0]
        lines = [line.removeprefix(f"{name}: ") for line in (done.stderr or "").splitlines()]
        if done.returncode != 0 and lines:
            reason = "; ".join(line.removeprefix("error: ") for line in lines)
            raise SpecError(f"{name} refuses it: {reason}; {step.refused}")
        if done.returncode != 0:
            raise NasError(f"{name} failed with exit code {done.returncode}")
        lines_out += [*lines, *filter(None, [step.after])]
    return lines_out


def _program(name: str) -> str | None:
    """Find a program; `ray` lives beside this one, also where no environment is activated."""
    return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))


def _by_sbatch(recipe: Path, order: Submission) -> list[Step]:
    if "#SBATCH" not in read_text(recipe):
        raise SpecError(f"{recipe} holds no #SBATCH lines")
    if "nas worker" in read_text(recipe):
        raise SpecError(
            f"{recipe} starts workers for a run that is there; start it with: nas search "
            f"{order.space} --set executor=worker --out {order.out}, and then: "
            f"sbatch --array=1-8 {recipe} {order.out}"
        )
    runner = ("--runner", str(order.runner)) if order.runner else ()
    words = (str(order.space), "--out", order.out, *runner, *order.options)
    return [
        Step(
            ("sbatch", str(recipe), *words),
            refused=f"see the lines #SBATCH of {recipe}, and what sinfo shows",
            after="squeue --me shows whether it waits, and why; then: "
            f"nas status {shlex.quote(order.out)}",
        )
    ]


def _by_ray_jobs(recipe: Path, order: Submission, address: str | None) -> list[Step]:
    runner = load_runner(recipe)
    if runner.executor not in {"ray", "tune"} or runner.ray.address is None:
        raise SpecError(
            f"{recipe} runs on the machine where it is started; start it with: "
            f"nas search {order.space} --runner {recipe} --out {order.out}"
        )
    if address is None:
        raise SpecError("name the cluster's job server: --address http://HEAD:8265")
    if order.runner is not None:
        raise SpecError(f"--runner {order.runner}: {recipe} is the runner already")
    if runner.device_profile is not None and "device" not in order.files:
        order = replace(order, files={**order.files, "device": runner.device_profile})
    search = "nas search space.yaml --runner runner.yaml"
    command = _start_or_resume(order, search, *order.options_there())
    submit_job = ("ray", "job", "submit", "--no-wait", "--address", address)
    files = {**order.files_to_send(), "runner.yaml": recipe}
    return [
        Step(
            (*submit_job, "--working-dir", "{folder}", "--", "sh", "-c", command),
            files={name: read_text(path) for name, path in files.items()},
        )
    ]


def _by_launcher(recipe: Path, order: Submission) -> list[Step]:
    """Return the commands of Ray's cluster launcher.

    They start the machines, copy the files there, and begin in a tmux.
    """
    runner = " --runner nas-runner.yaml" if order.runner else ""
    options = [*order.options_there("nas-"), *_ON_CLUSTER]
    command = _start_or_resume(order, f"nas search nas-space.yaml{runner}", *options)
    copies = order.files_to_send() | ({"runner.yaml": order.runner} if order.runner else {})
    cluster = str(recipe)
    return [
        Step(("ray", "up", "--yes", cluster)),
        *(
            Step(("ray", "rsync-up", cluster, str(path), f"~/nas-{name}"))
            for name, path in copies.items()
        ),
        Step(("ray", "exec", "--tmux", cluster, command)),
    ]


def _by_kubectl(job: dict[str, Any], order: Submission) -> list[Step]:
    """Return the manifest with this search in it, and its files beside it in a ConfigMap.

    Each has a name of its own: the operator keeps a job that has ended, and does nothing for one
    of that name that is submitted again.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", Path(order.out).name.lower()).strip("-")[:20]
    name = "-".join(filter(None, [job["metadata"]["name"], slug, secrets.token_hex(2)]))
    job["metadata"]["name"] = name
    folder = "/etc/nas"
    runner = f" --runner {folder}/runner.yaml" if order.runner else ""
    options = [*order.options_there(f"{folder}/"), *_ON_CLUSTER]
    command = _start_or_resume(order, f"nas search {folder}/space.yaml{runner}", *options)
    sent = order.files_to_send() | ({"runner.yaml": order.runner} if order.runner else {})
    files = {name: read_text(path) for name, path in sent.items()}
    if sum(map(len, files.values())) > _MOST_IN_CONFIG_MAP:
        raise SpecError(
            f"{', '.join(map(str, sent.values()))}: more than a ConfigMap of Kubernetes holds "
            "(1 MiB); put the largest on the cluster's volume, and name it as pods see it"
        )
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-files"},
        "data": files,
    }
    job["spec"]["entrypoint"] = shlex.join(["sh", "-c", command])
    pod = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    pod.setdefault("volumes", []).append({"name": "nas", "configMap": {"name": f"{name}-files"}})
    mounts = pod["containers"][0].setdefault("volumeMounts", [])
    mounts.append({"name": "nas", "mountPath": folder})
    text = yaml.safe_dump_all([config, job], sort_keys=False, width=1000)
    return [Step(("kubectl", "create", "-f", "-"), text=text)]


def _start_or_resume(order: Submission, search: str, *options: str) -> str:
    """Return a command for a shell that starts the search, or goes on with it when it is there.

    Clusters start a job again whose machine was lost. It has what is left of its time limit then:
    a file beside the run says that this job began before.
    """
    for words, folder in {f"--out {order.out}": order.out, **order.folders}.items():
        if not folder.startswith("/"):
            raise SpecError(
                f"{words}: name it as the cluster's machines see it, from / on, in a "
                "folder that all of them share"
            )
    out = shlex.quote(order.out)
    begin = f"{search} --out {out}" + (f" {shlex.join(options)}" if options else "")
    longer, again = (
        shlex.join(["nas", "resume", order.out, *_resume_options(options, names)])
        for names in (_GOING_ON, _GOING_ON - {"--time-limit"})
    )
    if longer == again:
        return f"if [ -e {out}/run.yaml ]; then {again}; else {begin}; fi"
    began = f"{order.out.rstrip('/')}.began-{secrets.token_hex(4)}"
    mark, parent = shlex.quote(began), shlex.quote(str(PurePosixPath(began).parent))
    return (
        f"if [ ! -e {out}/run.yaml ]; then mkdir -p {parent} && : > {mark} && {begin}; "
        f"elif [ ! -e {mark} ]; then : > {mark} && {longer}; else {again}; fi && rm -f {mark}"
    )


def _resume_options(options: Sequence[str], names: Set[str]) -> list[str]:
    """Return those of some names that `nas resume` takes as well: how far the search shall go."""
    taken: list[str] = []
    for number, word in enumerate(options):
        name, separator, _ = word.partition("=")
        if name in names:
            taken += [word] if separator else list(options[number : number + 2])
    return taken
