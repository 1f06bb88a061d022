"""ExecuTorch with its XNNPACK delegate, after rewriting what the delegate would leave outside."""

# The package is optional, and has no types.
# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import nn

from nas.export.target.target import Delegates, Images, Target, WrittenGraph
from nas.export.target.xnnpack import rewrite_for_xnnpack
from nas.export.winner import Winner

__all__ = ["EXECUTORCH"]


def _write(winner: Winner) -> WrittenGraph:
    images = torch.zeros(1, *winner.size.shape)
    return _lower(rewrite_for_xnnpack(copy.deepcopy(winner.shipped), images), images)


def _quantise(winner: Winner, images: Images) -> WrittenGraph:
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    one = torch.from_numpy(images[:1])
    module = rewrite_for_xnnpack(copy.deepcopy(winner.merged), one)
    quantiser = XNNPACKQuantizer().set_global(get_symmetric_quantization_config())
    program = torch.export.export(module, (one,)).module(check_guards=False)
    prepared = prepare_pt2e(program, quantiser)
    with torch.no_grad():
        for row in range(len(images)):
            prepared(torch.from_numpy(images[row : row + 1]))
    return _lower(convert_pt2e(prepared), one)


def _lower(module: nn.Module, images: torch.Tensor) -> WrittenGraph:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    with torch.no_grad():
        program = torch.export.export(module, (images,))
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    graph = bytes(edge.to_executorch().buffer)
    return WrittenGraph({".pte": graph}, lambda: _delegates(edge))


def _delegates(edge: Any) -> tuple[Delegates, ...]:
    from executorch.devtools.backend_debug import get_delegation_info

    info = get_delegation_info(edge.exported_program().graph_module)
    outside: Counter[str] = Counter()
    for name, counts in info.delegation_by_operator.items():
        if counts.non_delegated and not name.startswith("getitem"):
            outside[name] += counts.non_delegated
    note = f"in {info.num_delegated_subgraphs} pieces, after rewriting; outside runs portable code"
    return (Delegates("XNNPACK", info.num_delegated_nodes, dict(outside), note),)


EXECUTORCH = Target(
    name="executorch",
    title="ExecuTorch (XNNPACK)",
    runs=("executorch", "torch"),  # its Python interface takes tensors
    writes=(),
    install='pip install "attention-nas[executorch]"',
    write=_write,
    main=".pte",
    alone=True,
    quantise=_quantise,
)
