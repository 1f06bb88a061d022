"""What is said where an optional package is not here, or does not work."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.base.optional_package import import_optional, install

HERE = r'by the package peeler, which is not here; pip install "attention-nas\[a\]"$'


def peeler() -> object:
    return import_optional("peeler", "peel", "a", "apples are peeled by the package peeler")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "peeler", raising=False)
    return tmp_path


def test_a_package_that_is_here_is_returned(place: Path) -> None:
    (place / "peeler.py").write_text("peel = 3")
    assert peeler().peel == 3  # type: ignore[attr-defined]
    del sys.modules["peeler"]


def test_one_that_is_not_names_the_command() -> None:
    with pytest.raises(SpecError, match=HERE):
        peeler()
    assert install("a") == 'pip install "attention-nas[a]"'


def test_a_folder_of_its_name_is_not_the_package(place: Path) -> None:
    (place / "peeler").mkdir()
    with pytest.raises(SpecError, match=HERE):
        peeler()
    del sys.modules["peeler"]


def test_one_that_does_not_work_says_why(place: Path) -> None:
    (place / "peeler.py").write_text("import no_such_knife")
    with pytest.raises(SpecError, match=r"which cannot be imported \(No module named 'no_such_kn"):
        peeler()
