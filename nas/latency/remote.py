"""Timing a pack on a device that is reached by adb or ssh, file by file in random order."""

from __future__ import annotations

import csv
import random
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.base.errors import MeasurementError, SpecError
from nas.base.files import write_whole
from nas.latency.device import Device
from nas.latency.device_tools import TOOLS, Tool
from nas.latency.pack import AGAIN, COLUMNS, read_manifest, read_rows

__all__ = ["Remote", "adb", "ssh", "time_pack"]

_PASSES = COLUMNS[1], AGAIN
_SILENCE = 600.0  # seconds, after which a command on the device counts as hung


@dataclass(frozen=True, slots=True)
class Remote:
    """A device that commands and files are sent to.

    name: for people.
    shell: words before a command that the device's shell carries out.
    copy: words before a local path and a folder there, which copy the one into the other.
    place: `HOST:` before a folder, where copying wants it.
    folder: on the device.
    """

    name: str
    shell: tuple[str, ...]
    copy: tuple[str, ...]
    place: str
    folder: str

    def send(self, files: Sequence[Path]) -> None:
        """Copy files into the device's folder. Raises MeasurementError."""
        self.run(f"mkdir -p {shlex.quote(self.folder)}", inside=False)
        self._call([*self.copy, *map(str, files), f"{self.place}{self.folder}/"])

    def run(self, command: str, *, inside: bool = True) -> str:
        """Return what a command prints on the device, both streams.

        inside: carry it out in the device's folder, whose programs are found first.
        Raises MeasurementError where it fails, with the last that it said.
        """
        if inside:
            command = f"cd {shlex.quote(self.folder)} && export PATH=.:$PATH && {command}"
        return self._call([*self.shell, command])

    def _call(self, words: Sequence[str]) -> str:
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_SILENCE,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except FileNotFoundError:
            raise SpecError(f"there is no program {words[0]} here; install it") from None
        except subprocess.TimeoutExpired:
            raise MeasurementError(
                f"{self.name}: no answer for {_SILENCE:.0f} s; see whether it is reachable"
            ) from None
        if done.returncode != 0:
            printed = [line.strip() for line in done.stdout.splitlines() if line.strip()]
            raise MeasurementError(
                f"{self.name}: {printed[-1] if printed else f'exit code {done.returncode}'}"
            )
        return done.stdout


def adb(serial: str | None = None, folder: str = "/data/local/tmp/nas-pack") -> Remote:
    """Return a phone that adb reaches. serial: as `adb devices` lists it; None: the only one."""
    words = ("adb", "-s", serial) if serial else ("adb",)
    return Remote(f"adb {serial or ''}".strip(), (*words, "shell"), (*words, "push"), "", folder)


def ssh(host: str, folder: str = "nas-pack") -> Remote:
    """Return a board that ssh reaches without asking for a password.

    Raises SpecError for a host that would be read as an option.
    """
    if host.startswith("-") or not host:
        raise SpecError(f"host {host!r}; allowed: a host as ssh takes it, as in pi@board")
    batch = ("-o", "BatchMode=yes")
    return Remote(f"ssh {host}", ("ssh", *batch, host), ("scp", "-q", *batch), f"{host}:", folder)


def time_pack(
    directory: Path,
    remote: Remote,
    *,
    tool: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Time every file of a pack twice on a device, each time in another random order.

    What was timed stands in the pack's timings.csv after every file: an interrupted call goes on.

    tool: the runtime's own tool, built for the device, which is sent along; None: it is there.
    progress: is called with how many timings are there, of how many.
    Returns the path of timings.csv.
    Raises SpecError for a pack that cannot be read, MeasurementError where a file cannot be timed.
    """
    manifest = read_manifest(directory)
    if tool is not None and not tool.is_file():
        raise SpecError(f"--tool {tool}: no such file; name the one built for the device")
    program, threads = _tool_of(manifest.device)
    timings = directory / "timings.csv"
    rows = read_rows(timings)
    unknown = [name for name in rows if name not in manifest.files]
    if unknown:
        raise SpecError(f"{timings}: {unknown[0]!r} is no file of this pack; remove its line")
    rows = {name: rows.get(name, {}) for name in manifest.files}
    left = [(column, name) for column in _PASSES for name in _missing(rows, column)]
    total = len(_PASSES) * len(rows)
    if not left:
        progress(total, total)
        return timings
    remote.send([directory / name for name in sorted({name for _, name in left})])
    if tool is not None:
        remote.send([tool])
        remote.run(f"chmod +x {shlex.quote(tool.name)}")
        if tool.name != program.program:
            remote.run(f"cp {shlex.quote(tool.name)} {program.program}")
    for done, (column, name) in enumerate(left, start=total - len(left) + 1):
        rows[name][column] = f"{_time(remote, program, name, threads):.6g}"
        _write_rows(timings, rows)
        progress(done, total)
    return timings


def _tool_of(name: str) -> tuple[Tool, int]:
    """Return the tool of a pack's device, and on how many threads it runs."""
    device = Device.parse(name)
    if device.runtime not in TOOLS:
        raise SpecError(f"{device.runtime} has no tool here; there are those of {', '.join(TOOLS)}")
    return TOOLS[device.runtime], device.threads


def _missing(rows: dict[str, dict[str, str]], column: str) -> list[str]:
    """Return the files that lack a column, in an order that is random for each column."""
    names = [name for name, row in rows.items() if not (row.get(column) or "").strip()]
    random.Random(column).shuffle(names)
    return names


def _time(remote: Remote, tool: Tool, name: str, threads: int) -> float:
    printed = remote.run(tool.command(shlex.quote(name), threads))
    value = tool.milliseconds(printed)
    if value is None:
        last = next((line for line in reversed(printed.splitlines()) if line.strip()), "nothing")
        raise MeasurementError(
            f"{remote.name}: {tool.program} gave no time of {name}; its last line: "
            f"{last.strip()!r}; what was timed is kept, and the same command goes on"
        )
    return value


def _write_rows(path: Path, rows: dict[str, dict[str, str]]) -> None:
    with (
        write_whole(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        table = csv.DictWriter(stream, [*COLUMNS, AGAIN], restval="", extrasaction="ignore")
        table.writeheader()
        table.writerows(row | {"file": name} for name, row in rows.items())
