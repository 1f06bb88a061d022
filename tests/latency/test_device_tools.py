"""What the tools of runtimes print, read as they print it."""

from __future__ import annotations

import pytest

from nas.base.errors import SpecError
from nas.latency.device_tools import TOOLS, read_log

PRINTED = {
    "onnxruntime": (
        "Session creation time cost: 0.0121 s\nFirst inference time cost: 2 ms\n"
        "Total inference time cost: 0.052 s\nAverage inference time cost: 1.05 ms\n"
        "Min Latency: 0.00093 s\nP50 Latency: 0.00101 s\nP90 Latency: 0.0013 s\n",
        1.01,
    ),
    "openvino": (
        "[ INFO ] First inference took 7.14 ms\n[ INFO ] Latency:\n"
        "[ INFO ]    Median:        4.99 ms\n"
        "[ INFO ]    Average:       5.03 ms\n[ INFO ] Throughput:   1161.75 FPS\n",
        4.99,
    ),
    "litert": (
        "INFO: count=50 first=1249964 curr=1240143 min=1238588 max=1252566 avg=1.24027e+06 "
        "std=2565 p5=1238753 median=1239807 p95=1247415\nINFO: Inference timings in us: "
        "First inference: 1357602, Warmup (avg): 1.3576e+06, Inference (avg): 1.24027e+06\n",
        1239.807,
    ),
    "executorch": ("I 00:00:00.1 executor_runner.cpp:3] Model executed successfully 50 time(s) in "
                   "617.250000 ms.\n", 12.345),
    "ncnn": ("    model.ncnn.param  min =    1.23  max =    2.00  avg =    1.50\n", 1.5),
}  # fmt: skip


@pytest.mark.parametrize("runtime", TOOLS)
def test_the_time_of_an_inference_is_read(runtime: str) -> None:
    printed, wanted = PRINTED[runtime]
    assert TOOLS[runtime].milliseconds(printed) == pytest.approx(wanted)
    assert TOOLS[runtime].milliseconds("ERROR: Segmentation fault\n") is None


@pytest.mark.parametrize(
    ("written", "wanted"),
    [("1,50", 1.5), ("1.5e-1", 0.15), ("1,234.5", None), ("1.2.3", None), ("0.00", None)],
)
def test_a_decimal_comma_is_one_and_what_is_no_number_is_none(
    written: str, wanted: float | None
) -> None:
    """Of `1,50` milliseconds one was read, and `1.2.3` ended in a traceback."""
    printed = f"  model.ncnn.param  min = 1  max = 2  avg = {written}\n"
    assert TOOLS["ncnn"].milliseconds(printed) == wanted


def test_names_are_found_as_any_shell_writes_them() -> None:
    tool, line = TOOLS["ncnn"], "  model.ncnn.param  avg = {}\r\r\n"
    log = "".join(
        f"{name}\r\r\n{line.format(number)}"
        for number, name in enumerate((r"C:\phone\a.zip", '"b.zip"', "/data/local/tmp/c.zip"), 1)
    )
    found = read_log(log, ("a.zip", "b.zip", "c.zip"), tool, "log")
    assert found == {"a.zip": [1.0], "b.zip": [2.0], "c.zip": [3.0]}


def test_means_stand_in_where_no_median_is_printed() -> None:
    old = "Inference timings in us: Init: 1461, First inference: 114, Inference (avg): 31.4759"
    assert TOOLS["litert"].milliseconds(old) == pytest.approx(0.0314759)
    assert TOOLS["onnxruntime"].milliseconds("Average inference time cost: 1.05 ms") == 1.05


@pytest.mark.parametrize("runtime", TOOLS)
def test_a_command_names_file_and_threads(runtime: str) -> None:
    command = TOOLS[runtime].command("block-0001", 4)
    assert "block-0001" in command and "4" in command and "{" not in command


def test_a_log_holds_each_file_once_or_twice() -> None:
    tool, files = TOOLS["ncnn"], ("a.zip", "b.zip")
    line = "  model.ncnn.param  min = 1.00  max = 2.00  avg = {}\n"
    log = "".join(
        f"{name}\n{line.format(number)}"
        for name, number in (("b.zip", 2), ("./a.zip", 1), ("a.zip", 1.5), ("/data/b.zip", 2.5))
    )
    assert read_log(log, files, tool, "log") == {"a.zip": [1.0, 1.5], "b.zip": [2.0, 2.5]}
    for wrong, said in (
        ("nothing of this", "no line holds the name of a file of the pack"),
        ("a.zip\nkilled by signal 9\n", "no time of a.zip, as benchncnn prints one; .*signal 9"),
        ("".join(f"a.zip\n{line.format(1)}" for _ in range(3)), "stands there 3 times; two at"),
    ):
        with pytest.raises(SpecError, match=said):
            read_log(wrong, files, tool, "log")
