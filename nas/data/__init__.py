"""Images as uint8 tensors of one size, cut into training and validation parts.

The test part of a data set is opened by `open_test` alone: a search cannot see it (DESIGN,
contract 5).
"""

from __future__ import annotations

from nas.data.dataset import Dataset, Split
from nas.data.decoded import (
    cached_data,
    data_names,
    load_data,
    open_data,
    open_test,
    same_images,
)
from nas.data.kinds import DATA, check_source, resolve_source, resolve_validation
from nas.data.reading import Reading

__all__ = [
    "DATA",
    "Dataset",
    "Reading",
    "Split",
    "cached_data",
    "check_source",
    "data_names",
    "load_data",
    "open_data",
    "open_test",
    "resolve_source",
    "resolve_validation",
    "same_images",
]
