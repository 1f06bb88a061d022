"""LiteRT (once TensorFlow Lite), the runtime of Android, with its XNNPACK delegate."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.nn import functional

from nas.latency.device import Device
from nas.latency.runtime.runtime import Runtime, Session, Shape

__all__ = ["LITERT", "without_expands"]

_EXPANDS = {torch.ops.aten.expand_as.default, torch.ops.aten.expand.default}
_ARITHMETIC = {torch.ops.aten.mul.Tensor, torch.ops.aten.add.Tensor}
_NEAREST = torch.ops.aten.upsample_nearest2d.vec


def _write(network: nn.Module, shape: Shape, batch: int, precision: str) -> bytes:
    import litert_torch

    images = torch.zeros(batch, *shape)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.tflite")
        fit = _nearest_as_torch(without_expands(network, images))
        litert_torch.convert(fit, (images,)).export(str(path))
        return path.read_bytes()


def without_expands(network: nn.Module, images: Tensor) -> fx.GraphModule:
    """Return the same network without the expands in front of arithmetic.

    Arithmetic broadcasts by itself. Where litert-torch 0.10 changes layouts, it forgets the shape
    that an expand (ECA's) gives.
    """
    program = torch.export.export(network, (images,), strict=False)
    try:  # without newer versions' checks of what the export saw
        traced = program.module(check_guards=False)
    except TypeError:
        traced = program.module()
    assert isinstance(traced, fx.GraphModule)
    for node in list(traced.graph.nodes):
        if node.target in _EXPANDS and all(_broadcasts(user, node) for user in node.users):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    traced.recompile()
    traced.training = False
    return traced


def _nearest_as_torch(traced: fx.GraphModule) -> fx.GraphModule:
    """Let maps enlarged by other than whole factors be made of chosen rows and columns.

    litert-torch 0.10 measures from the middles of places, where torch's `nearest` does from their
    edges: from two columns it makes three as 0, 1, 1, and torch as 0, 0, 1.
    """
    for node in list(traced.graph.nodes):
        if node.target is _NEAREST:
            _choose_places(traced, node)
    traced.recompile()
    return traced


def _choose_places(traced: fx.GraphModule, node: fx.Node) -> None:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    before, after = source.meta["val"].shape[2:], node.meta["val"].shape[2:]
    if all(large % small == 0 for small, large in zip(before, after, strict=True)):
        return
    with traced.graph.inserting_before(node):
        for axis, small, large in zip((2, 3), before, after, strict=True):
            name = f"nearest_{node.name}_{axis}"
            rows = torch.arange(small, dtype=torch.float32)[None, None]
            places = functional.interpolate(rows, large).long().flatten()
            traced.register_buffer(name, places, persistent=False)
            index = traced.graph.get_attr(name)
            source = traced.graph.call_function(
                torch.ops.aten.index_select.default, (source, axis, index)
            )
    node.replace_all_uses_with(source)
    traced.graph.erase_node(node)


def _broadcasts(user: fx.Node, node: fx.Node) -> bool:
    """Say whether a user of a node is arithmetic with another operand of the full shape."""
    full = node.meta["val"].shape
    others = [item for item in user.args if isinstance(item, fx.Node) and item is not node]
    return user.target in _ARITHMETIC and any(item.meta["val"].shape == full for item in others)


def _read(graph: bytes, device: Device) -> Session:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=graph, num_threads=device.threads)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]

    def infer(images: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter.set_tensor(source, images)
        interpreter.invoke()
        scores: NDArray[np.float32] = interpreter.get_tensor(result)
        return scores

    return infer


LITERT = Runtime(
    name="litert",
    precisions=("fp32",),
    # XNNPACK's pool of one is the thread that calls.
    clock="thread",
    packages=("ai-edge-litert", "litert-torch"),
    # litert-torch asks for an older torch than this project, and works beside it.
    install='pip install "attention-nas[litert]" && '
    "pip install --no-deps litert-torch==0.10.* litert-converter==0.5.* xdsl==0.28.*",
    write=_write,
    read=_read,
)
