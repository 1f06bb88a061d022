"""The pack for someone else's device: graphs to time there, a profile from what comes back."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict
from torch import nn

from nas.base.errors import SpecError, StorageError
from nas.base.files import decoded, parse, read_json, read_text, write_whole
from nas.latency.assembly import assemble_profile
from nas.latency.deployment import build_deployed
from nas.latency.device import Device
from nas.latency.device_tools import TOOLS, Tool, read_log, read_number
from nas.latency.host_block import TimedGraph
from nas.latency.measure import Latency
from nas.latency.plan import MeasurementPlan, plan_measurements
from nas.latency.profile import Profile
from nas.latency.runtime import RUNTIMES
from nas.models.candidates import Candidates
from nas.spec.task import Task, TaskName

__all__ = [
    "AGAIN",
    "COLUMNS",
    "TIMINGS",
    "Manifest",
    "fit_pack",
    "pack",
    "pack_space",
    "read_manifest",
    "read_rows",
    "read_timings",
]

Write = Callable[[nn.Module, tuple[int, int, int]], bytes]
"""A function that converts a module that reads images of (channels, height, width) to a file."""

TIMINGS = "timings.csv"
COLUMNS = ("file", "latency_ms")
AGAIN = "again_ms"


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
    """Write every graph, a manifest, an order, an empty timings.csv and a README into a new folder.

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
        rows = [",".join((*COLUMNS, AGAIN)), *(f"{name},," for name in files)]
        (directory / TIMINGS).write_text("\n".join(rows) + "\n", encoding="utf-8")
        order = [name for again in range(2) for name in _shuffled(files, again)]
        (directory / "order.txt").write_text("\n".join(order) + "\n", encoding="utf-8")
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


def _shuffled(files: Mapping[str, str], seed: int) -> list[str]:
    """Return the names in random order: a device that gets warm does so for all alike."""
    return random.Random(seed).sample(list(files), len(files))


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
    if runtime.name not in TOOLS:
        raise SpecError(f"{runtime.name} runs where this does; a pack is for: {', '.join(TOOLS)}")
    tool = TOOLS[runtime.name]
    plan, graphs = plan_measurements(candidates, whole=networks, held_out=held_out, seed=seed)
    return pack(
        plan,
        graphs,
        lambda module, shape: runtime.convert(module, shape, device.batch, device.precision),
        directory,
        device=device.name,
        runtime=f"{runtime.name} {runtime.version()}",
        suffix=tool.suffix,
        how=_describe_timing(tool, device.threads),
        task=task or Task(outputs=classes),
        progress=progress,
    )


def _describe_timing(tool: Tool, threads: int) -> str:
    """Say how a runtime's tool times all files, in the order that order.txt holds."""
    timed = tool.command("$f", threads)
    return (
        f"With the runtime's own tool, {tool.program} ({tool.origin}), a phone that adb reaches, "
        "or a board that ssh reaches, is timed in one command. Interrupted, the same command goes "
        "on:"
        f"\n\n    nas profile adb THIS_FOLDER --tool PATH/OF/{tool.program}"
        "\n    nas profile ssh THIS_FOLDER HOST"
        "\n\nOr by hand, in a shell on the device, from this folder, with the tool beside it:"
        f"\n\n    for f in $(cat order.txt); do echo $f; PATH=.:$PATH; {timed}; done > log.txt 2>&1"
        "\n\nThen, where the search runs, `nas profile fit THIS_FOLDER --log log.txt --out "
        "device.json` reads what it printed."
    )


_README = """# Graphs to be timed for a device profile

For `{device}` ({runtime}). Every file is one graph: `block-*` a single residual block,
`network-*` a whole network. Keep the device cool and idle, fix its clock if it can be fixed, and
use the same number of threads for all. `order.txt` names every file twice, in random order.

{how}

With another tool, write the milliseconds of one inference into `timings.csv`, a row for each file:

    file,latency_ms,again_ms

`latency_ms` is the median of many runs after some warm-up; `again_ms`, optional, is the same
measured once more later, which tells how far the figures can be trusted. Then, where the search
runs:

    nas profile fit THIS_FOLDER --out device.json
"""


def fit_pack(
    directory: Path, timings: Path | None = None, *, logs: Sequence[Path] = (), processor: str
) -> Profile:
    """Put a profile together from a pack and its timings.

    directory: of the pack.
    timings: a CSV file; None: the logs, or the pack's own timings.csv where there are none.
    logs: what the runtime's tool has printed, in one file or several.
    processor: of the device, in words.
    Raises SpecError when any cannot be read, or does not fit the pack.
    """
    manifest = read_manifest(directory)
    if timings is not None and logs:
        raise SpecError(f"timings {timings} and a log; name the one or the other")
    if logs:
        latencies = _read_logs(logs, manifest)
    else:
        latencies = read_timings(timings or directory / TIMINGS, manifest.files)
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


def read_manifest(directory: Path) -> Manifest:
    """Read the list of what a pack holds. Raises SpecError for a folder that is none."""
    path = directory / "manifest.json"
    data = read_json(path, advice="a pack is made by: nas profile pack SPACE --out DIR")
    return parse(Manifest, data, str(path))


def _read_logs(logs: Sequence[Path], manifest: Manifest) -> dict[str, Latency]:
    """Read latencies from what a tool has printed. Raises SpecError."""
    text = "\n".join(read_text(log, "the log") for log in logs)
    source = ", ".join(map(str, logs))
    runtime = Device.parse(manifest.device).runtime
    if runtime not in TOOLS:
        raise SpecError(f"a log of {runtime} cannot be read; there are {', '.join(TOOLS)}")
    timings = read_log(text, manifest.files, TOOLS[runtime], source)
    _check_whole(timings, manifest.files, source)
    return {name: _latency(*values) for name, values in timings.items()}


def read_rows(path: Path) -> dict[str, dict[str, str]]:
    """Read timings.csv as it stands, its fields by column, by the name of the file.

    As spreadsheets write it, too: with a byte order mark, and semicolons or tabs between fields.
    Raises SpecError where it is none, or names a file twice.
    """
    try:
        text = decoded(path.read_bytes())
        between = max(",;\t", key=text.partition("\n")[0].count)
        rows = list(csv.DictReader(io.StringIO(text), delimiter=between))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is not CSV"
        raise SpecError(f"cannot read the timings {path}: {reason}") from None
    if not rows or not set(COLUMNS) <= rows[0].keys():
        raise SpecError(f"{path}: its first line must name the columns {', '.join(COLUMNS)}")
    by_name: dict[str, dict[str, str]] = {}
    for line, row in enumerate(rows, start=2):
        name = (row["file"] or "").strip()
        if None in row:
            raise SpecError(
                f"{path}, line {line}: it has more fields than the first line names; where numbers "
                "have a decimal comma, semicolons go between fields"
            )
        if name in by_name:
            raise SpecError(f"{path}, line {line}: {name} stands there twice; leave one")
        by_name[name] = row
    return by_name


def read_timings(path: Path, files: Mapping[str, str]) -> dict[str, Latency]:
    """Read timings.csv: one or two positive numbers for every file.

    files: name of a file -> key, as of a manifest.
    Returns latencies by file name; their spread is NaN where a file was timed once.
    Raises SpecError for a line that is wrong, and for files without a timing.
    """
    latencies: dict[str, Latency] = {}
    for line, (name, row) in enumerate(read_rows(path).items(), start=2):
        if name not in files:
            raise SpecError(f"{path}, line {line}: {name!r} is no file of this pack")
        texts = [row["latency_ms"], *([row[AGAIN]] if (row.get(AGAIN) or "").strip() else [])]
        latencies[name] = _latency(*(_milliseconds(text, path, line, name) for text in texts))
    _check_whole(latencies, files, str(path))
    return latencies


def _latency(first: float, second: float | None = None) -> Latency:
    """Return the latency that a file was timed with, once or twice."""
    if second is None:
        return Latency(first, first, math.nan)
    mean = (first + second) / 2
    return Latency(mean, mean, abs(first - second) / (first + second))


def _check_whole(timed: Collection[str], files: Mapping[str, str], source: str) -> None:
    """Raises SpecError for files without a timing."""
    missing = [name for name in files if name not in timed]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise SpecError(
            f"{source}: no timing of {', '.join(missing[:3])}{more}; time these as well"
        )


def _milliseconds(text: str | None, path: Path, line: int, name: str) -> float:
    value = read_number(text or "")
    if value is None or not (math.isfinite(value) and value > 0):
        raise SpecError(
            f"{path}, line {line}: found {text!r} for {name}; milliseconds above 0 are allowed"
        )
    return value
