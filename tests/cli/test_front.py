"""`nas front` as its users meet it."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

pytestmark = pytest.mark.xdist_group("run")

Ran = tuple[int, str, str]
Call = Callable[..., Ran]


def test_front_as_json_is_a_list_of_objects(nas, finished_run: Path) -> None:  # type: ignore[no-untyped-def]
    ran = nas("front", finished_run, "--json")
    points = json.loads(ran.out)
    assert ran.code == 0
    assert isinstance(points, list)
    for name in ("trial", "accuracy", "latency_ms", "params", "macs", "architecture", "reference"):
        assert all(name in point for point in points)
    assert {point["reference"] for point in points} >= {"plain", "se/r24", "eca"}
    assert [point["latency_ms"] for point in points] == sorted(
        point["latency_ms"] for point in points
    )


def test_front_filters_and_writes(nas, finished_run: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    every = json.loads(nas("front", finished_run, "--json").out)
    middle = every[len(every) // 2]["latency_ms"]
    few = json.loads(nas("front", finished_run, "--json", "--max", f"latency_ms={middle}").out)
    assert 0 < len(few) < len(every)
    assert all(point["latency_ms"] <= middle for point in few)
    assert json.loads(nas("front", finished_run, "--json", "--min", "accuracy=1.1").out) == []
    assert nas("front", finished_run, "--csv", tmp_path / "f.csv").code == 0
    assert nas("front", finished_run, "--parquet", tmp_path / "f.parquet").code == 0
    with (tmp_path / "f.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == [point["trial"] for point in every]
    assert parquet.read_table(tmp_path / "f.parquet").num_rows == len(every)
    table = nas("front", finished_run)
    assert "plain backbone" in table.out
    assert "seeds" in table.out
    by_accuracy = json.loads(nas("front", finished_run, "--by", "accuracy,params", "--json").out)
    assert by_accuracy


def test_expressions_narrow_the_front(nas: Call, finished_run: Path) -> None:
    every = json.loads(nas("front", finished_run, "--json")[1])
    few = json.loads(nas("front", finished_run, "--where", "sites('se') == 0", "--json")[1])
    assert 0 < len(few) < len(every)
    for point in few:
        assert all(item["block"] != "se" for item in point["architecture"]["insertions"])


def test_a_front_that_nothing_is_left_of_says_why(nas: Call, finished_run: Path) -> None:
    code, out, _ = nas("front", finished_run, "--where", "latency_ms < 1e-6")
    assert code == 0
    assert "None of the 5 networks with complete trials is within the limits" in out
    assert "No trial is complete" not in out


def test_an_epsilon_front_is_judged_by_all_its_members(nas: Call, finished_run: Path) -> None:
    whole = nas("front", finished_run, "--findings")[1]
    thin = nas("front", finished_run, "--findings", "--epsilon", "loss=100,latency_ms=100")[1]
    said = [line for line in whole.splitlines() if "networks on the front lose less" in line]
    assert said and said[0] in thin


def test_markdown_is_a_table(nas: Call, finished_run: Path) -> None:
    lines = nas("front", finished_run, "--markdown")[1].strip().splitlines()
    assert lines[0].startswith("| network |")
    assert lines[1].startswith("| :-- | --: |")
    assert len({line.count("|") for line in lines}) == 1


@pytest.mark.parametrize("how", [["--json"], ["--markdown"], ["--csv", "FILE"]])
def test_a_front_without_networks_says_why_beside_what_it_prints(
    nas: Call, finished_run: Path, tmp_path: Path, how: list[str]
) -> None:
    words = [str(tmp_path / "front.csv") if word == "FILE" else word for word in how]
    code, out, err = nas("front", finished_run, "--where", "latency_ms < 0.0001", *words)
    assert code == 0 and "front" in err.lower() and err.count("\n") == 1
    assert "probability" not in out and (how != ["--json"] or json.loads(out) == [])


def test_findings_are_its_closing_lines_and_come_as_values(nas: Call, finished_run: Path) -> None:
    said = nas("front", finished_run, "--findings")[1].splitlines()
    assert said and said[-1] in " ".join(nas("front", finished_run)[1].split())
    findings = json.loads(nas("front", finished_run, "--findings", "--json")[1])
    assert {"kind", "subject", "estimate", "low", "high", "probability", "text"} <= set(findings[0])
    assert set(said) <= {finding["text"] for finding in findings}
    (noise,) = [finding for finding in findings if finding["kind"] == "seed_noise"]
    assert f"±{noise['estimate']:.4f}" in noise["text"]


@pytest.mark.parametrize("other", ["--markdown", "--knee", "--hypervolume"])
def test_findings_are_asked_for_alone(nas: Call, finished_run: Path, other: str) -> None:
    code, out, err = nas("front", finished_run, "--findings", other)
    assert (code, out) == (2, "") and err.count("\n") == 1 and "--findings" in err


def test_questions_are_answered_in_words_and_as_json(nas: Call, finished_run: Path) -> None:
    asked = ("front", finished_run, "--at", "latency_ms=1000", "--knee", "--hypervolume")
    _, out, _ = nas(*asked)
    assert "Best with latency_ms <= 1000: " in out
    assert "best of the" in out and "probability" in out
    assert "within 0.5 points of the best" in out
    assert "below the reference loss" in out
    found = json.loads(nas(*asked, "--json")[1])
    assert set(found) == {"at", "knee", "hypervolume"}
    assert found["at"]["best"]["trial"] >= 0
    assert 0 <= found["at"]["probability"] <= 1
    assert set(found["hypervolume"]["reference"]) == {"loss", "latency_ms"}
    given = ("front", finished_run, "--reference", "loss=9,latency_ms=9", "--json")
    assert json.loads(nas(*given)[1])["hypervolume"]["reference"] == {"loss": 9, "latency_ms": 9}


def test_a_margin_so_wide_that_nothing_pays_is_answered_by_nowhere(
    nas: Call, finished_run: Path
) -> None:
    asked = ("front", finished_run, "--at", "latency_ms=1000", "--within", "90")
    first, second, *_ = nas(*asked)[1].splitlines()
    assert first.startswith(
        "Nowhere: with latency_ms <= 1000, the plain network is within 90 point"
    )
    assert second.startswith("Gains of more than ") and "are ruled out (95 %)" in second
    found = json.loads(nas(*asked, "--json")[1])["at"]
    assert found["nowhere"] and found["cheapest"]["point"]["reference"] == "plain"
    assert found["ruled_out"]["probability"] > 0.95
    assert (found["within"], found["within_of"]) == (0.9, "accuracy")


def test_epsilon_leaves_fewer(nas: Call, finished_run: Path) -> None:
    every = json.loads(nas("front", finished_run, "--json")[1])
    thin = json.loads(nas("front", finished_run, "--epsilon", "loss=9,latency_ms=9", "--json")[1])
    assert sum(point["on_front"] for point in thin) == 1
    assert len(thin) <= len(every)


def test_two_runs_are_one_front(nas: Call, finished_run: Path, tmp_path: Path) -> None:
    another = tmp_path / "another"
    shutil.copytree(finished_run, another)
    _, out, _ = nas("front", finished_run, another)
    assert str(another) in out
    assert any(line.split()[:2] == ["run", "trial"] for line in out.splitlines())


def test_names_with_brackets_are_shown_as_they_are(
    nas: Call, finished_run: Path, tmp_path: Path
) -> None:
    for name in ("a[lr]", "b[", "c[:smile:]"):
        shutil.copytree(finished_run, tmp_path / name)
    code, out, _ = nas("front", *(tmp_path / name for name in ("a[lr]", "b[", "c[:smile:]")))
    assert code == 0
    assert all(str(tmp_path / name) in out for name in ("a[lr]", "b[", "c[:smile:]"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--where", "latency_ms < 8 and nix > 3"], "position 20: unknown name 'nix'"),
        (["--where", "retrained_test_accuracy > 0"], "unknown name 'retrained_test_accuracy'"),
        (["--where", "retrained > 0"], "unknown name 'retrained'"),
        (["--csv", "new.csv", "--parquet", "new.csv"], "both name new.csv; name two files"),
        (["--where", "sites('cord') > 1"], "unknown kind 'cord'; there are: eca, se"),
        (["--at", "latency_ms=0.00001"], "no evaluated network keeps latency_ms <= 1e-05"),
        (["--at", "latency"], "--at 'latency': write name=number"),
        (["--at", "loss=1"], "found budget 'loss'; allowed: latency_ms, params, macs"),
        (["--epsilon", "speed=1"], "epsilon of 'speed'; allowed: loss, latency_ms"),
        (["--epsilon", "loss=-1"], "epsilon loss=-1.0; allowed"),
        (["--reference", "loss=x"], "--reference 'loss=x'"),
        (["--within", "1"], "--within says what is as good within a budget; give --at, too"),
        (
            ["--at", "latency_ms=1000", "--within", "-1"],
            "--within: found '-1'; allowed: a number, 0 or more",
        ),
        (["--where", "latency_ms < 0", "--hypervolume"], "the front is empty"),
        (["/nowhere"], "/nowhere does not exist"),
    ],
)
def test_wrong_questions_are_one_line(
    nas: Call, finished_run: Path, arguments: list[str], said: str
) -> None:
    code, _, err = nas("front", finished_run, *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
