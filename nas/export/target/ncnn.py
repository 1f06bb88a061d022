"""ncnn's two files, by pnnx."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import io
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

from nas.export.target.target import Delegates, Files, Target, WrittenGraph
from nas.export.winner import Winner
from nas.latency.runtime import RUNTIMES

__all__ = ["NCNN"]

_PARAM, _BIN = ".ncnn.param", ".ncnn.bin"


def _write(winner: Winner) -> WrittenGraph:
    graph = RUNTIMES["ncnn"].convert(winner.shipped, winner.size.shape)
    with zipfile.ZipFile(io.BytesIO(graph)) as archive:
        files = {suffix: archive.read(f"network{suffix}") for suffix in (_PARAM, _BIN)}
    return WrittenGraph(files, lambda: _delegates(files))


def _delegates(files: Files) -> tuple[Delegates, ...]:
    """Tell what ncnn computes element by element and not in packs, its layout for SIMD."""
    import ncnn

    network = ncnn.Net()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.ncnn.param")
        path.write_bytes(files[_PARAM])
        network.load_param(str(path))
        layers = [layer for layer in network.layers() if layer.type != "Input"]
        outside = Counter(layer.type for layer in layers if not layer.support_packing)
        inside = len(layers) - sum(outside.values())
    note = "in front of and behind those outside the layout is changed"
    return (Delegates("packed layout (SIMD)", inside, dict(outside), note),)


NCNN = Target(
    name="ncnn",
    title="ncnn",
    runs=("ncnn",),
    writes=("pnnx",),
    install='pip install "attention-nas[ncnn]"',
    write=_write,
    main=_PARAM,
    no_int8="its quantiser (ncnn2table, ncnn2int8) is not in its Python package",
)
