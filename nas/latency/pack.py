"""The pack for someone else's device: graphs to time there, a profile from what comes back."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from torch import nn

from nas.base.errors import SpecError, StorageError
from nas.base.files import parse, read_json, write_whole
from nas.latency.assembly import assemble_profile
from nas.latency.deployment import build_deployed
from nas.latency.device import Device
from nas.latency.host_block import TimedGraph
from nas.latency.measure import Latency
from nas.latency.plan import MeasurementPlan, plan_measurements
from nas.latency.profile import Profile
from nas.latency.runtime import RUNTIMES
from nas.models.candidates import Candidates
from nas.spec.task import Task, TaskName

__all__ = ["Manifest", "fit_pack", "pack", "pack_space", "read_timings"]

Write = Callable[[nn.Module, tuple[int, int, int]], bytes]
"""A function that converts a module that reads images of (channels, height, width) to a file."""

_COLUMNS = ("file", "latency_ms")
_AGAIN = "again_ms"


class Manifest(BaseModel):
    """The list of what a pack holds.

    files: name of a file -> key of a graph or digest of a network.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1] = 1
    device: str
    runtime: str
    classes: int
    purpose: TaskName = "classification"
    head: str = "classifier"
    plan: MeasurementPlan
    files: dict[str, str]

    @property
    def task(self) -> Task:
        """The task that its whole networks are for."""
        return Task(self.purpose, self.classes, self.head)


def pack(
    plan: MeasurementPlan,
    graphs: Sequence[TimedGraph],
    write: Write,
    directory: Path,
    *,
    device: str,
    runtime: str,
    suffix: str,
    how: str,
    task: Task,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Write every graph, a manifest, an empty timings.csv and a README into a new folder.

    write: converts for the device.
    device, runtime: their names; for people, and for the profile.
    suffix: of the files.
    how: a paragraph that says how the runtime times one.
    task: what the whole networks are for.
    progress: is called with how many are written, of how many.
    Returns the folder.
    Raises SpecError when the folder is not empty, MeasurementError when a block cannot be
    converted, StorageError.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise SpecError(f"{directory} exists and is not empty; name a new folder for --out")
    files: dict[str, str] = {}
    total = len(graphs) + len(plan.networks)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, key, content in _contents(plan, graphs, write, suffix, task):
            (directory / name).write_bytes(content)
            files[name] = key
            progress(len(files), total)
        rows = [",".join((*_COLUMNS, _AGAIN)), *(f"{name},," for name in files)]
        (directory / "timings.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        (directory / "README.md").write_text(
            _README.format(device=device, runtime=runtime, how=how), encoding="utf-8"
        )
        manifest = Manifest(
            device=device,
            runtime=runtime,
            classes=task.outputs,
            purpose=task.name,
            head=task.head,
            plan=plan,
            files=files,
        )
        # Last: a folder with a manifest is whole.
        with write_whole(directory / "manifest.json") as temporary:
            temporary.write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{directory} cannot be written: {error.strerror or error}") from None
    return directory


def _contents(
    plan: MeasurementPlan, graphs: Sequence[TimedGraph], write: Write, suffix: str, task: Task
) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, key and content of each file, one at a time: together they are large."""
    for number, graph in enumerate(graphs):
        yield f"block-{number:04d}{suffix}", graph.key, write(graph.module(), graph.shape)
    for number, (digest, architecture) in enumerate(plan.architectures.items()):
        network = build_deployed(architecture, task)
        yield f"network-{number:02d}{suffix}", digest, write(network, architecture.size.shape)


def pack_space(
    candidates: Candidates,
    device: Device,
    directory: Path,
    *,
    classes: int = 1000,
    task: Task | None = None,
    networks: int = 8,
    held_out: int = 6,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Pack what a profile of a space needs, in the files of a device's runtime.

    directory, progress: see `pack`.
    task: what the whole networks are for; None: to classify images of so many `classes`.
    networks, held_out, seed: see `plan_measurements`.
    Raises SpecError for a runtime without a tool of its own, and as `pack` does.
    """
    runtime = RUNTIMES[device.runtime]
    if runtime.name not in _HOW:
        raise SpecError(f"{runtime.name} runs where this does; a pack is for: {', '.join(_HOW)}")
    suffix, how = _HOW[runtime.name]
    plan, graphs = plan_measurements(candidates, whole=networks, held_out=held_out, seed=seed)
    return pack(
        plan,
        graphs,
        lambda module, shape: runtime.convert(module, shape, device.batch, device.precision),
        directory,
        device=device.name,
        runtime=f"{runtime.name} {runtime.version()}",
        suffix=suffix,
        how=how,
        task=task or Task(outputs=classes),
        progress=progress,
    )


_HOW = {
    "onnxruntime": (
        ".onnx",
        "With ONNX Runtime's own tool (built from its sources for Android, iOS or Linux):\n\n"
        "    adb push THIS_FOLDER /data/local/tmp/pack\n"
        "    adb shell 'cd /data/local/tmp/pack; for f in *.onnx; do echo $f; "
        "./onnxruntime_perf_test -I -m times -r 50 -x 1 $f; done'",
    ),
    "openvino": (
        ".onnx",
        "With OpenVINO's own tool, over ssh on a board:\n\n"
        "    for f in *.onnx; do echo $f; "
        "benchmark_app -m $f -d CPU -hint none -nstreams 1 -nthreads 1 -api sync -t 3; done",
    ),
    "litert": (
        ".tflite",
        "With LiteRT's own tool:\n\n"
        "    adb push THIS_FOLDER /data/local/tmp/pack\n"
        "    adb shell 'cd /data/local/tmp/pack; for f in *.tflite; do echo $f; "
        "./benchmark_model --graph=$f --num_threads=1 --use_xnnpack=true; done'",
    ),
    "executorch": (
        ".pte",
        "With ExecuTorch's own runner:\n\n"
        "    adb push THIS_FOLDER /data/local/tmp/pack\n"
        "    adb shell 'cd /data/local/tmp/pack; for f in *.pte; do echo $f; "
        "./executor_runner --model_path=$f --num_executions=50 --cpu_threads=1; done'",
    ),
    "ncnn": (
        ".zip",
        "Each zip holds an ncnn model (param and bin). With ncnn's own tool:\n\n"
        "    adb push THIS_FOLDER /data/local/tmp/pack\n"
        "    adb shell 'cd /data/local/tmp/pack; for f in *.zip; do unzip -o $f; echo $f; "
        "./benchncnn 50 1 0 -1 1 param=model.ncnn.param; done'",
    ),
}
"""The runtimes that others can time: name -> suffix of its files, how its own tool times one."""

_README = """# Graphs to be timed for a device profile

For `{device}` ({runtime}). Every file is one graph: `block-*` a single residual block,
`network-*` a whole network. Time each on the device and write the milliseconds of one inference
into `timings.csv`, one row for each file:

    file,latency_ms,again_ms

`latency_ms` is the median of many runs after some warm-up; `again_ms`, optional, is the same
measured once more later, which tells how far the figures can be trusted. Keep the device cool
and idle, fix its clock if it can be fixed, go through the files in random order, and use the
same number of threads for all.

{how}

Then, where the search runs:

    nas profile fit THIS_FOLDER timings.csv --out device.json
"""


def fit_pack(directory: Path, timings: Path, *, processor: str) -> Profile:
    """Put a profile together from a pack and its timings.

    directory: of the pack.
    timings: a CSV file.
    processor: of the device, in words.
    Raises SpecError when either cannot be read, or does not fit the other.
    """
    path = directory / "manifest.json"
    data = read_json(path, advice="a pack is made by: nas profile pack SPACE --out DIR")
    manifest = parse(Manifest, data, str(path))
    latencies = read_timings(timings, manifest.files)
    names = {key: name for name, key in manifest.files.items()}
    digests = manifest.plan.networks
    return assemble_profile(
        manifest.plan,
        {key: latencies[name].latency_ms for key, name in names.items() if key not in digests},
        {digest: latencies[names[digest]] for digest in digests},
        device=manifest.device,
        runtime=manifest.runtime,
        processor=processor,
        clock="as timed on the device",
        task=manifest.task,
    )


def read_timings(path: Path, files: Mapping[str, str]) -> dict[str, Latency]:
    """Read timings.csv: one or two positive numbers for every file.

    files: name of a file -> key, as of a manifest.
    Returns latencies by file name; their spread is NaN where a file was timed once.
    Raises SpecError for a line that is wrong, and for files without a timing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is not CSV"
        raise SpecError(f"cannot read the timings {path}: {reason}") from None
    if not rows or not set(_COLUMNS) <= rows[0].keys():
        raise SpecError(f"{path}: its first line must name the columns {', '.join(_COLUMNS)}")
    latencies: dict[str, Latency] = {}
    for line, row in enumerate(rows, start=2):
        name = (row["file"] or "").strip()
        if name not in files:
            raise SpecError(f"{path}, line {line}: {name!r} is no file of this pack")
        if name in latencies:
            raise SpecError(f"{path}, line {line}: {name} stands there twice; leave one")
        first = _milliseconds(row["latency_ms"], path, line, name)
        again = row.get(_AGAIN)
        if again and again.strip():
            second = _milliseconds(again, path, line, name)
            mean = (first + second) / 2
            latencies[name] = Latency(mean, mean, abs(first - second) / (first + second))
        else:
            latencies[name] = Latency(first, first, math.nan)
    missing = [name for name in files if name not in latencies]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise SpecError(f"{path}: no timing of {', '.join(missing[:3])}{more}; time these as well")
    return latencies


def _milliseconds(text: str | None, path: Path, line: int, name: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise SpecError(
            f"{path}, line {line}: found {text!r} for {name}; milliseconds above 0 are allowed"
        )
    return value
