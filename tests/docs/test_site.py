"""The site of docs/ is built as `make docs` does it, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
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


def test_the_search_finds_something_when_the_site_is_opened_as_files(site: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    playwright = pytest.importorskip("playwright.sync_api", reason="no browser opens the site")
    if chromium is None:
        pytest.skip("no browser opens the site: apt install chromium")
    with playwright.sync_playwright() as driver:
        # Chromium's own sandbox does not work for root in a container; the page is ours.
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.locator("input.md-search__input").click()
        page.keyboard.type("squeeze")
        playwright.expect(page.locator(".md-search-result__item").first).to_be_visible()
        browser.close()
    assert all(address.startswith(("file:", "data:", "blob:")) for address in asked), asked
