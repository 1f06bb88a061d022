"""What tests of packs share: what is in every one, and how a stranger checks it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from nas.export import TARGETS
from nas.export.conversion import convert, open_graph, write_files
from nas.export.pack_papers import Origin
from nas.export.parity import ValidationScores
from nas.export.plain_torch import export_program, plain_source
from nas.export.winner import Winner

ORIGIN = Origin("run", 3, "made", "probe", 0, "local-onnxruntime", False, {"loss": 0.1})
COMMON = {
    "NOTICE", "README.md", "architecture.json", "licences", "model.py", "preprocessing.json",
    "report.json", "samples.npz", "verify.py", "weights.safetensors", "outputs.py",
}  # fmt: skip


def verify(pack: Path, *options: str, without: str = "PIL") -> subprocess.CompletedProcess[str]:
    """Run a pack's script in an empty folder where neither this project nor `without` is."""
    start = f"import sys, runpy; sys.modules['nas'] = sys.modules['{without}'] = None; "
    start += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-W", "ignore", "-c", start, str(pack / "verify.py"), *options]
    folder = pack.parent / "empty"
    folder.mkdir(exist_ok=True)
    apart = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run(command, env=apart, cwd=folder, capture_output=True, text=True)


def outputs_of(pack: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("outputs_of_a_pack", pack / "outputs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outputs_from(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("outputs_alone", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_shipped(winner: Winner, images: ValidationScores, folder: Path, alike: float) -> None:
    """Check a network as plain torch, and as graphs of ONNX and OpenVINO.

    images: with what the network makes of them.
    alike: the least share of answers that are the same.
    """
    source = plain_source(export_program(winner.network, winner.size), title="x", size=winner.size)
    written: dict[str, object] = {}
    exec(compile(source.code, "model.py", "exec"), written)
    network = written["Network"]()  # type: ignore[operator]
    network.load_state_dict(source.weights)
    with torch.no_grad():
        given = network.eval()(torch.from_numpy(images.images)).numpy()
    np.testing.assert_allclose(given, images.scores, atol=1e-4 * np.abs(images.scores).max())
    for name in ("onnx", "openvino"):
        target = TARGETS[name]
        write_files(convert(target, lambda to=target: to.write(winner)).files, folder / name)
        judged = images.compare(open_graph(name, folder / f"{name}{target.main}"), 1e-4)
        assert judged.parity.holds and judged.parity.agreement > alike, name
