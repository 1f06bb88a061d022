"""Check this pack again, here: python verify.py

Runs the graphs on the images in samples.npz and compares with the scores of the trained network.
Needs numpy and the runtime that the pack is for, nothing else. Exit code 0: all holds; 1: not.

Where outputs.py lies beside it, python verify.py PICTURE shows what the graph finds in a picture,
which takes Pillow to read; or the number of a sample, which takes nothing.
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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

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
    levels_of_values = np.clip(np.round(values / scale + zero), levels.min, levels.max)
    return np.asarray(levels_of_values, tensor["dtype"])


def _from_levels(values: NDArray[Any], tensor: dict[str, Any]) -> Images:
    scale, zero = tensor["quantization"]
    reals = (values.astype(np.float32) - zero) * scale if scale else values
    return np.array(reals, np.float32)


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


def load_tensorrt(path: Path) -> Session:
    return _Engine(path)


class _Engine:
    """A session of an engine of TensorRT, which reads one image at a time.

    device_ms: of the last image, by the GPU's own clock, without the copies.
    """

    def __init__(self, path: Path) -> None:
        import tensorrt
        import torch

        self._torch = torch
        self._runtime = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR))
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise RuntimeError("it was built by another TensorRT, or for another GPU")
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(index) for index in range(2)]
        inputs = tensorrt.TensorIOMode.INPUT
        names.sort(key=lambda name: self._engine.get_tensor_mode(name) != inputs)
        self._image, self._scores = (
            torch.empty(tuple(self._engine.get_tensor_shape(name)), device="cuda") for name in names
        )
        for name, tensor in zip(names, (self._image, self._scores), strict=True):
            self._context.set_tensor_address(name, tensor.data_ptr())
        self._stream = torch.cuda.Stream()
        self._before, self._after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.device_ms = 0.0

    def __call__(self, images: Images) -> Images:
        return _each(self._infer)(images)

    def _infer(self, image: Images) -> Images:
        with self._torch.cuda.stream(self._stream):
            self._image.copy_(self._torch.from_numpy(image))
            self._before.record()
            if not self._context.execute_async_v3(self._stream.cuda_stream):
                raise RuntimeError("the engine does not run")
            self._after.record()
            self._after.synchronize()
            self.device_ms = self._before.elapsed_time(self._after)
            return np.array(self._scores.cpu().numpy())  # the memory is for the next image


def load_pt2(path: Path) -> Session:
    import torch

    program = torch.export.load(io.BytesIO(path.read_bytes()))
    try:  # without newer versions' checks of what the export saw
        module = program.module(check_guards=False)
    except TypeError:
        module = program.module()
    return _torch(module)


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
    "tensorrt": load_tensorrt,
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
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # a pack stays as it is
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
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


def compare(
    infer: Callable[[slice], Images], samples: Mapping[str, NDArray[Any]]
) -> tuple[float, float, str, str]:
    """Compare a graph that classifies with the network on the samples.

    infer: what the graph gives for some of the samples.
    Returns the largest difference of a score, the share of images of the same class, of what that
    is a share, and how good the graph is.
    """
    scores, wanted = infer(slice(None)), samples["scores"]
    difference = float(np.abs(scores - wanted).max())
    agreement = float((scores.argmax(axis=1) == wanted.argmax(axis=1)).mean())
    _, accuracy = judge(scores, samples["labels"])
    return difference, agreement, f"{len(scores)} images", f"{accuracy:.1%} of them right"


ALIKE = "same class for"


def read_outputs(folder: Path) -> Any:
    """What the graph gives: outputs.py of this pack; without it, scores of classes."""
    path = folder / "outputs.py"
    return _module(path) if path.is_file() else sys.modules[__name__]


def check(folder: Path, *, everything: bool = False) -> bool:
    """Check each graph that report.json names, and print a line on it.

    everything: model.py as well, which needs torch and safetensors.
    """
    report, preprocessing, samples = _read(folder)
    outputs, pixels = read_outputs(folder), samples["images"]
    largest = max(LEAST_LARGEST, float(np.abs(samples["scores"]).max()))
    good = True
    for graph in report["graphs"]:
        if graph["kind"] not in LOADERS:
            print(f"{graph['file']}: {graph['kind']} cannot be run by this script; see README.md")
            continue
        if graph["kind"] == "model.py" and not everything:
            continue
        session = LOADERS[graph["kind"]](folder / graph["file"])

        def infer(rows: slice, session: Session = session) -> Images:
            return session(normalised(pixels[rows], preprocessing))

        apart, agreement, of, summary = outputs.compare(infer, samples)
        difference = apart / largest
        fits = difference <= graph["tolerance"] and agreement >= graph["least_agreement"]
        good = good and fits
        one = normalised(pixels[:1], preprocessing)
        there_ms = graph.get("latency_with_nms_ms") or graph["latency_ms"]
        whose = "the GPU's" if graph.get("clock") == "device" else "CPU"
        print(
            f"{graph['file']}: {'ok' if fits else 'FAILS'}; differs by {difference:.1e} of the "
            f"largest score (allowed {graph['tolerance']:.0e}), {outputs.ALIKE} {agreement:.1%} of "
            f"{of} (at least {graph['least_agreement']:.1%}), "
            f"{summary}, {milliseconds(session, one):.3f} ms by the "
            f"clock on the wall (where it was exported {_written(there_ms, whose)})"
        )
    return good


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, NDArray[Any]]]:
    """report.json, preprocessing.json and samples.npz."""
    report, preprocessing = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("report.json", "preprocessing.json")
    )
    with np.load(folder / "samples.npz", allow_pickle=False) as samples:
        return report, preprocessing, dict(samples)


def _written(latency_ms: float | None, whose: str) -> str:
    return "not measured" if latency_ms is None else f"{latency_ms:.3f} ms of {whose} time"


def show(folder: Path, name: str) -> None:
    """Print what the graph finds in a picture, or in the sample of a number."""
    if not (folder / "outputs.py").is_file():
        _stop("this pack classifies; its script checks it: python verify.py")
    report, preprocessing, samples = _read(folder)
    graphs = [graph for graph in report["graphs"] if graph["kind"] in LOADERS]
    graph = next((graph for graph in graphs if graph["kind"] != "model.py"), graphs[0])
    session = LOADERS[graph["kind"]](folder / graph["file"])
    fit = preprocessing["fit"]
    if name.isdigit():
        count = len(samples["images"])
        if int(name) >= count:
            _stop(f"sample {name}; there are 0 to {count - 1}")
        picture = pixels = samples["images"][int(name)]
        name, fit = f"sample-{name}", "stretch"
    else:
        picture, pixels = read_picture(Path(name), preprocessing)
        name = Path(name).stem
    given = session(normalised(pixels[None], preprocessing))
    print(read_outputs(folder).show(given, picture, name, folder, fit, samples))


def read_picture(
    path: Path, preprocessing: dict[str, Any]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A picture as it is, (height, width, 3), and as the graph reads it, (H, W, 3)."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        _stop("a picture is read by Pillow: pip install pillow; or name the number of a sample")
    height, width = preprocessing["size"]
    try:
        whole, image = _read_rgb(path, None), _read_rgb(path, preprocessing["draft"])
    except (OSError, SyntaxError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        _stop(f"{path} cannot be read as a picture: {reason}")
    by = Image.Resampling.BILINEAR
    if image.size == (width, height):
        return np.asarray(whole), np.asarray(image)
    if preprocessing["fit"] == "crop":
        return np.asarray(whole), np.asarray(ImageOps.fit(image, (width, height), by))
    if preprocessing["fit"] == "stretch":
        return np.asarray(whole), np.asarray(image.resize((width, height), by))
    high, wide = height, width
    if image.width * height >= image.height * width:
        high = max(1, round(width * image.height / image.width))
    else:
        wide = max(1, round(height * image.width / image.height))
    barred = Image.new("RGB", (width, height))
    barred.paste(image.resize((wide, high), by), ((width - wide) // 2, (height - high) // 2))
    return np.asarray(whole), np.asarray(barred)


def _read_rgb(path: Path, draft: int | None) -> Any:
    """A picture upright and in RGB; a far larger JPEG decoded no finer than twice `draft` needs."""
    from PIL import Image, ImageOps

    with Image.open(path) as file:
        if draft is not None:
            file.draft(None, (draft, draft))
        image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):  # 16 bits of grey
        levels = np.asarray(image).astype(np.int64)
        image = Image.fromarray(((levels + 128) // 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
    return image.convert("RGB")


def _stop(reason: str) -> NoReturn:
    """End with one line, and exit code 2."""
    print(reason, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    pictures = [name for name in sys.argv[1:] if not name.startswith("--")]
    for picture_name in pictures:
        show(here, picture_name)
    if not pictures:
        sys.exit(0 if check(here, everything="--model" in sys.argv[1:]) else 1)
