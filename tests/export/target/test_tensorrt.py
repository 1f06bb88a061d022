"""TensorRT as a target, with a pretended GPU and package: see support/pretended_gpu.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from support import pretended_gpu
from support.packs import ORIGIN
from support.tiny_network import data, winner

from nas.base.errors import ExportError, SpecError
from nas.export import TARGETS, target_named
from nas.export.pack import write_pack
from nas.export.target.onnx import quantised_onnx
from nas.export.target.tensorrt import TENSORRT
from nas.export.verify import LOADERS, check, load_onnx
from nas.export.winner import Winner
from nas.latency.runtime import tensorrt as runtime


@pytest.fixture(scope="module")
def made() -> Winner:
    return winner("coord")


@pytest.fixture
def gpu(made: Winner, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "tensorrt", pretended_gpu.tensorrt)  # type: ignore[arg-type]
    monkeypatch.setattr("nas.export.target.target.version", lambda package: "10.12")
    runtime._logger.cache_clear()
    with pretended_gpu.pretended_gpu():
        yield
    runtime._logger.cache_clear()


@pytest.mark.parametrize("int8", [False, True])
def test_a_pack_holds_an_engine_and_what_it_is_built_of(
    gpu: None, made: Winner, int8: bool, tmp_path: Path
) -> None:
    pack = write_pack(tmp_path / "pack", made, data(), TENSORRT, ORIGIN, int8=int8)
    model, *graphs = pack.graphs
    assert [graph.file for graph in graphs] == ["network.engine", "network-int8.engine"][: 1 + int8]
    for graph in graphs:
        engine = (pack.path / graph.file).read_bytes()
        assert (
            engine
            == pretended_gpu.BUILT + (pack.path / graph.file).with_suffix(".onnx").read_bytes()
        )
        assert graph.bytes == len(engine)  # what runs, without what it was built of
        assert graph.scores is not None and graph.scores.parity.agreement > 0.8
        # Of the GPU's clock, where model.py has that of the processor.
        assert graph.latency is not None and graph.latency.latency_ms == 0.25
    assert model.clock == "thread" and {graph.clock for graph in graphs} == {"device"}
    report, card = (
        (pack.path / name).read_text(encoding="utf-8") for name in ("report.json", "README.md")
    )
    assert json.loads(report)["gpu"] == "Pretended GPU" and "and Pretended GPU, whose" in card
    assert "version of TensorRT that built it alone" in card and "trtexec --onnx=" in card


def test_a_pack_checks_itself(
    gpu: None, made: Winner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = write_pack(tmp_path / "pack", made, data(), TENSORRT, ORIGIN, int8=False)
    capsys.readouterr()
    assert check(pack.path)
    assert "(where it was exported 0.250 ms of the GPU's time)" in capsys.readouterr().out


def test_an_engine_of_another_gpu_is_refused(gpu: None, tmp_path: Path) -> None:
    (tmp_path / "network.engine").write_bytes(b"of another")
    with pytest.raises(RuntimeError, match="built by another TensorRT, or for another GPU"):
        LOADERS["tensorrt"](tmp_path / "network.engine")


def test_a_graph_that_it_cannot_read_leaves_nothing(
    gpu: None, made: Winner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pretended_gpu.tensorrt.Builder, "build_serialized_network", lambda *_: None)
    with pytest.raises(SpecError, match="tensorrt cannot take this network: .* cannot build"):
        write_pack(tmp_path / "pack", made, data(), TENSORRT, ORIGIN, int8=False)
    assert not list(tmp_path.iterdir())


def test_an_engine_that_stops_leaves_nothing(
    gpu: None, made: Winner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(pretended_gpu._Context, "execute_async_v3", lambda *_: False)
    with pytest.raises(ExportError, match="does not run .*nothing was written"):
        write_pack(tmp_path / "pack", made, data(), TENSORRT, ORIGIN, int8=False)
    assert not list(tmp_path.iterdir())


def test_without_a_gpu_it_is_said_where_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    said = "target tensorrt builds an engine .* torch sees none; .* --to onnx, .*: trtexec --onnx="
    with pytest.raises(SpecError, match=said) as caught:
        target_named("tensorrt").check_installed()
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    target = replace(TENSORRT, runs=("no-such-package",))
    with pytest.raises(SpecError, match=r'needs no-such-package; run: pip .*\[tensorrt\]"'):
        target.check_installed()


def test_other_targets_want_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [name for name, target in TARGETS.items() if target.obstacle()] == ["tensorrt"]


def test_its_int8_is_symmetric_and_keeps_biases(made: Winner, tmp_path: Path) -> None:
    """As NVIDIA's guide wants it: signed, around zero; a bias has no levels of its own."""
    images = (data().train.images[:32].permute(0, 3, 1, 2).float() - 80) / 40
    graph = quantised_onnx(made, images.numpy(), dynamic_batch=False, symmetric=True)
    path = tmp_path / "graph.onnx"
    path.write_bytes(graph)
    model = onnx.load(path)
    held = {item.name: item for item in model.graph.initializer}
    quantising = [node for node in model.graph.node if "quantizelinear" in node.op_type.lower()]
    assert quantising
    for node in quantising:
        zero = held[node.input[2]]
        assert zero.data_type == TensorProto.INT8 and not numpy_helper.to_array(zero).any()
    assert TensorProto.INT32 not in {item.data_type for item in held.values()}
    scores = load_onnx(path)(images.numpy()[:1])
    with torch.no_grad():
        wanted = made.network(images[:1]).numpy()
    assert np.abs(scores - wanted).max() < 0.3 * np.abs(wanted).max()
