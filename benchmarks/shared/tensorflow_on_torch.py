"""As much of TensorFlow, on torch, as MOAT's authors' layers call: so they run as they are written.

    with tensorflow_on_torch():  # `import tensorflow` now finds this
        ...
    network = Keras(lambda: layers.Attention(...))

Maps are (N, H, W, C) in here, as there.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Keras", "LayerNormalization", "tensorflow_on_torch"]


class Shape(tuple[int, ...]):
    """A shape as TensorFlow has it."""

    @property
    def rank(self) -> int:
        return len(self)

    def as_list(self) -> list[int]:
        return list(self)

    def with_rank(self, rank: int) -> Shape:
        assert rank == len(self)
        return self

    def __getitem__(self, item: Any) -> Any:
        found = super().__getitem__(item)
        return Shape(found) if isinstance(item, slice) else found

    def __add__(self, other: Any) -> Shape:
        return Shape((*self, *other))


class Values(Tensor):
    """A tensor that knows TensorFlow's shapes."""

    @property
    def shape(self) -> Any:  # type: ignore[override]
        return Shape(super().shape)

    def get_shape(self) -> Shape:
        return Shape(super().shape)


def _values(x: Tensor) -> Any:
    return x.as_subclass(Values)


_weights: Iterator[Tensor] | None = None
_made: list[Tensor] = []


class Layer(nn.Module):
    """Keras' layer: built when it is first called."""

    compute_dtype = torch.float32

    def __init__(self, name: str | None = None) -> None:
        super().__init__()
        self.built = False

    def build(self, input_shape: Shape) -> None:
        """Make the weights."""

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not self.built:
            self.build(Shape(inputs[0].shape))
            self.built = True
        options.setdefault("training", False)
        call: Any = self.call
        known = inspect.signature(call).parameters
        return call(*inputs, **{name: options[name] for name in options if name in known})

    def add_weight(self, name: str, shape: Sequence[int], **_: Any) -> Any:
        """Take the next of the given weights, or make one of zeros."""
        weight = torch.zeros(*shape) if _weights is None else next(_weights).reshape(*shape)
        _made.append(weight)
        return _values(weight)


class Conv2D(Layer):
    def __init__(
        self, filters: int, kernel_size: int, strides: int = 1, use_bias: bool = True, **_: Any
    ) -> None:
        super().__init__()
        self.filters, self.size, self.stride, self.use_bias = (
            filters,
            kernel_size,
            strides,
            use_bias,
        )

    def build(self, input_shape: Shape) -> None:
        self.kernel = self.add_weight("w", (self.size, self.size, input_shape[-1], self.filters))
        self.bias = self.add_weight("b", (self.filters,)) if self.use_bias else None

    def call(self, x: Any) -> Any:
        weight = self.kernel.permute(3, 2, 0, 1)
        return _convolved(x, weight, self.bias, self.size, self.stride, 1)


class DepthwiseConv2D(Layer):
    def __init__(self, kernel_size: int, strides: int = 1, **_: Any) -> None:
        super().__init__()
        self.size, self.stride = kernel_size, strides

    def build(self, input_shape: Shape) -> None:
        self.kernel = self.add_weight("w", (self.size, self.size, input_shape[-1], 1))

    def call(self, x: Any) -> Any:
        weight = self.kernel.permute(2, 3, 0, 1)
        return _convolved(x, weight, None, self.size, self.stride, x.shape[-1])


def _around(length: int, size: int, stride: int) -> tuple[int, int]:
    """Return how much TensorFlow's `same` adds before and behind a line."""
    whole = max((-(-length // stride) - 1) * stride + size - length, 0)
    return whole // 2, whole - whole // 2


def _padded(x: Tensor, size: int, stride: int) -> Tensor:
    rows, columns = _around(x.shape[2], size, stride), _around(x.shape[3], size, stride)
    return functional.pad(x, (*columns, *rows))


def _convolved(
    x: Any, weight: Tensor, bias: Tensor | None, size: int, stride: int, groups: int
) -> Any:
    padded = _padded(x.permute(0, 3, 1, 2), size, stride)
    y = functional.conv2d(padded, weight, bias, stride=stride, groups=groups)
    return _values(y.permute(0, 2, 3, 1))


class AveragePooling2D(Layer):
    def __init__(self, pool_size: int, strides: int, **_: Any) -> None:
        super().__init__()
        self.size, self.stride = pool_size, strides

    def call(self, x: Any) -> Any:
        x = x.permute(0, 3, 1, 2)
        ones = _padded(torch.ones_like(x), self.size, self.stride)
        sums, there = (
            functional.avg_pool2d(part, self.size, self.stride)
            for part in (_padded(x, self.size, self.stride), ones)
        )
        return _values((sums / there).permute(0, 2, 3, 1))


class BatchNormalization(Layer):
    def __init__(self, name: str | None = None, epsilon: float = 1e-3, **_: Any) -> None:
        super().__init__()
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        parts = ("gamma", "beta", "mean", "variance")
        self.parts = [self.add_weight(part, (input_shape[-1],)) for part in parts]

    def call(self, x: Any) -> Any:
        gamma, beta, mean, variance = self.parts
        return (x - mean) / (variance + self.epsilon).sqrt() * gamma + beta


class LayerNormalization(Layer):
    def __init__(self, axis: int = -1, epsilon: float = 1e-3, **_: Any) -> None:
        super().__init__()
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        self.gamma = self.add_weight("gamma", (input_shape[-1],))
        self.beta = self.add_weight("beta", (input_shape[-1],))

    def call(self, x: Any) -> Any:
        return functional.layer_norm(x, (x.shape[-1],), self.gamma, self.beta, self.epsilon)


class Activation(Layer):
    def __init__(self, activation: Callable[[Any], Any], **_: Any) -> None:
        super().__init__()
        self.activation = activation

    def call(self, x: Any) -> Any:
        return self.activation(x)


class Sequential(Layer):
    def __init__(self, layers: Sequence[Layer], **_: Any) -> None:
        super().__init__()
        self.layers = list(layers)

    def call(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer(x)
        return x


def _resized(x: Any, size: Sequence[int]) -> Any:
    """Stretch (N, H, W, C) bilinearly."""
    y = functional.interpolate(x.permute(0, 3, 1, 2), tuple(size), mode="bilinear")
    return y.permute(0, 2, 3, 1)


def _library() -> dict[str, types.ModuleType]:
    """Return the modules, by name."""
    names = types.SimpleNamespace
    tf: Any = types.ModuleType("tensorflow")
    tf.Tensor, tf.float32, tf.dtypes = Tensor, torch.float32, names(DType=torch.dtype)
    tf.random_normal_initializer = tf.zeros_initializer = lambda **_: None
    tf.constant = lambda values, dtype: _values(torch.as_tensor(values, dtype=dtype))
    tf.cast = lambda x, dtype: x.to(dtype)
    tf.einsum = lambda text, *x, **_: _values(torch.einsum(text.replace(" ", ""), *x))
    tf.reshape = lambda x, shape: x.reshape(*shape)
    tf.transpose = lambda x, order: x.permute(*order)
    tf.expand_dims = lambda x, axis: x.unsqueeze(axis)
    tf.squeeze = lambda x, axis: x.squeeze(axis if isinstance(axis, int) else tuple(axis))
    tf.reduce_mean = lambda x, axis, keepdims: x.mean(axis, keepdim=keepdims)
    tf.sigmoid = torch.sigmoid
    tf.image = names(resize=_resized)
    tf.nn = names(softmax=lambda x, axis: x.softmax(axis), gelu=functional.gelu)
    layers = names(
        Layer=Layer,
        Conv2D=Conv2D,
        DepthwiseConv2D=DepthwiseConv2D,
        AveragePooling2D=AveragePooling2D,
        LayerNormalization=LayerNormalization,
        Activation=Activation,
        experimental=names(SyncBatchNormalization=BatchNormalization),
    )
    activations = names(gelu=functional.gelu, swish=functional.silu)
    tf.keras = names(layers=layers, activations=activations, Model=Layer, Sequential=Sequential)
    absl: Any = types.ModuleType("absl")
    absl.logging = names()
    return {"tensorflow": tf, "absl": absl}


@contextlib.contextmanager
def tensorflow_on_torch() -> Iterator[None]:
    """Let `tensorflow` be imported for a while."""
    library = _library()
    sys.modules.update(library)
    try:
        yield
    finally:
        for name in library:
            del sys.modules[name]


class Keras(nn.Module):
    """A layer of theirs as torch's: (N, C, H, W) in and out.

    Its weights are in the order that it makes them. It is made anew for every call, since some of
    what it keeps is computed from its weights.
    """

    def __init__(self, make: Callable[[], Callable[..., Any]], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.make, self.shape = make, shape
        self.given: list[Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        global _weights  # noqa: PLW0603
        _weights = None if self.given is None else itertools.chain(self.given)
        _made.clear()
        y = self.make()(_values(x.permute(0, 2, 3, 1)))
        plain: Tensor = y.as_subclass(Tensor)
        return plain.permute(0, 3, 1, 2) if plain.dim() == 4 else plain

    def state_dict(self, *_: Any, **__: Any) -> Any:
        self(torch.zeros(1, *self.shape))
        return {str(number): weight for number, weight in enumerate(_made)}

    def load_state_dict(self, state_dict: Any, *_: Any, **__: Any) -> Any:
        self.given = list(state_dict.values())
