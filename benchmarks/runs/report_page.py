"""The picture of a report in docs/, and how large and how quick its page is.

    python -m benchmarks.runs.report_page runs/demo --out docs/report.png

Needs Debian's `chromium` and playwright (in the dev extra).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from nas.report import write_report
from nas.runs.run import open_run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    chromium = shutil.which("chromium")
    assert chromium, "apt install chromium"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page_file = Path(folder) / "page.html"
        began = time.perf_counter()
        write_report(open_run(given.run), page_file)
        written = time.perf_counter() - began
        # Chromium's own sandbox does not work for root in a container; the page is ours.
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1130})
        page.goto(page_file.as_uri())
        drawn = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
        networks = page.locator("#shown").inner_text()
        page.screenshot(path=given.out)
        browser.close()
        size = page_file.stat().st_size / 1000
    print(f"{networks}: {size:.0f} kB, written in {written:.1f} s, drawn in {drawn / 1000:.2f} s")


if __name__ == "__main__":
    main()
