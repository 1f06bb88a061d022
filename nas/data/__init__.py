"""Images as uint8 tensors of one size with their annotations, cut into training and validation.

The test part of a data set is opened by `open_test` alone: a search cannot see it.
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
from nas.data.geometry import IGNORED, boxes_back, clip_boxes, map_back
from nas.data.kinds import (
    DATA,
    check_source,
    guess_annotated,
    resolve_source,
    resolve_validation,
)
from nas.data.original import OriginalBoxes, OriginalMasks, original_boxes, original_masks
from nas.data.reading import Annotated, Merging, Reading

__all__ = [
    "DATA",
    "IGNORED",
    "Annotated",
    "Dataset",
    "Merging",
    "OriginalBoxes",
    "OriginalMasks",
    "Reading",
    "Split",
    "boxes_back",
    "cached_data",
    "check_source",
    "clip_boxes",
    "data_names",
    "guess_annotated",
    "load_data",
    "map_back",
    "open_data",
    "open_test",
    "original_boxes",
    "original_masks",
    "resolve_source",
    "resolve_validation",
    "same_images",
]
