"""What tests of packs share: what is in every one, and how a stranger checks it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from nas.export.pack_papers import Origin

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
