from __future__ import annotations

import pytest

import nas


def test_a_network_is_drawn_over_its_whole_backbone() -> None:
    network = nas.uniform("mobilenetv2_035", "coord", reduction=32, resolution=32)
    drawn = nas.draw(network)
    assert drawn._repr_html_().count(">coord<") == len(network.blocks)
    assert "16×16 · " in drawn.svg and drawn.alternative.startswith("mobilenetv2_035 at 32x32")
    plain = nas.draw(network.plain)
    assert plain.svg.count("<rect") == drawn.svg.count("<rect"), "positions of papers"
    with pytest.raises(nas.SpecError, match="unknown backbone"):
        nas.draw(nas.Architecture("mobilnet"))
