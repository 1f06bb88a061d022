"""Engines of TensorRT on a GPU that builds and runs them: make test-gpu. None has run yet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.packs import ORIGIN, verify
from support.tiny_network import data, winner

from nas.export import TARGETS
from nas.export.pack import write_pack
from nas.latency.runtime import RUNTIMES, device_named

pytest.importorskip("tensorrt", reason='pip install "attention-nas[tensorrt]"')

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


@pytest.mark.parametrize("block", ["se", "coord", "fca"])
def test_a_pack_holds_and_checks_itself(block: str, tmp_path: Path) -> None:
    made = winner(block)
    pack = write_pack(tmp_path / "pack", made, data(), TARGETS["tensorrt"], ORIGIN, int8=True)
    _, plain, small = pack.graphs
    assert plain.scores is not None and plain.scores.parity.holds
    assert small.scores is not None and small.scores.parity.agreement > 0.8
    assert plain.latency is not None and plain.latency.latency_ms > 0
    assert verify(pack.path).returncode == 0


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_runtime_gives_what_torch_gives(precision: str) -> None:
    made = winner("coord")
    images = np.random.default_rng(0).standard_normal((4, *made.size.shape), np.float32)
    name = "tensorrt-batch4" if precision == "fp32" else "tensorrt-fp16-batch4"
    graph = RUNTIMES["tensorrt"].convert(made.network, made.size.shape, 4, precision)
    session = RUNTIMES["tensorrt"].load(graph, device_named(name))
    with torch.no_grad():
        wanted = made.network(torch.from_numpy(images)).numpy()
    apart = np.abs(session(images) - wanted).max() / np.abs(wanted).max()
    assert apart < (1e-3 if precision == "fp32" else 2e-2)
