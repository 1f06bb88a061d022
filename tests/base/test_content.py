from __future__ import annotations

from pathlib import Path

import pytest
from support.documentation import ROOT

from nas.base.content import content_files, content_path
from nas.base.errors import SpecError
from nas.spec.runner import load_runner
from nas.spec.space import parse_space


def test_spaces_and_runners_are_found_by_name_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert set(content_files("search_spaces")) == {
        path.stem for path in (ROOT / "search_spaces").glob("*.yaml")
    }
    for name in (
        "mobilenetv2-small",
        "mobilenetv2-small.yaml",
        "search_spaces/mobilenetv2-small.yaml",
    ):
        assert parse_space(name).name == "mobilenetv2-small"
    assert load_runner("local") == load_runner(ROOT / "runners" / "local.yaml")


def test_a_file_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = Path("mobilenetv2.yaml")
    own.write_text("mine")
    assert content_path("search_spaces", own) == own
    # A path elsewhere is that path, and no name.
    elsewhere = Path("other/mobilenetv2.yaml")
    assert content_path("search_spaces", elsewhere) == elsewhere
    assert (
        content_path("search_spaces", tmp_path / "stage-wise.yaml") == tmp_path / "stage-wise.yaml"
    )


@pytest.mark.parametrize("name", ["mobilenetv9", "mobilenetv9.yaml", "nowhere/mobilenetv2.yaml"])
def test_a_name_of_nothing_lists_those_that_there_are(name: str) -> None:
    with pytest.raises(SpecError, match=rf"{name}: No such file .*; by name there are autonl, .*"):
        parse_space(name)
