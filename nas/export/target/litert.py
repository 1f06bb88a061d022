"""LiteRT (TensorFlow Lite), int8 by Google's ai-edge-quantizer."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.export.target.target import Delegates, Images, Target, WrittenGraph
from nas.export.winner import Winner
from nas.latency.runtime import RUNTIMES

__all__ = ["LITERT"]


def _write(winner: Winner) -> WrittenGraph:
    return _with_delegates(RUNTIMES["litert"].convert(winner.shipped, winner.size.shape))


def _quantise(winner: Winner, images: Images) -> WrittenGraph:
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_quantizer import quantizer, recipe

    graph = RUNTIMES["litert"].convert(winner.merged, winner.size.shape)
    ((signature, ends),) = Interpreter(model_content=graph).get_signature_list().items()
    (source,) = ends["inputs"]
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder, "network.tflite"), Path(folder, "int8.tflite")
        path.write_bytes(graph)
        quantiser = quantizer.Quantizer(str(path))
        quantiser.load_quantization_recipe(recipe.static_wi8_ai8())
        seen = {signature: [{source: images[row : row + 1]} for row in range(len(images))]}
        quantiser.quantize(quantiser.calibrate(seen)).export_model(str(small))
        return _with_delegates(small.read_bytes())


def _with_delegates(graph: bytes) -> WrittenGraph:
    return WrittenGraph({".tflite": graph}, lambda: _delegates(graph))


def _delegates(graph: bytes) -> tuple[Delegates, ...]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=graph, num_threads=1)
    interpreter.allocate_tensors()
    operators = interpreter._get_ops_details()
    pieces = [operator for operator in operators if operator["op_name"] == "DELEGATE"]
    plain = [operator for operator in operators if operator["op_name"] != "DELEGATE"]
    inside = _inside(plain, pieces)
    outside = Counter(operator["op_name"] for operator in plain if operator["index"] not in inside)
    note = f"in {len(pieces)} pieces; outside runs TensorFlow Lite's own kernels"
    return (Delegates("XNNPACK", len(inside), dict(outside), note),)


def _inside(plain: Sequence[Mapping[str, Any]], pieces: Sequence[Mapping[str, Any]]) -> set[int]:
    """Return the numbers of the operators that a delegate has swallowed.

    These are the ones between what it reads and what it gives.
    """
    maker = {int(tensor): operator for operator in plain for tensor in operator["outputs"]}
    swallowed: set[int] = set()
    for piece in pieces:
        inputs = {int(tensor) for tensor in piece["inputs"]}
        ahead = [int(tensor) for tensor in piece["outputs"]]
        while ahead:
            tensor = ahead.pop()
            operator = maker.get(tensor)
            if tensor in inputs or operator is None or operator["index"] in swallowed:
                continue
            swallowed.add(int(operator["index"]))
            ahead += [int(source) for source in operator["inputs"]]
    return swallowed


LITERT = Target(
    name="litert",
    title="LiteRT (TensorFlow Lite)",
    runs=("ai-edge-litert",),
    writes=("litert-torch", "ai-edge-quantizer"),
    install=RUNTIMES["litert"].install,
    write=_write,
    main=".tflite",
    alone=True,
    quantise=_quantise,
)
