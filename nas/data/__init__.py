"""Images as uint8 tensors of one resolution, cut into training and validation parts.

The test part of a data set is opened by `open_test` alone: a search cannot see it (DESIGN,
contract 5).
"""

from __future__ import annotations

from nas.data.dataset import Channels, Dataset, Split
from nas.data.decoded import cached_data, load_data, open_data, open_test
from nas.data.kinds import DATA, check_source, resolve_source

__all__ = [
    "DATA",
    "Channels",
    "Dataset",
    "Split",
    "cached_data",
    "check_source",
    "load_data",
    "open_data",
    "open_test",
    "resolve_source",
]
