"""GPU machines come with torch, torchvision, timm and numpy: trainings need nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
THERE = {"torch", "torchvision", "timm", "numpy"}
BROUGHT = {"huggingface-hub", "jinja2", "pillow", "pyyaml", "safetensors"}
"""What those bring themselves."""
MODULES = {"scikit-learn": "sklearn"}

PROGRAM = """
import importlib.abc, sys
import timm, torch, torch._dynamo  # which look for others, to work with them
absent = set(sys.argv[1:])

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"{name} is not on this machine", name=name)

sys.meta_path.insert(0, Absent())
for name in absent & set(sys.modules):
    del sys.modules[name]

import nas.training.checkpoint, nas.training.full, nas.training.proxies
from nas.data import Dataset, Split
from nas.models.build import build
from nas.spec.architecture import Architecture, Insertion
from nas.spec.task import Task
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe

pixels = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8)
split = Split(pixels, torch.arange(8) % 2)
data = Dataset(split, split, ("a", "b"), (99.0,) * 3, (50.0,) * 3, True, "noise")
insertions = (Insertion.of("blocks.1.1/after_depthwise", "coord/r4"),)
network = build(Architecture("mobilenetv2_035", 32, insertions), num_classes=2)
task, cpu = Task(outputs=2), torch.device("cpu")
training = Training(
    network, data, task, Recipe(1, 4, 0.01), parameters=network.parameters(), seed=0, device=cpu,
    precision="bf16",
)
training.run()
print(evaluate(network, data, task, device=cpu, precision="bf16").loss)
"""


def test_a_training_runs_from_a_source_folder_with_few_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[><=]", line)[0] for line in project["dependencies"]}
    assert names > THERE
    absent = {MODULES.get(name, name) for name in names - THERE - BROUGHT}
    assert {"pydantic", "optuna", "sklearn", "onnxruntime"} <= absent
    command = [sys.executable, "-c", PROGRAM, *sorted(absent)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert float(found.stdout) > 0
