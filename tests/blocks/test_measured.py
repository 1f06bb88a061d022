"""What was measured of blocks, which `nas blocks` tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.blocks import BLOCKS
from nas.blocks.block import Shape
from nas.blocks.measured import MeasuredBlocks

MEASURED = MeasuredBlocks.load()


def test_every_block_was_measured_where_it_fits() -> None:
    """A new one: python -m benchmarks.blocks.measured NAME."""
    assert MEASURED.blocks.keys() == BLOCKS.keys()
    site = MEASURED.site
    for name, block in BLOCKS.items():
        refused = block.applies(Shape(site.channels, site.height, site.width))
        assert (MEASURED.blocks[name].time is None) == (refused is not None), name


def test_what_takes_a_block_gives_the_scores_of_torch() -> None:
    for name, block in MEASURED.blocks.items():
        assert "onnxruntime" in block.taken_by, name
        assert {*block.taken_by, *block.refused_by} == block.differences.keys()
        assert set(block.failures) <= set(block.refused_by), "a reason is of what does not run"
    assert MEASURED.blocks["bra"].refused_by == ("ncnn",)
    assert "topk" in MEASURED.blocks["bra"].failures["ncnn"]


def test_a_difference_of_a_wrong_operator_is_no_agreement() -> None:
    block = MEASURED.blocks["se"]
    wrong = block.model_copy(update={"differences": {"onnxruntime": 1e-3, "openvino": 1e-6}})
    assert (wrong.taken_by, wrong.refused_by) == (("openvino",), ("onnxruntime",))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"machine": 3}, "machine"),
        ({"site": None}, "site"),
        ({"version": 2}, "version"),
        ({"more": 1}, "more"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path: Path, found: dict[str, object], said: str) -> None:
    path = tmp_path / "measured.json"
    path.write_text(json.dumps(MEASURED.model_dump() | found))
    with pytest.raises(SpecError, match=said) as caught:
        MeasuredBlocks.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(SpecError, match=r"benchmarks\.blocks\.measured writes one"):
        MeasuredBlocks.load(tmp_path / "none.json")
