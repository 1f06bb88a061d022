"""What stands for libraries that authors' files import and their blocks do not need."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any

import torch
from functorch.einops import rearrange  # type: ignore[import-untyped]
from torch import Tensor, nn

__all__ = ["absent"]


class Missing(nn.Module):
    """Any class of an absent library: a module to inherit from, or a registry to be listed in."""

    @classmethod
    def register_module(cls, *_names: Any, **_options: Any) -> Any:
        return lambda listed: listed

    register = register_module


class _AbsentModule(types.ModuleType):
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Missing


def _einsum(*arguments: Any) -> Tensor:
    """Sum as einops does, whose last argument names the axes by words."""
    *tensors, pattern = arguments
    letters: dict[str, str] = {}
    for word in pattern.replace(",", " ").replace("->", " ").split():
        letters.setdefault(word, chr(ord("a") + len(letters)))
    inputs, _, output = pattern.partition("->")
    parts = ["".join(letters[word] for word in part.split()) for part in inputs.split(",")]
    wanted = "".join(letters[word] for word in output.split())
    return torch.einsum(f"{','.join(parts)}->{wanted}", *tensors)


_STANDING_IN: dict[str, dict[str, Any]] = {"einops": {"rearrange": rearrange, "einsum": _einsum}}
"""What is there of an absent library after all."""


class _Finder(MetaPathFinder, Loader):
    def __init__(self, libraries: Sequence[str]) -> None:
        self.libraries = libraries

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        known = name.partition(".")[0] in self.libraries
        return ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _AbsentModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__.update(_STANDING_IN.get(module.__name__, {}))


@contextlib.contextmanager
def absent(libraries: Sequence[str]) -> Iterator[None]:
    """Let these libraries be imported for a while, with next to nothing in them."""
    finder = _Finder(libraries)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in list(sys.modules):
            if name.partition(".")[0] in libraries:
                del sys.modules[name]
