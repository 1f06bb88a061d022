"""Windows of a map, and attention within them: what blocks with windows share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = ["attend", "by_window", "from_windows", "heads_of", "too_small"]

_HEAD_CHANNELS = 32


def heads_of(channels: int) -> int:
    """Return how many heads attention has whose heads have 32 channels in its paper.

    Where 32 does not divide the channels, there are as many heads as do, at most C // 32.
    """
    most = max(1, channels // _HEAD_CHANNELS)
    return next(heads for heads in range(most, 0, -1) if channels % heads == 0)


def by_window(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Cut a map into windows, with zeros at its end: (N, C, windows, positions of a window)."""
    (tall, wide), (height, width) = window, x.shape[2:]
    x = functional.pad(x, (0, (wide - width % wide) % wide, 0, (tall - height % tall) % tall))
    channels, height, width = x.shape[1:]
    rows = x.reshape(-1, tall, width // wide, wide).transpose(1, 2)
    return rows.reshape(-1, channels, height * width // (tall * wide), tall * wide)


def from_windows(x: Tensor, window: tuple[int, int], like: Tensor) -> Tensor:
    """Put windows together again: (N, C, windows, positions) -> (N, C, H, W)."""
    (tall, wide), (height, width) = window, like.shape[2:]
    across, down = (width + wide - 1) // wide, (height + tall - 1) // tall
    rows = x.reshape(-1, across, tall, wide).transpose(1, 2)
    return rows.reshape(-1, x.shape[1], down * tall, across * wide)[:, :, :height, :width]


def attend(q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float) -> Tensor:
    """Attend within each window: (N, C, windows, positions) in and out.

    Keys and values may have other positions than queries, and values other channels.
    """
    q, k, v = (
        part.reshape(-1, part.shape[1] // heads, *part.shape[2:]).transpose(1, 2)
        for part in (q, k, v)
    )
    weights = (q.transpose(2, 3) * scale @ k).softmax(dim=3)
    attended: Tensor = (v @ weights.transpose(2, 3)).transpose(1, 2)
    return attended.reshape(-1, attended.shape[1] * heads, *attended.shape[2:])


def too_small(height: int, width: int, window: int) -> str | None:
    """Return why a map is too small for a window; None when it is not."""
    if min(height, width) < window:
        return f"its map of {height}x{width} is smaller than a window of {window}"
    return None
