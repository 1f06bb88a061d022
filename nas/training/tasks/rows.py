"""The rows of an epoch, in the order in which they are trained on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["shuffled", "together"]

_PICTURES = 4
"""Of each identity in a batch: as many as arXiv:1703.07737 and most since take."""


def shuffled(count: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """Return all of `count` rows in random order, but for those that fill no batch."""
    return torch.randperm(count, generator=generator)[: count // batch_size * batch_size]


def together(labels: Tensor, batch_size: int, generator: torch.Generator) -> Tensor:
    """Return rows of batches that hold several pictures of each of several identities.

    A batch of P identities with 4 pictures holds the first picture of each, then the second of
    each, and so on, so that processes that share it have whole identities. Where there are fewer
    than P, each comes with more pictures; in a batch of fewer than 8, with fewer, so that there are
    two identities at least.
    An identity comes about as often as it has pictures for; where it has too few, they come again.

    labels: (N,), the identity of each image.
    Returns (N // batch_size * batch_size,).
    """
    rows_of = [torch.nonzero(labels == label)[:, 0] for label in np.unique(labels.numpy()).tolist()]
    pictures = max(1, min(_PICTURES, batch_size // 2))
    identities = min(-(-batch_size // pictures), len(rows_of))
    pictures = -(-batch_size // identities)
    turns: list[list[Tensor]] = [[] for _ in rows_of]
    batches = []
    for _ in range(len(labels) // batch_size):
        if sum(map(bool, turns)) < identities:
            turns = [_turns(rows, pictures, generator) for rows in rows_of]
        left = torch.tensor([float(len(mine)) for mine in turns])
        chosen = torch.multinomial(left, identities, generator=generator)
        batch = torch.stack([turns[identity].pop() for identity in chosen.tolist()], dim=1)
        batches.append(batch.flatten()[:batch_size])
    return torch.cat(batches)


def _turns(rows: Tensor, pictures: int, generator: torch.Generator) -> list[Tensor]:
    """Return the pictures of an identity in random order, cut into turns of so many each.

    The first come again where the last turn would be short.
    """
    order = rows[torch.randperm(len(rows), generator=generator)]
    count = -(-len(rows) // pictures)
    return list(order[torch.arange(count * pictures) % len(rows)].reshape(count, pictures))
