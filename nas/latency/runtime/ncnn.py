"""ncnn, Tencent's runtime for phones, with graphs written by pnnx."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import io
import subprocess
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nas.base.errors import MeasurementError
from nas.latency.device import Device
from nas.latency.runtime.runtime import Runtime, Session, Shape
from nas.models.sharing import untied

__all__ = ["NCNN"]

_PARAM, _BIN = "network.ncnn.param", "network.ncnn.bin"
_CONVERSION_SECONDS = 300
_TOLERANCE = 1e-3


def _write(network: nn.Module, shape: Shape, batch: int, precision: str) -> bytes:
    """Write a zip of ncnn's two files; the graph reads one image, whatever the batch."""
    import pnnx

    images = torch.zeros(1, *shape)
    with tempfile.TemporaryDirectory() as folder:
        # pnnx leaves layers out whose weights another one has, too.
        apart = untied(network)
        traced = torch.jit.trace(apart, images, check_trace=False)  # type: ignore[no-untyped-call]
        traced.save(f"{folder}/network.pt")
        channels, height, width = shape
        read = f"inputshape=[1,{channels},{height},{width}]"
        conversion = subprocess.run(
            [pnnx.EXEC_PATH, "network.pt", read, "fp16=0", "device=cpu"],
            cwd=folder,
            capture_output=True,
            timeout=_CONVERSION_SECONDS,
        )
        files = [Path(folder, name) for name in (_PARAM, _BIN)]
        if conversion.returncode or not all(file.exists() for file in files):
            raise MeasurementError(f"ncnn: pnnx stopped with exit code {conversion.returncode}")
        param, weights = files[0].read_text(), files[1].read_bytes()
    _check_layers(param)
    _check_scores(network, param, weights, shape)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(_PARAM, param)
        archive.writestr(_BIN, weights)
    return buffer.getvalue()


def _check_layers(param: str) -> None:
    """Make sure that ncnn has every layer: pnnx passes others on under dotted names of its own."""
    kinds = {line.split()[0] for line in param.splitlines()[2:] if line.strip()}
    unknown = sorted(kind for kind in kinds if "." in kind or "::" in kind)
    if unknown:
        raise MeasurementError(f"ncnn has no layer for {', '.join(unknown)}")


def _check_scores(network: nn.Module, param: str, weights: bytes, shape: Shape) -> None:
    """Compare scores with torch's: pnnx always takes the first axis for the batch, silently."""
    image = np.random.default_rng(0).standard_normal((1, *shape), np.float32)
    wanted = network(torch.from_numpy(image)).numpy()
    scores = _session(param, weights, threads=1)(image)
    if scores.size != wanted.size:
        raise MeasurementError(
            f"ncnn gives {scores.shape[1:]} where torch gives {wanted.shape[1:]}"
        )
    difference = np.abs(scores.reshape(wanted.shape) - wanted).max()
    if not difference <= _TOLERANCE * np.abs(wanted).max():
        raise MeasurementError(
            f"ncnn's graph is not this network: scores differ by {difference:.1e} "
            f"of {np.abs(wanted).max():.1e}"
        )


def _read(graph: bytes, device: Device) -> Session:
    with zipfile.ZipFile(io.BytesIO(graph)) as archive:
        return _session(archive.read(_PARAM).decode(), archive.read(_BIN), device.threads)


def _session(param: str, weights: bytes, threads: int) -> Session:
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = threads
    network.opt.use_vulkan_compute = False
    # On by itself, where the processor can.
    network.opt.use_fp16_packed = False
    network.opt.use_fp16_storage = False
    network.opt.use_fp16_arithmetic = False
    if network.load_param_mem(param):
        raise MeasurementError("ncnn cannot read the graph that pnnx wrote")
    network.load_model_mem(weights)

    def infer_one(image: NDArray[np.float32]) -> NDArray[np.float32]:
        with network.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(image))
            failed, scores = extractor.extract("out0")
            if failed:
                raise MeasurementError(f"ncnn stopped with code {failed}")
            return np.array(scores)

    def infer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        # ncnn has no batch dimension: its users loop, too. It reads the weights in place.
        assert weights
        return np.stack([infer_one(image) for image in images])

    return infer


NCNN = Runtime(
    name="ncnn",
    precisions=("fp32",),
    # An OpenMP team of one is the thread that calls.
    clock="thread",
    packages=("ncnn", "pnnx"),
    install='pip install "attention-nas[ncnn]"',
    write=_write,
    read=_read,
)
