"""Windows of a map, and attention within them: what blocks with windows share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

__all__ = [
    "attend",
    "by_grid",
    "by_window",
    "filled_up",
    "from_grid",
    "from_windows",
    "heads_of",
    "too_small",
]


def heads_of(channels: int, each: int = 32) -> int:
    """Return how many heads attention has whose heads have that many channels in its paper.

    Where `each` does not divide the channels, there are as many heads as do, at most C // each.
    """
    most = max(1, channels // each)
    return next(heads for heads in range(most, 0, -1) if channels % heads == 0)


def filled_up(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Add zeros at the end of a map, to whole windows."""
    (tall, wide), (height, width) = window, x.shape[2:]
    return functional.pad(x, (0, (wide - width % wide) % wide, 0, (tall - height % tall) % tall))


def by_window(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Cut a map into windows, with zeros at its end: (N, C, windows, positions of a window)."""
    (tall, wide), x = window, filled_up(x, window)
    channels, height, width = x.shape[1:]
    rows = x.reshape(-1, tall, width // wide, wide).transpose(1, 2)
    return rows.reshape(-1, channels, height * width // (tall * wide), tall * wide)


def from_windows(x: Tensor, window: tuple[int, int], like: Tensor) -> Tensor:
    """Put windows together again: (N, C, windows, positions) -> (N, C, H, W)."""
    (tall, wide), (height, width) = window, like.shape[2:]
    across, down = (width + wide - 1) // wide, (height + tall - 1) // tall
    rows = x.reshape(-1, across, tall, wide).transpose(1, 2)
    return rows.reshape(-1, x.shape[1], down * tall, across * wide)[:, :, :height, :width]


def by_grid(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Take positions that lie equally far apart: (N, C, grids, positions of a window).

    The map must be whole windows. There are as many grids as windows; each holds one position
    of every window.
    """
    (tall, wide), (channels, height, width) = window, x.shape[1:]
    down, across = height // tall, width // wide
    rows = x.reshape(-1, tall, down, width).transpose(1, 2)
    grids = rows.reshape(-1, tall * wide, across).transpose(1, 2)
    return grids.reshape(-1, channels, down * across, tall * wide)


def from_grid(x: Tensor, window: tuple[int, int], like: Tensor) -> Tensor:
    """Put grids together again: (N, C, grids, positions) -> (N, C, H, W)."""
    (tall, wide), (height, width) = window, like.shape[2:]
    down, across = height // tall, width // wide
    rows = x.reshape(-1, across, tall * wide).transpose(1, 2)
    lines = rows.reshape(-1, down, tall, width).transpose(1, 2)
    return lines.reshape(-1, x.shape[1], height, width)


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
