"""The site of docs/ is built as `make docs` does it, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.documentation import ROOT, pages

pytest.importorskip("mkdocs", reason="the site needs the extra docs")
pytest.importorskip("material", reason="the site needs the extra docs")

_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+\bsrc="?(https?:|//)"""
    r"""|<link[^>]+rel="?(?:stylesheet|preconnect|preload|icon)[^>]+href="?(https?:|//)"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "built"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    return folder


def test_every_page_is_in_it(site: Path) -> None:
    wanted = {page.stem for page in pages() if page.parent == ROOT / "docs"}
    assert wanted <= {path.stem for path in site.glob("*.html")}
    index = (site / "index.html").read_text()
    assert all(f'href="{name}.html"' in index for name in wanted - {"index"})


def test_it_loads_nothing_from_elsewhere(site: Path) -> None:
    for path in site.rglob("*.html"):
        assert not _LOADED.search(path.read_text()), path.name
    for path in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import )[\"']?(?:https?:|//)[^)]*", path.read_text())
        assert not found, f"{path.name}: {found}"


def test_notes_for_the_tests_are_not_seen(site: Path) -> None:
    for path in site.rglob("*.html"):
        shown = re.sub(r"<!--.*?-->", "", path.read_text(), flags=re.DOTALL)
        assert "not run:" not in shown, path.name
