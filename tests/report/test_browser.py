"""The page in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from support.browser import SCREENS, find_barriers, open_browser
from support.simulated_run import invented, simulated_run

from nas.report import write_report
from nas.report.pictures.predictions import Answer, Example, Predictions, _encoder
from nas.report.pictures.tasks import LegendEntry, Picture
from nas.report.server import Server
from nas.runs.run import Run
from nas.spec.architecture import Architecture, Insertion
from nas.study.budget_curves import CURVES_FILE, Advice, Curve, CurvePoint, CurvesFound
from nas.study.record import Job, Outcome

HOSTILE = "<b>' \" &</b>"
playwright = pytest.importorskip(
    "playwright.sync_api", reason="the page is not opened: pip install playwright"
)
pytestmark = pytest.mark.xdist_group("browser")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright.expect.set_options(timeout=120_000)  # a busy browser is not a fault
    with open_browser() as opened:
        yield opened


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails its test when the browser has anything to complain about."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: said.append(request.url) if "//" in request.url[8:] else 0)
    yield opened
    context.close()
    assert said == []


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, str]:
    folder = tmp_path_factory.mktemp("report")
    run = simulated_run(
        folder / "run", search={"sampler": "pareto", "trials": 25}, measured=lambda ms: ms * 1.02
    )
    write_report(run, folder / "front.html")
    return run, (folder / "front.html").as_uri()


def at(page: Any, trial: int) -> dict[str, float]:
    """Where in the front's chart a network is."""
    page.locator(f"tr[data-trial='{trial}'] .pick").click()
    ring = page.locator("[data-chart=front] .chosen")
    return {"x": float(ring.get_attribute("cx")), "y": float(ring.get_attribute("cy"))}


def test_all_charts_are_drawn(page: Any, written: tuple[Run, str]) -> None:
    run, address = written
    page.goto(address)
    assert page.locator("h1").inner_text() == "small on digits"
    for name in ("front", "volume", "best", "promise", "latency"):
        chart = page.locator(f"[data-chart={name}] svg")
        assert chart.count() == 1 and chart.get_attribute("aria-label")
    front = run.front()
    searched = sum(point.reference is None for point in front.members)
    assert page.locator("[data-chart=front] circle.front").count() == searched
    assert page.locator("[data-chart=front] path.placed").count() == len(front.references)
    assert page.locator("#points tbody tr").count() == len(front)
    assert page.locator("#points .strip-cell svg").count() == len(front)
    outside = page.evaluate(
        """() => [...document.querySelectorAll("[data-chart=front] line")].filter((line) => {
            const box = line.ownerSVGElement.viewBox.baseVal;
            return ["y1", "y2"].some((name) => line[name].baseVal.value < 0
                || line[name].baseVal.value > box.height);
        }).length"""
    )
    assert outside == 0, "bars of noise go over the page"
    drawn = page.locator("main").inner_html()
    assert "NaN" not in drawn and "undefined" not in drawn


def test_curves_over_budget_are_drawn(page: Any, tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", search={"trials": 6})
    gains = [
        CurvePoint(
            epochs=epochs, images=int(1000 * epochs), gain=gain, deviation=0.01, margin=0.03,
            points=1.0, trainings=2,
        )
        for epochs, gain in ((3.0, -0.1), (6.0, 0.1))
    ]  # fmt: skip
    CurvesFound(
        space="small", data="digits", recipe="", budgets=[3.0, 6.0], noise=None, trainings=9,
        seconds=1.0,
        curves=[
            Curve(network=name, architecture="{}", verdict="crossed", gains=gains, crossings=[4e3])
            for name in ("se/r24", "se/r24 early", "eca")
        ],
        advice=Advice(epochs=6.0, reason="longest", told=1, contradicted=1),
    ).write(run.path / CURVES_FILE)  # fmt: skip
    write_report(run, tmp_path / "front.html")
    page.goto((tmp_path / "front.html").as_uri())
    panels = page.locator("[data-chart=curves]")
    assert panels.count() == 2
    assert panels.nth(0).locator("path.curve").count() == 2
    assert panels.nth(0).locator("circle.dot").count() == 4
    assert panels.nth(1).locator("path.curve.all").count() == 1
    assert "3" in panels.nth(1).inner_text() and "epochs of training" in panels.nth(1).inner_text()
    panels.nth(1).locator("circle.dot").last.hover()
    assert "1.0 points of accuracy" in page.locator("#tip").inner_text()


def test_pictures_of_predictions_are_shown(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Picture(np.full((20, 10, 3), 90, np.uint8), HOSTILE)
    images = tuple(map(_encoder([shown]), [shown] * 5))
    told = ((True, 0), (None, 5))
    found = [Answer("plain", HOSTILE, right, images[:count]) for right, count in told]
    examples = tuple(Example(3, images[:1], (answer,)) for answer in found)
    made = Predictions(
        examples, (LegendEntry("#c2410c", HOSTILE),), "Explained.", ("trial 9: gone",)
    )
    monkeypatch.setattr("nas.report.pictures.find_predictions", lambda *_: made)
    write_report(simulated_run(tmp_path / "run", search={"trials": 4}), tmp_path / "front.html")
    page.goto((tmp_path / "front.html").as_uri())
    for width in (1400, 390):
        page.set_viewport_size({"width": width, "height": 900})
        pictures = page.locator("#predictions img")
        assert pictures.count() == 7
        drawn = pictures.evaluate_all("all => all.map((a) => [a.naturalWidth, a.clientWidth])")
        assert all(natural == 10 and shown > 20 for natural, shown in drawn), drawn
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert HOSTILE in page.locator("#predictions .text").first.inner_text()
    assert "trial 9: gone" in page.locator("#predictions").inner_text()


def test_a_click_on_a_point_shows_its_network(page: Any, written: tuple[Run, str]) -> None:
    run, address = written
    page.goto(address)
    points = [point for point in run.front().members if point.reference is None]
    for point in (points[0], points[-1]):
        place = at(page, point.trial)
        page.locator("#points .pick").first.click()  # something else
        page.locator("[data-chart=front] svg").click(position=place)
        panel = page.locator("#network")
        assert panel.locator("h3").inner_text().startswith(f"Trial {point.trial}")
        blocks = panel.locator(".cell:not(.none):not(.kept)")
        assert blocks.count() == len(point.architecture.blocks)
        titles = {cell.get_attribute("title") for cell in blocks.all()}
        assert titles == {f"{item.site}: {item.label}" for item in point.architecture.blocks}
        assert f"nas show {run.path} {point.trial}" in panel.inner_text()
    page.locator("[data-chart=front] svg").hover(position=place)
    assert page.locator("#tip").is_visible()
    assert f"Trial {point.trial}, on the front" in page.locator("#tip").inner_text()


def test_filters_hide_and_reset_shows_again(page: Any, written: tuple[Run, str]) -> None:
    run, address = written
    page.goto(address)
    every = len(run.front().cloud["trial"])
    shown = page.locator("#shown")
    assert shown.inner_text() == f"{every} of {every} networks"
    page.locator("input[name=searched]").uncheck()
    assert shown.inner_text() == f"{len(run.front())} of {every} networks"
    page.locator("select[name=kind]").select_option("eca")
    holding = [
        point for point in run.front() if any(b.block == "eca" for b in point.architecture.blocks)
    ]
    assert shown.inner_text() == f"{len(holding)} of {every} networks"
    assert page.locator("#points tbody tr:visible").count() == len(holding)
    page.locator("button[type=reset]").click()
    playwright.expect(shown).to_have_text(f"{every} of {every} networks")
    page.locator("input[name=latency]").fill("0")
    assert shown.inner_text().startswith("1 of")
    page.locator("button[type=reset]").click()
    playwright.expect(shown).to_have_text(f"{every} of {every} networks")
    page.locator("select[name=y]").select_option("accuracy")
    page.locator("select[name=x]").select_option("params")
    assert "accuracy" in page.locator("[data-chart=front]").inner_text()
    assert page.locator("[data-chart=front] .front-line").count() == 0, "not the objectives"


def test_the_keyboard_walks_along_the_front(page: Any, written: tuple[Run, str]) -> None:
    page.goto(written[1])
    chart = page.locator("[data-chart=front] svg")
    chart.focus()
    page.keyboard.press("Home")
    assert "The plain backbone" in page.locator("#tip").inner_text()
    page.keyboard.press("ArrowRight")
    assert "The plain backbone" not in (chart.get_attribute("aria-label") or "")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert page.locator("#network h3").inner_text().startswith("The plain backbone")
    for name in ("trial", "latency ms"):
        head = page.locator("#points th", has_text=name).first
        head.locator("button").press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
    times = page.locator("#points td:nth-child(4)").all_inner_texts()
    assert times == sorted(times, key=lambda text: float(text.strip("~*")))


def test_light_dark_phone_and_paper(browser: Any, written: tuple[Run, str]) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.goto(written[1])

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    dark = background()
    page.locator("[data-theme-choice=light]").click()
    assert background() != dark
    for _ in range(10):  # a busy browser may lose what a page has just stored
        page.locator("[data-theme-choice=light]").click()
        page.wait_for_timeout(100)
        page.reload()
        kept = page.locator("[data-theme-choice=light]").get_attribute("aria-pressed")
        if kept == "true":
            break
    assert kept == "true"
    page.locator("[data-theme-choice=auto]").click()
    assert background() == dark
    assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing sticks out"
    page.emulate_media(media="print")
    assert background() == "rgb(255, 255, 255)"
    assert not page.locator("#filters").is_visible()
    assert page.locator("#points").is_visible()
    page.set_viewport_size({"width": 703, "height": 1000})  # A4 without its margins
    assert page.evaluate("document.documentElement.scrollWidth") <= 703, "the table fits"
    assert page.pdf(format="A4").startswith(b"%PDF")
    context.close()


def test_a_phone_shows_answer_and_gains_without_looking_for_them(
    page: Any, written: tuple[Run, str]
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(written[1])
    answer = page.locator("#answer .answer").first.bounding_box()
    assert answer["y"] + answer["height"] < 844, "the answer is on the first screen"
    gains = page.locator("#points th", has_text="gain").bounding_box()
    assert gains["x"] + gains["width"] <= 390, "the gains are seen before the table is scrolled"


@pytest.mark.parametrize("width, colours", SCREENS)
def test_no_page_shuts_anybody_out(
    browser: Any, tmp_path: Path, written: tuple[Run, str], width: int, colours: str
) -> None:
    simulated_run(tmp_path / "done", search={"trials": 14})
    simulated_run(tmp_path / "stopped", search={"trials": 14}, stop_after=9)
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=colours, reduced_motion="reduce"
    )
    page = context.new_page()
    with Server(tmp_path) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        for address in (written[1], server.url, f"{server.url}stopped/"):
            page.goto(address)
            for details in page.locator("details").all():
                details.evaluate("(shown) => { shown.open = true; }")
            assert find_barriers(page) == [], address
        context.close()
        server.shutdown()
        thread.join()


def test_every_control_has_a_name(page: Any, written: tuple[Run, str]) -> None:
    page.goto(written[1])
    nameless = page.evaluate(
        """[...document.querySelectorAll('button, select, input, svg[role=img], [role=region]')]
        .filter((item) => !item.ariaLabel && !item.closest('label') && !item.textContent.trim())
        .map((item) => item.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map((h) => +h.tagName[1])")
    assert levels[0] == 1 and all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_network_is_drawn_for_all(browser: Any, tmp_path: Path, colours: str) -> None:
    labels = ("se/r24", "coord/r32", "cbam/r16/k7", "eca", "ema", "simam", "bam/r16", "gc/r16")
    blocks = [Insertion.of(f"blocks.{at}.0/after_depthwise", one) for at, one in enumerate(labels)]
    Architecture("net", 32, tuple(blocks)).draw().save(tmp_path / "net.svg")
    page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=colours)
    page.goto((tmp_path / "net.svg").as_uri())
    assert page.evaluate("document.documentElement.getBoundingClientRect().width") <= 390
    assert find_barriers(page, "serious") == []
    page.close()


@pytest.mark.parametrize("stop_after", [0, 1, 4])
def test_a_run_with_little_or_nothing(page: Any, tmp_path: Path, stop_after: int) -> None:
    run = simulated_run(tmp_path / "run", stop_after=stop_after)
    write_report(run, tmp_path / "page.html")
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("#filters").is_visible() == (stop_after > 0)
    if not stop_after:
        assert "No network is complete yet" in page.locator("[data-chart=front]").inner_text()


def test_hostile_names_do_nothing(page: Any, tmp_path: Path) -> None:
    def evaluate(job: Job) -> Outcome:
        if job.trial == 5:
            return Outcome(failure="<img src=x onerror=\"document.title='owned'\"></script>")
        return invented(job)

    data = "</script><script>document.title='owned'</script>"
    run = simulated_run(tmp_path / "run", evaluate=evaluate, search={"trials": 8}, data=data)
    write_report(run, tmp_path / "page.html")
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator("h1").inner_text() == f"small on {data}"
    assert "owned" not in page.title().replace(data, "")
    assert page.locator("main img, main script").count() == 0


def test_several_runs_stand_on_one_page_that_follows_them(page: Any, tmp_path: Path) -> None:
    for name in ("a", HOSTILE.replace("/", "")):
        simulated_run(tmp_path / "runs" / name, search={"trials": 12, "sampler": "random"})
    with Server(tmp_path / "runs") as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        page.goto(server.url)
        assert page.locator("#compare circle.run0").count() > 1
        for width in (1400, 390):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        playwright.expect(page.locator("#live")).to_have_text("following the runs")
        simulated_run(tmp_path / "runs" / "late", search={"trials": 4})
        playwright.expect(page.locator("h1")).to_contain_text("3 runs")
        page.locator("a", has_text="late").click()
        assert page.locator("h1").inner_text() == "small on digits"
        page.locator("a", has_text="all runs").click()
        assert "3 runs" in page.locator("h1").inner_text()
        server.shutdown()
        thread.join()


def test_a_live_page_follows_its_run(browser: Any, tmp_path: Path) -> None:
    late = simulated_run(tmp_path / "late", search={"trials": 14})
    run = simulated_run(tmp_path / "run", search={"trials": 14}, stop_after=9)
    with Server(run) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        page = browser.new_page()
        page.goto(server.url)
        before = page.locator("#shown").inner_text()
        page.locator("input[name=reference]").uncheck()
        page.locator("details summary", has_text="run.yaml").click()
        assert page.locator(".state").inner_text() == "stopped"
        (run.path / "study.journal").write_bytes((late.path / "study.journal").read_bytes())
        (run.path / "events.log").write_bytes((late.path / "events.log").read_bytes())
        playwright.expect(page.locator(".state")).to_have_text("finished")
        assert page.locator("#shown").inner_text() != before
        playwright.expect(page.locator("#live")).to_contain_text("still watching")
        # What the reader has set stays.
        assert not page.locator("input[name=reference]").is_checked()
        assert page.locator("[data-chart=front] path.placed").count() == 0
        assert page.locator("details", has_text="run.yaml").get_attribute("open") is not None
        page.close()
        server.shutdown()
        thread.join()
