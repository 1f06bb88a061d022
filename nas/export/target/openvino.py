"""OpenVINO's own format, from the ONNX graph; int8 from the graph that ONNX Runtime quantised.

nncf, OpenVINO's own quantiser, was left out: the plugin runs QDQ graphs in int8 as they are.
"""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from nas.export.target.onnx import plain_onnx, quantised_onnx
from nas.export.target.target import Delegates, Files, Images, Target, WrittenGraph
from nas.export.winner import Winner

__all__ = ["OPENVINO"]


def _write(winner: Winner) -> WrittenGraph:
    return _save(plain_onnx(winner, dynamic_batch=False))


def _quantise(winner: Winner, images: Images) -> WrittenGraph:
    return _save(quantised_onnx(winner, images, dynamic_batch=False))


def _save(graph: bytes) -> WrittenGraph:
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.xml")
        # Half the bytes by default, by rounding the weights to 16 bits.
        openvino.save_model(openvino.Core().read_model(graph), path, compress_to_fp16=False)
        files = {".xml": path.read_bytes(), ".bin": path.with_suffix(".bin").read_bytes()}
    return WrittenGraph(files, lambda: _delegates(files))


def _delegates(files: Files) -> tuple[Delegates, ...]:
    """Tell what the CPU plugin runs by its reference code, which is slow."""
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(files[".xml"], files[".bin"]), "CPU")
    layers: list[tuple[str, str]] = []
    for layer in compiled.get_runtime_model().get_ops():
        info: dict[str, Any] = layer.get_rt_info()
        layers.append((str(_plain(info["layerType"])), str(_plain(info["primitiveType"]))))
    computed = [(kind, how) for kind, how in layers if kind not in {"Const", "Input", "Output"}]
    outside = Counter(kind for kind, how in computed if how.startswith("ref"))
    note = "layers after fusion; those outside run as reference code"
    inside = len(computed) - sum(outside.values())
    return (Delegates("OpenVINO's CPU kernels", inside, dict(outside), note),)


def _plain(value: Any) -> Any:
    return value.astype(str) if hasattr(value, "astype") else value


OPENVINO = Target(
    name="openvino",
    title="OpenVINO",
    runs=("openvino",),
    writes=("onnx", "onnxruntime"),
    install='pip install "attention-nas[openvino]"',
    write=_write,
    main=".xml",
    quantise=_quantise,
    int8_suppresses=True,
)
