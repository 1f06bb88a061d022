"""A search and its full trainings on a GPU, as short as they can be: make test-gpu.

None of it has been run on one yet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.samples import QUICK

from nas.latency.runtime import RUNTIMES, device_named
from nas.latency.source import measure_device
from nas.runs.start import search
from nas.spec.architecture import Architecture
from nas.spec.runner import load_runner
from nas.spec.task import Task
from nas.training.precision import usual_precision

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


def test_a_search_measures_how_many_trainings_go_at_a_time(
    small_space: Path, tmp_path: Path
) -> None:
    run = search(small_space, load_runner(None, (*QUICK, "workers=auto")), "digits", tmp_path / "r")
    assert run.file.proxy.precision == usual_precision(torch.device("cuda"))
    assert run.trials().complete.any()
    assert "at a time on each GPU" in (run.path / "events.log").read_text()


def test_trainings_in_streams_come_to_about_what_they_come_to_in_processes(
    small_space: Path, tmp_path: Path
) -> None:
    settings = [*QUICK, "workers=3", "search.sampler=random", "proxy.launch=graphs"]
    losses = []
    for placement in ("processes", "streams"):
        runner = load_runner(None, (*settings, f"side_by_side={placement}"))
        run = search(small_space, runner, "digits", tmp_path / placement)
        found = run.trials()
        assert found.complete.any()
        losses.append(found["loss"][found.complete].min())
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


def test_latency_is_of_the_device_and_repeats() -> None:
    plain = Architecture("mobilenetv2_035", 32, total_stride=16)
    first, second = (measure_device(plain, Task(outputs=10), device_named("cuda")) for _ in "ab")
    assert first == pytest.approx(second, rel=0.1)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_replayed_graph_gives_what_torch_gives(precision: str) -> None:
    from nas.models.build import build

    network = build(Architecture("mobilenetv2_035", 32), num_classes=10).eval()
    images = np.random.default_rng(0).standard_normal((4, 3, 32, 32), np.float32)
    device = device_named("cuda-batch4" if precision == "fp32" else "cuda-fp16-batch4")
    graph = RUNTIMES["cuda"].convert(network, (3, 32, 32), 4, precision)
    session = RUNTIMES["cuda"].load(graph, device)
    with torch.no_grad():
        wanted = network(torch.from_numpy(images)).numpy()
    for _ in range(2):
        apart = np.abs(session(images) - wanted).max() / np.abs(wanted).max()
        assert apart < (1e-3 if precision == "fp32" else 2e-2)
