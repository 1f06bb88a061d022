from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from nas.base.errors import MeasurementError, SpecError
from nas.latency.device import Device
from nas.latency.runtime import RUNTIMES, Runtime, Session, device_named, graph_cache
from nas.latency.runtime.graph_cache import cached_graph
from nas.models.build import build, uniform

SIDE = 64
TOLERANCE = {"fp32": 1e-5, "fp16": 2e-2}
"""Of the largest score. Rounding alone gives 1e-6 and 5e-3."""


@cache
def network() -> nn.Module:
    """A small network with four kinds of blocks, and batch norm as if trained."""
    kinds = [
        uniform("mobilenetv2_035", block, resolution=SIDE, total_stride=16)
        for block in ("se", "coord", "cbam", "eca")
    ]
    turns = zip(*(kind.insertions for kind in kinds), strict=True)
    mixed = tuple(site[number % len(kinds)] for number, site in enumerate(turns))
    torch.manual_seed(0)
    found = build(replace(kinds[0], insertions=mixed), num_classes=10).train()
    with torch.no_grad():
        for _ in range(10):
            found(torch.randn(16, 3, SIDE, SIDE))
    return found.eval()


def images(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal((count, 3, SIDE, SIDE), np.float32)


def scores(count: int) -> NDArray[np.float32]:
    with torch.no_grad():
        found: NDArray[np.float32] = network()(torch.from_numpy(images(count))).numpy()
    return found


@cache
def graph(runtime: str, batch: int, precision: str) -> bytes:
    return RUNTIMES[runtime].convert(network(), (3, SIDE, SIDE), batch, precision)


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Every runtime that is here."""
    found = RUNTIMES[request.param]
    try:
        found.version()
    except MeasurementError as error:
        pytest.skip(str(error))
    return found


@pytest.mark.parametrize("batch", [1, 4])
def test_agrees_with_torch(runtime: Runtime, batch: int) -> None:
    wanted = scores(batch)
    assert np.abs(wanted).max() > 0.5
    for precision in set(runtime.precisions) & TOLERANCE.keys():
        device = Device(runtime.name, batch=batch, precision=precision)
        session = runtime.load(graph(runtime.name, batch, precision), device)
        for _ in range(2):
            found = session(images(batch))
            assert found.shape == (batch, 10) and found.dtype == np.float32
            difference = np.abs(found - wanted).max() / np.abs(wanted).max()
            assert difference < TOLERANCE[precision], precision


def test_a_result_outlives_the_next_inference(runtime: Runtime) -> None:
    session = runtime.load(graph(runtime.name, 1, "fp32"), Device(runtime.name))
    first = session(images(1))
    kept = first.copy()
    session(3 * images(1))
    np.testing.assert_array_equal(first, kept)


def test_more_threads_give_the_same(runtime: Runtime) -> None:
    if runtime.clock == "device":
        pytest.skip(f"{runtime.name} has no threads")
    runtime.load(graph(runtime.name, 1, "fp32"), Device(runtime.name))
    try:
        session = runtime.load(graph(runtime.name, 1, "fp32"), Device(runtime.name, threads=2))
    except MeasurementError as error:
        assert runtime.name == "executorch" and "another one" in str(error)
        return
    wanted = scores(1)
    assert np.abs(session(images(1)) - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_a_lone_block_goes_from_map_to_map(runtime: Runtime) -> None:
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(5, 6, 1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1)).eval()
    maps = np.random.default_rng(2).standard_normal((2, 5, 7, 3), np.float32)
    session = runtime.load(runtime.convert(block, (5, 7, 3), 2), Device(runtime.name, batch=2))
    with torch.no_grad():
        wanted = block(torch.from_numpy(maps)).numpy()
    np.testing.assert_allclose(session(maps), wanted, atol=1e-5)


class Enlarged(nn.Module):
    def __init__(self, *size: int) -> None:
        super().__init__()
        self.wanted = size

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return nn.functional.interpolate(maps, self.wanted)


@pytest.mark.parametrize("size", [(4, 4), (4, 3), (5, 3), (7, 5)])
def test_maps_are_enlarged_to_the_nearest_place_as_by_torch(
    runtime: Runtime, size: tuple[int, int]
) -> None:
    if runtime.name == "ncnn":
        pytest.skip("it refuses a network of this one layer")
    maps = np.random.default_rng(2).standard_normal((1, 3, 2, 2), np.float32)
    session = runtime.load(runtime.convert(Enlarged(*size), (3, 2, 2)), Device(runtime.name))
    wanted = Enlarged(*size)(torch.from_numpy(maps)).numpy()
    np.testing.assert_array_equal(session(maps), wanted)


class Transformed(nn.Module):
    """Layers of torch that are one fused operator in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = self.encoder(self.patches(images).flatten(2).transpose(1, 2))
        found: torch.Tensor = self.attention(seen, seen, seen, need_weights=False)[0]
        return found.mean(dim=1)


@pytest.mark.parametrize("name", ["torch", "onnxruntime", "openvino"])
def test_layers_of_transformers_are_taken_and_torch_is_left_as_it_is(name: str) -> None:
    torch.manual_seed(0)
    own, found = Transformed().eval(), RUNTIMES[name]
    maps = np.random.default_rng(2).standard_normal((1, 3, 16, 12), np.float32)
    session = found.load(found.convert(own, (3, 16, 12)), Device(name))
    with torch.no_grad():
        wanted = own(torch.from_numpy(maps)).numpy()
    np.testing.assert_allclose(session(maps), wanted, atol=1e-5)
    assert torch.backends.mha.get_fastpath_enabled()


def test_ncnn_refuses_a_graph_that_pnnx_got_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pnnx")
    pytest.importorskip("ncnn")

    def wrong(param: str, weights: bytes, threads: int) -> Session:
        return lambda maps: maps[:, :1]

    monkeypatch.setattr("nas.latency.runtime.ncnn._session", wrong)
    with pytest.raises(MeasurementError, match="is not this network"):
        RUNTIMES["ncnn"].convert(nn.Conv2d(3, 1, 1), (3, 8, 8))


def test_int8_orders_scores_alike(runtime: Runtime) -> None:
    if "int8" not in runtime.precisions:
        pytest.skip(f"{runtime.name} has no int8 here")
    small = graph(runtime.name, 4, "int8")
    assert len(small) < 0.7 * len(graph(runtime.name, 4, "fp32"))
    found = runtime.load(small, Device(runtime.name, batch=4, precision="int8"))(images(4))
    assert np.corrcoef(found.ravel(), scores(4).ravel())[0, 1] > 0.99


def test_converting_leaves_the_network_as_it_is(runtime: Runtime) -> None:
    own = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(2))
    own(torch.randn(2, 3, 8, 8))
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    runtime.convert(own, (3, 8, 8))
    assert own.training
    for name, tensor in own.state_dict().items():
        assert tensor.dtype == before[name].dtype and torch.equal(tensor, before[name])


class Odd(nn.Module):
    """No runtime has a Bessel function, and none can follow a NumPy one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            raise RuntimeError("odd\nand more")
        return x


def test_what_cannot_be_converted_is_one_line(runtime: Runtime) -> None:
    with pytest.raises(MeasurementError) as caught:
        runtime.convert(Odd(), (3, 8, 8))
    assert "odd" in str(caught.value) and "\n" not in str(caught.value)


def test_a_broken_graph_is_one_line(runtime: Runtime) -> None:
    with pytest.raises(MeasurementError) as caught:
        runtime.load(b"no graph", Device(runtime.name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", RUNTIMES)
def test_not_installed_says_what_to_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", missing)
    runtime = RUNTIMES[name]
    for act in (
        runtime.version,
        runtime.fingerprint,
        lambda: runtime.convert(nn.Identity(), (3, 8, 8)),
        lambda: runtime.load(b"", Device(name)),
    ):
        with pytest.raises(MeasurementError, match="pip install") as caught:
            act()
        assert runtime.packages[0] in str(caught.value)


def test_optional_packages_wait_until_they_are_used() -> None:
    optional = "openvino litert_torch ai_edge_litert executorch ncnn pnnx jax".split()
    code = f"import sys, nas.latency.device; sys.exit(str(sys.modules.keys() & {optional}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stderr.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "device"),
    [
        ("onnxruntime", Device("onnxruntime")),
        ("onnxruntime-int8", Device("onnxruntime", precision="int8")),
        ("openvino-threads4-batch8", Device("openvino", threads=4, batch=8)),
        ("cuda-fp16-batch64", Device("cuda", batch=64, precision="fp16")),
    ],
)
def test_names_are_canonical(name: str, device: Device) -> None:
    assert device.name == name
    assert device_named(name) == device_named(f"local-{name}") == device


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tensorfast", "unknown runtime 'tensorfast'; known: onnxruntime, openvino"),
        ("", "unknown runtime ''"),
        ("local-", "unknown runtime ''"),
        ("ncnn-int8", "ncnn has no 'int8'; allowed: fp32"),
        ("onnxruntime-cores2", "no 'cores2'; allowed: fp32, int8"),
        ("onnxruntime-threads0", "threads 0 of onnxruntime; allowed: 1 to 1024"),
        ("onnxruntime-batch99999", "batch 99999 of onnxruntime; allowed: 1 to 1024"),
        ("onnxruntime-int8-fp32", "says precision twice: int8 and fp32"),
        ("onnxruntime-batch2-batch3", "says batch twice"),
        ("cuda-threads2", "runs on a GPU"),
    ],
)
def test_what_is_no_device_is_said_in_one_line(name: str, message: str) -> None:
    with pytest.raises(SpecError, match=message) as caught:
        device_named(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [0, -1])
def test_a_device_is_checked_however_it_is_made(value: int) -> None:
    with pytest.raises(SpecError, match="batch"):
        Device("onnxruntime", batch=value)
    with pytest.raises(SpecError, match="threads"):
        Device("onnxruntime", threads=value)


class Maker:
    """Counts how often it is asked."""

    def __init__(self, graph: bytes = b"graph") -> None:
        self.graph, self.calls = graph, 0

    def __call__(self) -> bytes:
        self.calls += 1
        return self.graph


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "attention-nas" / "graphs"


def test_a_conversion_is_made_once(folder: Path) -> None:
    make = Maker()
    for threads in (1, 2):
        device = Device("onnxruntime", threads=threads)
        assert cached_graph("a", device, make) == b"graph"
    assert make.calls == 1
    assert len(list(folder.iterdir())) == 1


def test_each_network_batch_precision_runtime_and_version_is_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, device = Maker(), Device("onnxruntime")
    cached_graph("a", device, make)
    cached_graph("b", device, make)
    cached_graph("a", replace(device, batch=2), make)
    cached_graph("a", replace(device, precision="int8"), make)
    cached_graph("a", Device("torch"), make)
    assert make.calls == 5
    monkeypatch.setattr(metadata, "version", lambda package: "99")
    cached_graph("a", device, make)
    assert make.calls == 6


@pytest.mark.parametrize("broken", [b"", b"short", bytes(100)])
def test_a_broken_file_is_made_again(folder: Path, broken: bytes) -> None:
    make, device = Maker(), Device("onnxruntime")
    cached_graph("a", device, make)
    (path,) = folder.iterdir()
    path.write_bytes(broken)
    for _ in range(2):
        assert cached_graph("a", device, make) == b"graph"
    assert make.calls == 2


def test_a_failed_conversion_leaves_nothing(folder: Path) -> None:
    def fail() -> bytes:
        raise MeasurementError("no")

    with pytest.raises(MeasurementError):
        cached_graph("a", Device("onnxruntime"), fail)
    assert not folder.exists()


def test_the_graph_not_asked_for_the_longest_goes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_cache, "LIMIT_BYTES", 300)
    device, make = Device("onnxruntime"), Maker(bytes(80))
    for network in "abac":
        cached_graph(network, device, make)
    assert make.calls == 3
    assert len(list(folder.iterdir())) == 2
    cached_graph("a", device, make)
    assert make.calls == 3
    cached_graph("b", device, make)
    assert make.calls == 4


def test_a_graph_over_the_limit_is_kept_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_cache, "LIMIT_BYTES", 10)
    make = Maker()
    for _ in range(2):
        cached_graph("a", Device("onnxruntime"), make)
    assert make.calls == 1
