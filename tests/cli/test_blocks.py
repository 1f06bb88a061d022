"""`nas blocks` as its users meet it."""

from __future__ import annotations

import json

from nas.blocks import BLOCKS


def test_blocks_lists_what_there_is(nas) -> None:  # type: ignore[no-untyped-def]
    found = {row["name"]: row for row in json.loads(nas("blocks", "--json").out)}
    assert found.keys() == BLOCKS.keys()
    assert (found["se"]["params"], found["se"]["options"]["reduction"][0]) == (1640, 24)
    tight = json.loads(nas("blocks", "--channels", 17, "--side", 1, "--json").out)
    refused = {row["name"]: row["refused"] for row in tight}
    assert refused["simam"] == "a map of one position has no variance"
    assert "its 17 channels do not divide" in refused["fca"]
    assert "not here: a map of one" in " ".join(nas("blocks", "--side", 1).out.split())
