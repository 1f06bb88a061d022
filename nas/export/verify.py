"""Check this pack again, here: python verify.py

Runs the graphs on the images in samples.npz and compares with the scores of the trained network.
Needs numpy and the runtime that the pack is for, nothing else. Exit code 0: all holds; 1: not.
"""

# attention-nas copies this file into every winner pack as it stands, and loads graphs through it
# itself: it must not import from the project, nor more than one runtime.
# mypy: disable-error-code="import-untyped, import-not-found, no-untyped-call"

from __future__ import annotations

import importlib.util
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
LEAST_LARGEST = 0.01  # scores that are all smaller are those of a network that knows nothing
Session = Callable[[Images], Images]


def load_onnx(path: Path) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    graph = path.read_bytes()  # a path need not be plain ASCII, which some runtimes cannot open
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    source = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {source: images})[0])


def load_openvino(path: Path) -> Session:
    import openvino

    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    core = openvino.Core()
    graph = core.read_model(path.read_bytes(), path.with_suffix(".bin").read_bytes())
    request = core.compile_model(graph, "CPU", settings).create_infer_request()
    return _each(lambda image: np.array(request.infer([image])[0]))


def load_litert(path: Path) -> Session:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]

    def infer(image: Images) -> Images:
        interpreter.set_tensor(source["index"], _to_levels(image, source))
        interpreter.invoke()
        return _from_levels(interpreter.get_tensor(result["index"]), result)

    return _each(infer)


def _to_levels(values: Images, tensor: dict[str, Any]) -> NDArray[Any]:
    """What a graph in int8 reads: levels of its own scale."""
    scale, zero = tensor["quantization"]
    if not scale:
        return values
    levels = np.iinfo(tensor["dtype"])
    found = np.clip(np.round(values / scale + zero), levels.min, levels.max)
    return np.asarray(found, tensor["dtype"])


def _from_levels(values: NDArray[Any], tensor: dict[str, Any]) -> Images:
    scale, zero = tensor["quantization"]
    found = (values.astype(np.float32) - zero) * scale if scale else values
    return np.array(found, np.float32)


def load_executorch(path: Path) -> Session:
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(1)
    program = path.read_bytes()
    method = Runtime.get().load_program(program).load_method("forward")

    def infer(image: Images) -> Images:
        # It reads the program in place: without this name it would be gone.
        assert program
        return np.array(method.execute([torch.from_numpy(image)])[0].numpy())

    return _each(infer)


def load_ncnn(path: Path) -> Session:
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = 1
    network.opt.use_vulkan_compute = False
    # ncnn rounds to 16 bits by itself where the processor can.
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = False
    network.opt.use_fp16_arithmetic = False
    weights = path.with_suffix(".bin")
    if network.load_param_mem(path.read_text(encoding="utf-8")):
        raise RuntimeError(f"ncnn cannot read {path.name}")
    network.load_model_mem(weights.read_bytes())

    def infer(image: Images) -> Images:
        with network.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(image[0]))
            failed, scores = extractor.extract("out0")
            if failed:
                raise RuntimeError(f"ncnn stopped with code {failed}")
            return np.array(scores)[None]

    return _each(infer)


def load_pt2(path: Path) -> Session:
    import torch

    return _torch(torch.export.load(io.BytesIO(path.read_bytes())).module(check_guards=False))


def load_torchscript(path: Path) -> Session:
    import torch

    return _torch(torch.jit.load(io.BytesIO(path.read_bytes())))


def load_timm(path: Path) -> Session:
    import timm

    _module(path.with_name("winner.py"))
    return _torch(timm.create_model(f"local-dir:{path.parent}", pretrained=True).eval())


def load_model(path: Path) -> Session:
    """model.py with weights.safetensors beside it."""
    return _torch(_module(path).load(str(path.with_name("weights.safetensors"))))


LOADERS: dict[str, Callable[[Path], Session]] = {
    "onnx": load_onnx,
    "openvino": load_openvino,
    "litert": load_litert,
    "executorch": load_executorch,
    "ncnn": load_ncnn,
    "pt2": load_pt2,
    "torchscript": load_torchscript,
    "timm": load_timm,
    "model.py": load_model,
}
"""What a graph is -> a function from its path to a session; coreml runs on macOS alone."""


def _each(infer: Session) -> Session:
    """A session of one image at a time as one of any number."""
    return lambda images: np.concatenate(
        [infer(np.ascontiguousarray(images[row : row + 1])) for row in range(len(images))]
    )


def _torch(network: Any) -> Session:
    import torch

    def infer(images: Images) -> Images:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                return np.asarray(network(torch.from_numpy(images)).numpy())
        finally:
            torch.set_num_threads(before)

    return infer


def _module(path: Path) -> Any:
    """A file of this pack as a module, under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"pack_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # timm asks a network's function for its module
    spec.loader.exec_module(module)
    return module


def normalised(pixels: NDArray[np.uint8], preprocessing: dict[str, Any]) -> Images:
    """pixels: (N, H, W, 3), RGB, 0 to 255 -> (N, 3, H, W)."""
    mean = np.asarray(preprocessing["mean"], np.float32)
    std = np.asarray(preprocessing["std"], np.float32)
    floats = (pixels.astype(np.float32) - mean) / std
    return np.ascontiguousarray(floats.transpose(0, 3, 1, 2))


def judge(scores: Images, labels: NDArray[np.int64]) -> tuple[NDArray[np.float64], float]:
    """Cross-entropy of every image, and the share that is right."""
    shifted = scores.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(labels)), labels]
    losses = np.log(np.exp(shifted).sum(axis=1)) - chosen
    return losses, float((scores.argmax(axis=1) == labels).mean())


def milliseconds(session: Session, image: Images) -> float:
    """Of one image, the median of 20 runs after 5."""
    times = []
    for _ in range(25):
        started = time.perf_counter()
        session(image)
        times.append((time.perf_counter() - started) * 1e3)
    return sorted(times[5:])[10]


def check(folder: Path, *, everything: bool = False) -> bool:
    """Check each graph that report.json names, and print a line on it.

    everything: model.py as well, which needs torch and safetensors.
    """
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    preprocessing = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    with np.load(folder / "samples.npz", allow_pickle=False) as samples:
        images = normalised(samples["images"], preprocessing)
        wanted, labels = samples["scores"], samples["labels"]
    largest = max(LEAST_LARGEST, float(np.abs(wanted).max()))
    good = True
    for graph in report["graphs"]:
        if graph["kind"] not in LOADERS:
            print(f"{graph['file']}: {graph['kind']} cannot be run by this script; see README.md")
            continue
        if graph["kind"] == "model.py" and not everything:
            continue
        session = LOADERS[graph["kind"]](folder / graph["file"])
        scores = session(images)
        difference = float(np.abs(scores - wanted).max()) / largest
        agreement = float((scores.argmax(axis=1) == wanted.argmax(axis=1)).mean())
        fits = difference <= graph["tolerance"] and agreement >= graph["least_agreement"]
        good = good and fits
        _, accuracy = judge(scores, labels)
        print(
            f"{graph['file']}: {'ok' if fits else 'FAILS'}; differs by {difference:.1e} of the "
            f"largest score (allowed {graph['tolerance']:.0e}), same class for {agreement:.1%} of "
            f"{len(images)} images (at least {graph['least_agreement']:.1%}), "
            f"{accuracy:.1%} of them right, {milliseconds(session, images[:1]):.3f} ms by the "
            f"clock on the wall (where it was exported {_written(graph['latency_ms'])})"
        )
    return good


def _written(latency_ms: float | None) -> str:
    return "not measured" if latency_ms is None else f"{latency_ms:.3f} ms of CPU time"


if __name__ == "__main__":
    whole = check(Path(__file__).resolve().parent, everything="--model" in sys.argv[1:])
    sys.exit(0 if whole else 1)
