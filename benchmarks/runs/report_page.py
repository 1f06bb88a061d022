"""The picture of a report in docs/, and how large and how quick its page is.

    python -m benchmarks.runs.report_page results/SPACE/DATASET/DEVICE --out docs/report.png
    python -m benchmarks.runs.report_page --networks 10000

The second is of an invented study, as `benchmarks.runs.front_speed` makes them, with its journal.
Needs Debian's `chromium` and playwright (in the dev extra).
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.runs.front_speed import make_run, records
from nas.report import write_report
from nas.runs.run import open_run
from nas.spec.objective import objectives_named
from nas.strategy.storage.store import Store
from nas.study.record import Job
from nas.study.trials import Trials


def invented_run(path: Path, networks: int) -> Path:
    """Make a finished run of so many trials, with the journal that a report reads."""
    rows = records(networks)
    make_run(path, Trials.of(rows))
    (path / "study.journal").unlink()
    (path / "trials.parquet").unlink()
    store = Store.create(path / "study.journal", objectives_named(["loss", "latency_ms"]))
    for row in rows:
        job = Job(row.trial, row.architecture, row.digest, row.seed, row.reference, row.repeat)
        store.start(job, {}, {}, {})
        values = None if row.loss is None else [row.loss, row.latency_ms or 0.0]
        store.finish(row, values)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--networks", type=int, default=10_000)
    given = parser.parse_args()
    chromium = shutil.which("chromium")
    assert chromium, "apt install chromium"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        page_file = Path(folder) / "page.html"
        run = given.run or invented_run(Path(folder) / "run", given.networks)
        began = time.perf_counter()
        write_report(open_run(run), page_file, images=given.run is not None)
        written = time.perf_counter() - began
        # Chromium's own sandbox does not work for root in a container; the page is ours.
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1500})
        page.goto(page_file.as_uri())
        drawn = page.evaluate("performance.getEntriesByType('navigation')[0].domComplete")
        networks = page.locator("#shown").inner_text()
        if given.out:
            page.screenshot(path=given.out)
        browser.close()
        size = page_file.stat().st_size / 1000
    print(f"{networks}: {size:.0f} kB, written in {written:.1f} s, drawn in {drawn / 1000:.2f} s")


if __name__ == "__main__":
    main()
