"""`nas blocks` as its users meet it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nas.blocks import BLOCKS


def test_blocks_lists_what_there_is(nas) -> None:  # type: ignore[no-untyped-def]
    found = {row["name"]: row for row in json.loads(nas("blocks", "--json").out)}
    assert found.keys() == BLOCKS.keys()
    assert (found["se"]["params"], found["se"]["options"]["reduction"][0]) == (1640, 24)
    assert found["se"]["published"]["studies"] > 20 and found["simam"]["published"] is None
    assert 0 < found["se"]["published"]["mean"] < 2 * found["se"]["published"]["deviation"]
    measured = found["bra"]["measured"]
    assert measured["time"] > found["se"]["measured"]["time"] > 0
    assert measured["refused_by"] == ["ncnn"] and "topk" in measured["failures"]["ncnn"]
    assert measured["accelerators"]["NNAPI (Android)"]["outside"]["TopK"] == 1
    assert measured["timed"]["site"]["channels"] == 96 and measured["timed"]["machine"]
    tight = json.loads(nas("blocks", "--channels", 17, "--side", 1, "--json").out)
    refused = {row["name"]: row["refused"] for row in tight}
    assert refused["simam"] == "a map of one position has no variance"
    assert "its 17 channels do not divide" in refused["fca"]
    assert "not here: a map of one" in " ".join(nas("blocks", "--side", 1).out.split())


def test_blocks_on_a_map_that_is_not_square(nas) -> None:  # type: ignore[no-untyped-def]
    found = {row["name"]: row for row in json.loads(nas("blocks", "--side", "14x7", "--json").out)}
    other = {row["name"]: row for row in json.loads(nas("blocks", "--side", "7x14", "--json").out)}
    assert found["coord"]["macs"] == other["coord"]["macs"] > 0
    assert "On a map of 96x14x7" in nas("blocks", "--side", "14x7").out
    wrong = nas("blocks", "--side", "14x")
    assert (wrong.code, wrong.err) == (
        2,
        "error: --side: size '14x'; allowed: whole pixels, or height x width, as in \"224x160\"\n",
    )


def test_blocks_says_in_words_what_was_measured(nas) -> None:  # type: ignore[no-untyped-def]
    said = " ".join(nas("blocks").out.split())
    assert "not in ncnn; partly in NNAPI, Core ML" in said
    assert "behind blocks.4.1/after_projection of mobilenetv2_100 (96x14x14" in said


def test_a_block_of_ones_own_has_no_measured_figures(  # type: ignore[no-untyped-def]
    nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.blocks.BLOCKS", {"mine": replace(BLOCKS["se"], name="mine")})
    (row,) = json.loads(nas("blocks", "--json").out)
    assert (row["measured"], row["published"]) == (None, None) and row["params"] == 1640
    shown = nas("blocks").out
    assert "mine" in shown and "Time:" not in shown and "partly in" not in shown
