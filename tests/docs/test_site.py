"""The site of docs/ is built as `make docs` does it, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from support.browser import SCREENS, find_barriers, open_browser
from support.documentation import ROOT, pages

pytest.importorskip("mkdocs", reason="the site needs the extra docs")
pytest.importorskip("material", reason="the site needs the extra docs")

_LOADED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]+\bsrc="?(https?:|//)"""
    r"""|<link[^>]+rel="?(?:stylesheet|preconnect|preload|icon)[^>]+href="?(https?:|//)"""
)
_TARGET = re.compile(r"""(?:href|src)=["']?([^"'\s>]+)""")
_ELSEWHERE = re.compile(r"[a-z]+:|#|//")


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


def test_links_and_pictures_lead_to_files_of_the_site(site: Path) -> None:
    for path in site.rglob("*.html"):
        if path.name == "404.html":  # served from anywhere, so its links begin at the root
            continue
        for target in _TARGET.findall(path.read_text()):
            if not _ELSEWHERE.match(target):
                name = unquote(re.split("[?#]", target)[0])
                assert (path.parent / name).exists(), f"{path.relative_to(site)}: {target}"


def test_published_fronts_are_in_it(site: Path) -> None:
    for readme in (ROOT / "results").rglob("README.md"):
        folder = site / readme.parent.relative_to(ROOT)
        assert (folder / "index.html").exists(), readme
    assert list(site.rglob("results/**/front.png"))


def test_notes_for_the_tests_are_not_seen(site: Path) -> None:
    for path in site.rglob("*.html"):
        shown = re.sub(r"<!--.*?-->", "", path.read_text(), flags=re.DOTALL)
        assert "not run:" not in shown, path.name


def test_the_search_finds_something_when_the_site_is_opened_as_files(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="no browser opens the site")
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.locator("input.md-search__input").click()
        page.keyboard.type("squeeze")
        playwright.expect(page.locator(".md-search-result__item").first).to_be_visible()
    assert all(address.startswith(("file:", "data:", "blob:")) for address in asked), asked


def test_no_page_shuts_anybody_out(site: Path) -> None:
    with open_browser() as browser:
        for width, colours in SCREENS:
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=colours)
            for name in ("index", "start/detector", "exporting"):
                page.goto((site / f"{name}.html").as_uri())
                # Left: landmarks of the theme around code that bear no name each, and tables whose
                # first column needs no heading.
                assert find_barriers(page, "serious") == [], (name, width, colours)
            page.close()
