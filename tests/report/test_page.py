from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from support.simulated_run import invented, simulated_run

from nas.base.errors import SpecError, StorageError
from nas.report import write_report
from nas.report.backbone_sites import find_backbone_sites
from nas.report.chart_data import collect_chart_data
from nas.report.page import SECTIONS, render
from nas.report.snapshot import Snapshot
from nas.runs.run import Run, open_run
from nas.spec.task import Task
from nas.strategy.storage.store import Store
from nas.study.budget_curves import (
    CURVES_FILE,
    Advice,
    Curve,
    CurvePoint,
    CurvesFound,
)
from nas.study.calibration import FILE, Calibration, Estimate, Trust
from nas.study.full_training import FullTraining
from nas.study.record import Job, Outcome

HOSTILE = "</script><script>alert('x')</script><img src=x onerror=alert(1)> & {{ 7*7 }}"


class _Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "run"
    return simulated_run(path, search={"sampler": "pareto"}, measured=lambda ms: ms * 1.02)


def data_of(page: str) -> dict:  # type: ignore[type-arg]
    found = re.search(r'<script type="application/json" id="data"[^>]*>(.*?)</script>', page, re.S)
    assert found
    return dict(json.loads(found[1]))


def policy_of(page: str) -> str:
    return next(
        attributes["content"] or ""
        for tag, attributes in _Elements(page).tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )


def test_a_page_stands_alone(run: Run) -> None:
    page = render(run)
    for tag, attributes in _Elements(page).tags:
        assert tag not in {"link", "img", "iframe", "base", "object"}
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes), "handlers are in the script"
        assert "style" not in attributes, "the policy forbids it"
        target = attributes.get("href")
        assert target is None or target.startswith("#")
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page


def test_the_policy_lets_its_own_script_run_and_no_other(run: Run) -> None:
    page = render(run)
    policy = policy_of(page)
    script = page[page.rindex("<script>") + len("<script>") : page.rindex("</script>")]
    style = page[page.index("<style>") + len("<style>") : page.index("</style>")]
    for kind, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert "connect-src" not in policy
    assert "connect-src 'self'" in policy_of(render(run, live=True))


def test_the_page_holds_the_front(run: Run) -> None:
    page = render(run)
    data, front = data_of(page), run.front()
    shown = {item["trial"]: item for item in data["networks"]}
    assert {point.trial for point in front} <= set(shown)
    assert len(shown) == len(front.cloud["trial"]) == data["every"]
    for point in front:
        item = shown[point.trial]
        assert item["front"] == point.on_front and item["reference"] == point.reference
        assert item["latency_ms"] == pytest.approx(point.latency_ms, rel=1e-5)
        sites = data["backbones"][item["backbone"]]["sites"]
        placed = {sites[site]["name"]: data["labels"][label] for site, label in item["blocks"]}
        assert placed == {part.site: part.label for part in point.architecture.insertions}
    assert data["progress"]["promises"], "this sampler promises"
    snapshot = Snapshot.of(run)
    for section in SECTIONS:
        assert (f'id="{section.name}"' in page) == section.shown(snapshot)
    text = " ".join(_Elements(page).text)
    assert "It is not known for this run" in text
    assert "they differ by" in text


def test_sites_come_in_the_order_of_the_data(run: Run) -> None:
    (backbone,) = find_backbone_sites(run.space, Task(), []).values()
    sides = [site.height or 0 for site in backbone.sites]
    assert sides == sorted(sides, reverse=True) and sides[0] == 16
    assert backbone.sites[0].name == "blocks.1.0/after_depthwise"


def test_maps_that_are_not_square_are_drawn_with_both_sides(run: Run) -> None:
    space = run.space.model_copy(update={"resolutions": [32, "32x48"]})
    found = find_backbone_sites(space, Task(), [])
    assert [backbone.resolution for backbone in found.values()] == [32, "32x48"]
    spot = found["mobilenetv2_035", "32x48"].sites[0]
    assert (spot.height, spot.width) == (16, 24)


def test_users_code_is_not_run_for_a_report(run: Run) -> None:
    space = run.space.model_copy(update={"backbones": ["antigravity:fly"]})
    points = run.front().points
    found = find_backbone_sites(space, Task(), [point.architecture for point in points])
    spots = found["mobilenetv2_035", 32].sites
    assert spots[0].name == "blocks.1.0/after_depthwise" and spots[0].height is None
    assert len(spots) > 5


@pytest.mark.parametrize("where", ["name", "failure", "data", "user label"])
def test_what_a_run_says_is_text_and_never_markup(tmp_path: Path, where: str) -> None:
    def evaluate(job: Job) -> Outcome:
        if where == "failure" and job.trial > 5:
            return Outcome(failure=HOSTILE)
        return invented(job)

    run = simulated_run(
        tmp_path / "run",
        evaluate=evaluate,
        search={"trials": 10, "confirm_seeds": 1},
        data=HOSTILE if where == "data" else "digits",
    )
    if where == "name":
        run = replace(run, space=run.space.model_copy(update={"name": HOSTILE}))
    if where == "user label":
        journal = run.path / "study.journal"
        text = journal.read_text()
        hostile = json.dumps(json.dumps(HOSTILE)[1:-1])[1:-1]
        journal.write_text(text.replace('\\"se\\"', f'\\"{hostile}\\"'))
    page = render(run)
    tags = [tag for tag, _ in _Elements(page).tags]
    assert "img" not in tags
    assert tags.count("script") == 2
    assert "<script>alert" not in page and "<img" not in page
    if where != "user label":
        assert HOSTILE in "".join(_Elements(page).text)


def test_a_run_without_anything_has_a_page(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", stop_after=0)
    page = render(run)
    assert "No network is complete yet." in page
    assert "there is no front" in page
    assert '<p class="state stopped">' in page
    assert data_of(page)["networks"] == []


def test_full_training_stands_beside_the_proxy(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "run"
    shutil.copytree(run.path, path)
    member = next(point for point in run.front().members if point.reference is None)
    store = Store(path / "study.journal", writable=True)
    for seed, accuracy in ((0, 0.70), (1, 0.72)):
        about = FullTraining(
            member.trial, member.architecture.digest, None, seed, "key", {}, "9 epochs", 32
        )
        store.note_full_training(
            replace(
                about, loss=1.0, accuracy=accuracy, test_accuracy=accuracy - 0.1, test_images=100
            )
        )
    page = render(open_run(path))
    row = re.search(rf'<tr data-trial="{member.trial}".*?</tr>', page, re.S)
    assert row and "71.00 ± 1.41" in row[0] and "61.00 ± 1.41" in row[0]
    assert "fully trained %" not in render(run)
    shown = {network["trial"]: network for network in data_of(page)["networks"]}
    assert shown[member.trial]["retrained_accuracy"] == pytest.approx(0.71)
    assert "retrained_accuracy" not in shown[0]


def test_suppression_stands_beside_the_latency_of_detectors(run: Run, tmp_path: Path) -> None:
    def detector(job: Job) -> Outcome:
        outcome = invented(job)
        assert outcome.evaluation is not None
        if job.reference == "plain":  # as of an evaluation that did not keep it
            return outcome
        return Outcome(replace(outcome.evaluation, suppression_ms=1.25))

    page = render(simulated_run(tmp_path / "run", evaluate=detector))
    assert "boxes ms" in page and "what keeping them takes beside the latency" in page
    rows = re.findall(r'<tr data-trial="(\d+)".*?</tr>', page, re.S)
    timed = re.findall(r'<td data-value="1.25">1.250</td>', page)
    assert len(rows) > 1 and 0 < len(timed) < len(rows)
    assert "boxes ms" not in render(run)


def test_failures_are_listed(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", evaluate=lambda job: Outcome(failure="loss is nan"))
    page = render(run)
    assert "trial 0 FAILED: loss is nan" in page
    assert "8 FAILED" in page


def test_a_killed_run_says_how_to_go_on(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", stop_after=12)
    page = render(run)
    assert f"<code>nas resume {run.path}</code>" in page
    assert "1 RUNNING" in page


def test_a_driver_at_work_is_seen(tmp_path: Path) -> None:
    from nas.runs.lock import run_lock

    run = simulated_run(tmp_path / "run", stop_after=3)
    with run_lock(run.path):
        assert Snapshot.of(run).state == "running"
    assert Snapshot.of(run).state == "stopped"


def test_a_run_from_before_has_a_page(run: Run, tmp_path: Path) -> None:
    """Records without today's fields, no environment.json, no events.log."""
    shutil.copytree(run.path, tmp_path / "old")
    for name in ("environment.json", "events.log"):
        (tmp_path / "old" / name).unlink()
    journal = tmp_path / "old" / "study.journal"
    kept = re.sub(r'"(parts|loss_sem|latency_predicted|rungs)":[^,}]+,', "", journal.read_text())
    assert "loss_sem" not in kept
    journal.write_text(kept)
    page = render(open_run(tmp_path / "old"))
    assert "environment.json is missing" in page
    assert len(data_of(page)["networks"]) == len(run.front().cloud["trial"])


def test_a_broken_run_is_one_error(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.path, tmp_path / "broken")
    (tmp_path / "broken" / "study.journal").unlink()
    with pytest.raises(StorageError, match="study.journal"):
        render(open_run(tmp_path / "broken"))


def test_a_calibration_is_shown_with_its_bias(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", search={"trials": 6})
    some = Estimate(value=0.8, low=0.7, high=0.9)
    trust = Trust(
        name="probe", budget="3 epochs", cost=0.05, seeds=1, spearman=some, kendall=some,
        best_kendall=some, bias={"se": Estimate(value=-0.2, low=-0.3, high=-0.1)}, apart=1.2,
        seeds_needed=3,
    )  # fmt: skip
    Calibration(
        space="small", data="digits", networks=30, seeds=3, full="scratch, 40 epochs",
        full_seconds=100.0, accuracy=90.0, spread=0.5, seed_noise=0.2, ceiling=0.9,
        best_ceiling=0.5, full_seeds_needed=2, proxies=[trust],
    ).write(run.path / FILE)  # fmt: skip
    page = render(run)
    assert "Trustworthy above 1.2 points of accuracy" in page
    assert "It punishes se" in page
    assert "It is not known for this run" not in page
    assert data_of(page)["trust"]["bias"] == [
        {"name": "se", "value": -0.2, "low": -0.3, "high": -0.1}
    ]


def test_what_was_gained_and_may_be_left_is_shown(tmp_path: Path) -> None:
    run = simulated_run(tmp_path / "run", search={"sampler": "pareto", "trials": 24}, believed=True)
    page = render(run)
    found = data_of(page)["progress"]["prospects"]
    assert found["unit"] == "points" and found["rows"]
    for _, gain, low, high, regret in found["rows"]:
        assert low <= gain <= high and regret >= 0
    text = " ".join("".join(_Elements(page).text).split())
    assert "Best gain over plain +" in text and "may be left, points" in text
    assert text.index("Best gain over plain") < text.index("Hypervolume of")


def test_curves_are_shown_with_where_they_cross(run: Run, tmp_path: Path) -> None:
    assert "How long a training must be" not in render(run)
    shutil.copytree(run.path, tmp_path / "run")
    copied = open_run(tmp_path / "run")
    gains = [
        CurvePoint(
            epochs=epochs, images=int(1000 * epochs), gain=gain, deviation=0.01, margin=0.03,
            points=1.0, trainings=2,
        )
        for epochs, gain in ((3.0, -0.1), (6.0, 0.1))
    ]  # fmt: skip
    network = HOSTILE + " early"
    curve = Curve(
        network=network, architecture="{}", verdict="crossed", gains=gains, crossings=[4200.0]
    )
    CurvesFound(
        space="small", data="digits", recipe="", budgets=[3.0, 6.0], noise=None, trainings=9,
        seconds=1.0, curves=[curve],
        advice=Advice(epochs=6.0, reason="longest", told=1, contradicted=1),
    ).write(copied.path / CURVES_FILE)  # fmt: skip
    page = render(copied)
    text = " ".join("".join(_Elements(page).text).split())
    assert f"{network} crosses plain at 4,200 images (4.2 epochs)." in text
    assert "for 5 epochs; the curves advise 6 epochs: the longest of the curves" in text
    assert "<img" not in page
    found = data_of(page)["curves"]
    assert (found["budgets"], found["taken"], found["advised"]) == ([3, 6], 5, 6)
    assert (found["networks"][0]["kind"], found["networks"][0]["half"]) == (HOSTILE, "early")
    (copied.path / CURVES_FILE).write_text("{")
    with pytest.raises(SpecError, match="curves"):
        render(copied)


def test_of_very_many_networks_some_are_left_out_of_the_chart(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = len(run.front().cloud["trial"])
    monkeypatch.setattr("nas.report.chart_data.MOST_NETWORKS", every - 3)
    monkeypatch.setattr("nas.report.page.MOST_NETWORKS", every - 3)
    data = collect_chart_data(Snapshot.of(run))
    assert len(data["networks"]) == every - 3
    assert {point.trial for point in run.front()} <= {item["trial"] for item in data["networks"]}
    assert f"Of {every} networks 3 are left out" in re.sub(r"\s+", " ", render(run))


def test_a_page_is_written_over_a_page_and_over_nothing_else(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    write_report(run, out)
    write_report(run, out)
    (tmp_path / "thesis.html").write_text("precious")
    with pytest.raises(SpecError, match="is no report; name another file"):
        write_report(run, tmp_path / "thesis.html")
    with pytest.raises(SpecError, match="is no report"):
        write_report(run, tmp_path)
    assert (tmp_path / "thesis.html").read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "thesis.html"]
