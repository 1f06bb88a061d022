"""`nas space` as its users meet it."""

from __future__ import annotations

import json
from pathlib import Path


def test_space_lists_sites(nas, small_space: Path) -> None:  # type: ignore[no-untyped-def]
    ran = nas("space", small_space)
    assert "blocks.1" in ran.out
    assert "16x16" in ran.out
    found = json.loads(nas("space", small_space, "--json").out)
    assert found["architectures"] == 3 * 4**5
    sites = found["sites"]["mobilenetv2_035"]
    assert sites[0]["channels"] == 48
