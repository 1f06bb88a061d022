"""A trained network as one file of plain torch, from its exported graph.

The graph is what torch.export saw, so every backbone and block is written in the same way, also
those that nobody thought of here. Weights keep their names; batch norm and dropout still know
training from evaluation, so that the file can be finetuned.
"""

from __future__ import annotations

import json
import math
import operator
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from nas.backbones.attention_operators import separate_operators
from nas.base.errors import SpecError
from nas.base.size import Size
from nas.latency.runtime.runtime import first_line

__all__ = ["NetworkSource", "block_source", "export_block", "export_program", "plain_source"]

_TRAINING = {"aten.batch_norm.default": 5, "aten.dropout.default": 2}
"""Operator that behaves otherwise in training -> the place of the argument that says so."""

_IMAGES = "images"
_INFIX = {operator.add: "+", operator.mul: "*", operator.sub: "-", operator.floordiv: "//"}


@dataclass(frozen=True)
class NetworkSource:
    """A network as source code and weights.

    code: of model.py.
    weights: every tensor by the name that the code gives it.
    """

    code: str
    weights: dict[str, Tensor]


def export_program(network: nn.Module, size: Size, *, dynamic: bool = True) -> ExportedProgram:
    """Export a network for images (N, 3, height, width) by torch.export.

    size: of the images.
    dynamic: whether N is any; else 1.
    Raises SpecError when it holds what torch.export cannot follow.
    """
    # A batch of one would be taken for a constant.
    images = torch.zeros(2 if dynamic else 1, *size.shape)
    # Without an end torch 2.6 takes networks with fca for made for one number of images.
    shapes = ({0: torch.export.Dim("batch", min=1, max=2**15)},) if dynamic else None
    try:
        with torch.no_grad(), separate_operators(), warnings.catch_warnings():
            # It warns of weights that the older norms write before each call.
            warnings.simplefilter("ignore")
            # The strict way, which older torch takes unasked, refuses networks with hooks.
            return torch.export.export(
                network.eval(), (images,), dynamic_shapes=shapes, strict=False
            )
    except Exception as error:  # it raises whatever an operator provokes
        if "violated (batch)" in str(error):
            raise SpecError(
                "this network is made for one number of images: its forward takes that for a "
                "constant, as len(x) and int(x.shape[0]) do; write x.shape[0] there (weights stay "
                "what they are), and export again"
            ) from None
        raise SpecError(
            f"torch.export cannot follow this network: {first_line(error)}; "
            "choose another target, or a network without that operator"
        ) from None


def plain_source(
    program: ExportedProgram,
    *,
    title: str,
    size: Size,
    gives: str = "scores (N, classes) before softmax",
) -> NetworkSource:
    """Write `class Network(torch.nn.Module)` with the program's weights.

    The class reads (N, 3, height, width), normalised, and returns what the network does.

    title: for the first line.
    size: of the images.
    gives: what the network returns, in words.
    Raises SpecError when the program cannot be written as plain torch.
    """
    writer = _Writer(program)
    code = _TEMPLATE.format(
        title=title.replace("\\", "/").replace('"', "'"),
        shape=", ".join(map(str, size.shape)),
        gives=gives,
        **writer.fields(),
    )
    return NetworkSource(code, writer.weights)


def export_block(block: nn.Module, shape: tuple[int, int, int]) -> tuple[ExportedProgram, bool]:
    """Export a block for maps (N, C, height, width), of any size where it computes with any.

    shape: of the map that it was made for, (channels, height, width).
    Returns the program, and whether it takes maps of that size alone.
    Raises SpecError when it holds what torch.export cannot follow.
    """
    channels, height, width = shape
    names = {0: "batch", 2: "height", 3: "width"}
    # Without an end, torch 2.6 asks whether the widest map still has a 32-bit size.
    sides = {axis: torch.export.Dim(name, min=1, max=2**15) for axis, name in names.items()}
    fixed = _export_maps(block, (channels, height, width), {0: sides[0]})
    if any(str(node.target) == "aten.pad.default" for node in fixed.graph.nodes):
        return fixed, True  # it tiles the map: torch.export reasons on such sizes for minutes
    try:
        # Sizes of its own: one that it was made for may be taken for a constant.
        program = _export_maps(block, (channels, height + 2, width + 3), sides)
        _Writer(program).fields()
        return program, False
    except SpecError:
        return fixed, True


def _export_maps(
    block: nn.Module, shape: tuple[int, int, int], sides: dict[int, Any]
) -> ExportedProgram:
    """Export a block for maps whose axes `sides` are of any size. Raises SpecError."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            maps = torch.zeros(2, *shape)
            return torch.export.export(block.eval(), (maps,), dynamic_shapes=(sides,), strict=False)
    except Exception as error:  # it raises whatever an operator provokes
        raise SpecError(
            f"torch.export cannot follow {type(block).__name__}: {first_line(error)}; choose "
            "another target"
        ) from None


def block_source(
    program: ExportedProgram, *, name: str, maps: tuple[int, int] | None
) -> NetworkSource:
    """Write `class NAME(Written)` with the program's weights; see `WRITTEN`.

    maps: the only (height, width) of maps that it takes; None: any.
    Raises SpecError when the program cannot be written as plain torch.
    """
    writer = _Writer(program)
    check = "" if maps is None else _CHECK.format(images=_IMAGES, maps=maps)
    return NetworkSource(_BLOCK.format(name=name, check=check, **writer.fields()), writer.weights)


@dataclass(frozen=True)
class _Part:
    call: str
    method: str


class _Writer:
    """A writer of the nodes of a program as methods, one for each piece of the network."""

    def __init__(self, program: ExportedProgram) -> None:
        signature = program.graph_signature
        self.trained = set(signature.parameters)
        self._names = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        held = {**program.state_dict, **program.constants}
        self.weights = {
            name: held[name].detach().clone().contiguous()
            for name in dict.fromkeys(self._names.values())
        }
        nodes = list(program.graph.nodes)
        (self._images,) = signature.user_inputs
        (self.scores,) = signature.user_outputs
        self._body = [node for node in nodes if node.op == "call_function"]
        self._step = {node: number for number, node in enumerate(self._body) if not _is_check(node)}

    def fields(self) -> dict[str, str]:
        """Return what a template of a class holds."""
        parts = list(self.parts())
        tensors = "\n".join(
            f"    {json.dumps(name)}: "
            f"({tuple(tensor.shape)}, {tensor.dtype}, {name in self.trained}),"
            for name, tensor in self.weights.items()
        )
        return {
            "tensors": tensors,
            "images": _IMAGES,
            "calls": "\n".join(f"        {part.call}" for part in parts),
            "scores": self.scores,
            "methods": "\n\n".join(part.method for part in parts),
        }

    def parts(self) -> Iterator[_Part]:
        """Write each piece of the network as a method and the line that calls it."""
        pieces = [list(nodes) for _, nodes in groupby(self._step, key=_place)]
        taken: dict[str, int] = {}
        for piece in pieces:
            place = "_".join(["part", *_place(piece[0]).split(".")]).rstrip("_")
            taken[place] = taken.get(place, 0) + 1
            name = place if taken[place] == 1 else f"{place}_{taken[place]}"
            inside = set(piece)
            read = dict.fromkeys(
                self._name(source)
                for node in piece
                for source in node.all_input_nodes
                if source not in inside and source.name not in self._names
            )
            given_back = [
                node.name
                for node in piece
                if node.name == self.scores
                or any(user in self._step and user not in inside for user in node.users)
            ]
            lines = [f"        {node.name} = {self._expression(node)}" for node in piece]
            if any("device=device" in line for line in lines):
                lines.insert(0, "        device = next(iter(w.values())).device")
            arguments = ", ".join(["w", *read])
            results = ", ".join(given_back)
            method = "\n".join(
                [f"    def {name}(self, {arguments}):", *lines, f"        return {results}"]
            )
            yield _Part(f"{results} = self.{name}({arguments})", method)

    def _expression(self, node: fx.Node) -> str:
        target, args = node.target, [self._value(value) for value in node.args]
        if target is operator.getitem:
            return f"{args[0]}[{args[1]}]"
        if target in _INFIX:
            return f"{args[0]} {_INFIX[target]} {args[1]}"
        if not isinstance(target, torch._ops.OpOverload) or target.namespace != "aten":
            raise SpecError(f"model.py cannot be written: {target} is no operator of plain torch")
        place = _TRAINING.get(str(target))
        # Exported in evaluation mode: what trains there does so always, as where batch norm's
        # operator standardises weights.
        if place is not None and node.args[place] is False:
            args[place] = "self.training"
        named = [f"{key}={self._value(value)}" for key, value in node.kwargs.items()]
        return f"{target}({', '.join([*args, *named])})"

    def _name(self, node: fx.Node) -> str:
        """Name a value: the network's argument may be called anything, all else by its operator."""
        return _IMAGES if node.name == self._images else node.name

    def _value(self, value: object) -> str:
        """Write a literal that means the same where it is read. Raises SpecError."""
        if isinstance(value, fx.Node):
            name = self._names.get(value.name)
            return f"w[{json.dumps(name)}]" if name is not None else self._name(value)
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self._value, value))}]"
        if isinstance(value, float) and not math.isfinite(value):
            return f'float("{value}")'
        if isinstance(value, torch.device):
            return "device"
        if value is None or isinstance(value, bool | int | float | str):
            return repr(value)
        if isinstance(value, torch.dtype | torch.layout | torch.memory_format):
            return str(value)
        raise SpecError(f"model.py cannot be written: {value!r} is no literal")


def _is_check(node: fx.Node) -> bool:
    """Tell whether torch.export asserts here about its own reasoning, and computes nothing."""
    return not node.users and "assert" in str(node.target) or "_guards" in str(node.target)


def _place(node: fx.Node) -> str:
    """Return the piece of the network a node belongs to: `blocks.1.0` of `blocks.1.0.conv_pw`."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(path) for path, _ in stack.values()]
    names = paths[-1].split(".") if paths and paths[-1] else []
    place = names[:1]
    for name in names[1:]:
        if not name.isdigit():
            break
        place.append(name)
    return ".".join(place)


WRITTEN = '''class Written(nn.Module):
    """A block in plain torch, with its weights by name."""

    TENSORS = {}

    def __init__(self):
        super().__init__()
        for name, (shape, dtype, trained) in self.TENSORS.items():
            *path, last = name.split(".")
            owner = self
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, nn.Module())
                owner = owner._modules[part]
            tensor = torch.zeros(shape, dtype=dtype)
            if trained:
                owner.register_parameter(last, nn.Parameter(tensor))
            else:
                owner.register_buffer(last, tensor)
'''
"""The class that those of `block_source` are of."""

_CHECK = """
        if {images}.shape[-2:] != {maps}:
            raise ValueError(f"this block reads maps of {maps}, not {{tuple({images}.shape[-2:])}}")
"""

_BLOCK = """class {name}(Written):
    TENSORS = {{
{tensors}
    }}

    def forward(self, {images}):{check}
        w = {{**dict(self.named_parameters()), **dict(self.named_buffers())}}
{calls}
        return {scores}

{methods}
"""

_TEMPLATE = '''"""{title}

Plain torch; written by attention-nas. Reads images (N, {shape}) that are normalised as
preprocessing.json says, returns {gives}:

    from model import load
    scores = load("weights.safetensors")(images)
"""

import torch
from torch import nn

aten = torch.ops.aten

TENSORS = {{
{tensors}
}}
"""Name -> shape, dtype, and whether it is trained."""


class Network(nn.Module):
    """Weights are named as in the safetensors file; one method for each piece."""

    def __init__(self):
        super().__init__()
        for name, (shape, dtype, trained) in TENSORS.items():
            *path, last = name.split(".")
            owner = self
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, nn.Module())
                owner = owner._modules[part]
            tensor = torch.zeros(shape, dtype=dtype)
            if trained:
                owner.register_parameter(last, nn.Parameter(tensor))
            else:
                owner.register_buffer(last, tensor)

    def forward(self, {images}):
        w = {{**dict(self.named_parameters()), **dict(self.named_buffers())}}
{calls}
        return {scores}

{methods}


def load(path):
    """The trained network, in evaluation mode. Needs safetensors."""
    from safetensors.torch import load as read

    network = Network()
    with open(path, "rb") as file:
        network.load_state_dict(read(file.read()))
    return network.eval()
'''
