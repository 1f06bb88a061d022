from __future__ import annotations

import pytest

from nas.backbones import find_sites, plain_network
from nas.models.held_blocks import count_starts
from nas.spec.architecture import Architecture, Insertion
from nas.spec.task import Task


@pytest.mark.parametrize(
    ("backbone", "found"),
    [
        ("mobilenetv3_small_050", {"se_hard": 9}),
        ("torchvision/mobilenet_v3_small", {"se_hard": 9}),
        ("mnasnet_small", {"se": 10}),
        ("efficientnet_b0", {}),  # SiLU within
    ],
)
def test_the_kinds_of_filled_slots_are_told_by_what_starts_as_them(
    backbone: str, found: dict[str, int]
) -> None:
    sites = [site.name for site in find_sites(backbone, 64) if site.filled]
    emptied = Architecture(backbone, 64, tuple(Insertion(name, "none") for name in sites))
    weights = plain_network(backbone, num_classes=5).state_dict()
    assert count_starts(emptied, Task(outputs=5), weights) == found
