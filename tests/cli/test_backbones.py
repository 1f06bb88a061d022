"""`nas backbones` as its users meet it."""

from __future__ import annotations

import json


def test_backbones_lists_the_line_up_and_patterns(nas) -> None:  # type: ignore[no-untyped-def]
    found = json.loads(nas("backbones", "mobilenetv2_0[35]*", "--resolution", 64, "--json").out)
    assert [row["name"] for row in found] == ["mobilenetv2_035", "mobilenetv2_050"]
    assert found[1]["sites"] == {
        "after_depthwise": 17,
        "after_projection": 17,
        "after_residual": 10,
    }
    assert "has no site" in " ".join(nas("backbones", "vit_tiny_patch16_224").out.split())
    assert nas("backbones", "mobilenet_v9").code == 2
