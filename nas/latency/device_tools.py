"""The tools by which runtimes time a graph on a device: how they are called, what they print."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PureWindowsPath

from nas.base.errors import SpecError

__all__ = ["TOOLS", "Tool", "read_log", "read_number"]

_RUNS = 50
_NUMBER = r"(\d+(?:[.,]\d+)*(?:e[+-]?\d+)?)"


@dataclass(frozen=True, slots=True)
class Tool:
    """A runtime's own tool.

    suffix: of the files that it times.
    program: its name.
    arguments: behind the name, with {file} and {threads}.
    figures: patterns of the time of one inference in what it prints, each with the milliseconds
        of its unit; the first that is found counts, medians before means.
    before: a command that has to go before, with {file}; empty: none.
    origin: where the tool comes from, for people.
    """

    suffix: str
    program: str
    arguments: str
    figures: tuple[tuple[re.Pattern[str], float], ...]
    before: str = ""
    origin: str = ""

    def command(self, file: str, threads: int) -> str:
        """Return the shell's command that times a file in the current folder."""
        words = f"{self.before}{self.program} {self.arguments}"
        return words.format(file=file, threads=threads)

    def milliseconds(self, printed: str) -> float | None:
        """Return the time of one inference in what the tool has printed; None: it is not there."""
        for pattern, unit in self.figures:
            figures = pattern.findall(printed)
            figure = read_number(figures[-1]) if figures else None
            if figure is not None and 0 < figure < math.inf:
                return figure * unit
        return None


def read_number(text: str) -> float | None:
    """Read a number, also with a comma for its point, as German and French have it.

    None where it is none, or where a comma may mean thousands: `1,234.5`, `1,234,567`.
    """
    if "," in text and (text.count(",") > 1 or "." in text):
        return None
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def _figure(before: str, unit: float, behind: str = "") -> tuple[re.Pattern[str], float]:
    return re.compile(before + _NUMBER + behind, re.IGNORECASE), unit


TOOLS: Mapping[str, Tool] = {
    "onnxruntime": Tool(
        ".onnx",
        "onnxruntime_perf_test",
        f"-I -m times -r {_RUNS} -x {{threads}} {{file}}",
        (
            _figure(r"P50 Latency:\s*", 1e3, r"\s*s\b"),
            _figure(r"Average inference time cost:\s*", 1.0, r"\s*ms"),
        ),
        origin="built from ONNX Runtime's sources for Android, iOS or Linux",
    ),
    "openvino": Tool(
        ".onnx",
        "benchmark_app",
        "-m {file} -d CPU -hint none -nstreams 1 -nthreads {threads} -api sync -t 3",
        (
            _figure(r"Median:\s*", 1.0, r"\s*ms"),
            _figure(r"Average:\s*", 1.0, r"\s*ms"),
        ),
        origin="part of OpenVINO",
    ),
    "litert": Tool(
        ".tflite",
        "benchmark_model",
        f"--graph={{file}} --num_threads={{threads}} --num_runs={_RUNS} --use_xnnpack=true",
        (
            _figure(r"\bmedian=", 1e-3),
            _figure(r"Inference \(avg\):\s*", 1e-3),
        ),
        origin="LiteRT's benchmark_model, built for Android or Linux",
    ),
    "executorch": Tool(
        ".pte",
        "executor_runner",
        f"--model_path={{file}} --num_executions={_RUNS} --cpu_threads={{threads}}",
        (_figure(rf"executed successfully {_RUNS} time\(s\) in ", 1 / _RUNS, r"\s*ms"),),
        origin="built from ExecuTorch's sources",
    ),
    "ncnn": Tool(
        ".zip",
        "benchncnn",
        f"{_RUNS} {{threads}} 0 -1 1 param=model.ncnn.param",
        (_figure(r"\bavg =\s*", 1.0),),
        before="unzip -o -q {file} && ",
        origin="ncnn's; each zip holds a model's param and bin",
    ),
}
"""The runtimes that others can time, by name."""


def read_log(text: str, files: Collection[str], tool: Tool, source: str) -> dict[str, list[float]]:
    """Read what a tool has printed for many files, each behind a line with the file's name.

    files: names of the pack.
    source: of the text, for errors.
    Returns milliseconds by file, one or two of each.
    Raises SpecError where a file has no time, or more than two.
    """
    timings: dict[str, list[float]] = {}
    name, lines = "", list[str]()

    def close() -> None:
        if not name:
            return
        value = tool.milliseconds("\n".join(lines))
        if value is None:
            raise SpecError(
                f"{source}: no time of {name}, as {tool.program} prints one; its last line there: "
                f"{_last(lines)!r}; time it again"
            )
        timings.setdefault(name, []).append(value)

    for line in text.splitlines():
        word = PureWindowsPath(line.strip().strip("\"'")).name  # which parts at both slashes
        if word in files:
            close()
            name, lines = word, []
        else:
            lines.append(line)
    close()
    if not timings:
        raise SpecError(
            f"{source}: no line holds the name of a file of the pack; write the name before each "
            f"timing, as in: for f in $(cat order.txt); do echo $f; {tool.program} ...; done"
        )
    often = next((name for name, values in timings.items() if len(values) > 2), None)
    if often is not None:
        raise SpecError(f"{source}: {often} stands there {len(timings[often])} times; two at most")
    return timings


def _last(lines: list[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
