from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nas.base.errors import MeasurementError
from nas.latency import measure as clocked
from nas.latency.measure import Anchor, Subject, measure_together
from nas.latency.runtime import load_onnx, to_onnx
from nas.models.build import build, deploy, uniform


@pytest.mark.parametrize("block", ["se", "cbam", "coord", "eca", "scsa", "nl"])
def test_onnx_agrees_with_torch_for_whole_networks_and_any_batch(block: str) -> None:
    torch.manual_seed(0)
    architecture = uniform(
        "mobilenetv2_035", block, resolution=64, total_stride=16, where_it_fits=True
    )
    network = build(architecture, num_classes=10, start="identity")
    network.train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randn(8, 3, 64, 64))
    network = deploy(network.eval(), architecture)
    session = load_onnx(to_onnx(network, 64, dynamic_batch=True))
    for batch in (1, 3):
        images = torch.randn(batch, 3, 64, 64)
        expected = network(images).detach()
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(
            torch.from_numpy(session(images.numpy())), expected, atol=1e-5, rtol=1e-5
        )


def test_a_network_that_cannot_be_written_is_one_line() -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.bessel_j0(x)

    with pytest.raises(MeasurementError, match="cannot be written as ONNX") as caught:
        to_onnx(Odd(), 8)
    assert "\n" not in str(caught.value)


class FakeMachine:
    """A clock that only networks advance; their cost can drift."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.slowdown = 1.0

    def network(self, milliseconds: float) -> Subject:
        def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
            self.now_ns += round(milliseconds * self.slowdown * 1e6)
            self.slowdown *= self.drift
            return images

        return Subject(run, (1, 3, 8, 8))

    drift = 1.0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeMachine:
    fake = FakeMachine()
    monkeypatch.setattr(clocked.time, "thread_time_ns", lambda: fake.now_ns)
    monkeypatch.setattr(clocked.time, "perf_counter_ns", lambda: fake.now_ns)
    monkeypatch.setattr(clocked.time, "perf_counter", lambda: fake.now_ns / 1e9)
    return fake


def test_latency_is_what_the_clock_says(machine: FakeMachine) -> None:
    anchor = Anchor(machine.network(2.0), latency_ms=2.0)
    subjects = {"slow": machine.network(5.0), "fast": machine.network(1.0)}
    found = measure_together(subjects, anchor, seed=0)
    assert found["slow"].latency_ms == pytest.approx(5.0)
    assert found["fast"].latency_ms == pytest.approx(1.0)
    assert found["fast"].spread == 0.0


def test_a_machine_that_became_slower_is_divided_out(machine: FakeMachine) -> None:
    anchor = Anchor(machine.network(2.0), latency_ms=2.0)
    machine.slowdown = 1.7
    found = measure_together({"a": machine.network(5.0)}, anchor, seed=0)["a"]
    assert found.latency_ms == pytest.approx(5.0)
    assert found.wall_ms == pytest.approx(8.5)


def test_bursts_of_other_work_do_not_count(machine: FakeMachine) -> None:
    """A neighbour makes two visits in three slower, each network by a share of its own."""

    def busy(latency_ms: float, share: float) -> Subject:
        quiet, slow = machine.network(latency_ms), machine.network(latency_ms * (1 + share))
        runs = 0

        def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
            nonlocal runs
            runs += 1
            return (quiet if runs // 20 % 3 == 0 else slow).session(images)

        return Subject(run, quiet.shape)

    anchor = Anchor(busy(2.0, 0.25), latency_ms=2.0)
    found = measure_together({"a": busy(5.0, 0.6)}, anchor, seed=0, rounds=24)["a"]
    assert found.latency_ms == pytest.approx(5.0)


def test_slow_drift_is_divided_out(machine: FakeMachine) -> None:
    machine.drift = 1.0002
    anchor = Anchor(machine.network(2.0), latency_ms=2.0)
    found = measure_together({"a": machine.network(5.0)}, anchor, seed=0)["a"]
    assert found.latency_ms == pytest.approx(5.0, rel=0.01)
    assert found.spread < 0.01
    assert found.wall_ms > 5.02


def test_a_clock_that_stands_still_is_an_error(machine: FakeMachine) -> None:
    anchor = Anchor(machine.network(0.0), latency_ms=1.0)
    with pytest.raises(MeasurementError, match="clock"):
        measure_together({"a": machine.network(1.0)}, anchor, seed=0)
