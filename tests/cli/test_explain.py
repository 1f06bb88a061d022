"""`nas explain` as its users meet it, on a run whose rules are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.explained_runs import make_run, records
from support.latency_profiles import example_profile
from support.samples import ROOT

from nas.spec.prior import load_rules

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "known", records())


def test_rules_are_said_drawn_and_written(nas: Call, known: Path, tmp_path: Path) -> None:
    picture, prior = tmp_path / "rules.svg", tmp_path / "rules.json"
    code, out, err = nas(
        "explain", known, "--for", "latency_ms=0.3", "--picture", picture, "--prior", prior
    )
    assert (code, err) == (0, "")
    assert "One block more" in out and "coord" in out and "helps" in out
    assert out.startswith("For latency_ms <= 0.3, by the rules:")
    assert "Blocks known to help: coord (+" in out
    assert out.index("Blocks known to help") < out.index("One block more")
    assert f"nas front {known} --findings" in out
    assert "known to help or hurt" in out and "nats" not in out and "times" in out
    assert ("it has not been evaluated" in out) == ("--for latency_ms=0.3 --evaluate" in out)
    assert picture.read_text().lstrip().startswith("<?xml")
    rules = load_rules(prior)
    assert [site.name for site in rules.sites][0] == "blocks.1.0/after_depthwise"
    assert 0 <= rules.sites[0].depth < rules.sites[-1].depth <= 1
    code, _, err = nas("explain", known, "--prior", prior)
    assert code == 2 and "exists; name a new file" in err


def test_what_no_site_tells_is_said_once_and_the_next_command_works(nas: Call) -> None:
    result = ROOT / "results" / "mobilenetv2-cifar" / "cifar10-scratch" / "epyc-onnxruntime"
    code, out, _ = nas("explain", result)
    assert code == 0 and out.startswith("Blocks known to help: eca (+")
    assert "Sites: whether one helps is not known of any of the 7." in out
    command = next(line for line in out.splitlines() if line.startswith("What to put where"))
    assert nas(*command.split(": nas ")[1].split())[0] == 0


def test_a_widened_network_may_be_the_best_evaluated_one(nas: Call) -> None:
    result = ROOT / "results" / "mobilenetv2-cifar" / "cifar10-scratch" / "epyc-onnxruntime"
    code, out, err = nas("explain", result, "--for", "latency_ms=0.1")
    assert (code, err) == (0, "")
    assert "(plain x1.73), " in " ".join(out.split())
    assert "The rules say nothing of a backbone that is widened." in " ".join(out.split())
    said = json.loads(nas("explain", result, "--for", "latency_ms=0.1", "--json")[1])
    assert said["advice"]["ahead"] is None
    assert said["advice"]["best_evaluated"]["reference"] == "plain x1.73"


def test_json_holds_what_is_said(nas: Call, known: Path) -> None:
    found = json.loads(nas("explain", known, "--for", "latency_ms=0.3", "--json")[1])
    kinds = {item["name"]: item for item in found["effects"] if item["subject"] == "kind"}
    assert kinds["coord"]["saved"] > kinds["se"]["saved"] > 0
    assert found["advice"]["latency_ms"][1] <= 0.3
    assert found["verdict"]


def test_two_devices_are_compared(nas: Call, known: Path, tmp_path: Path) -> None:
    from support.explained_runs import BACKBONE, LABELS, SIDE, SITES, STRIDE

    from nas.latency.profile import BackboneLatencies, Correction

    paths = []
    for name, dear in (("one", "coord/r32"), ("two", "se/r8")):
        added = {
            site: {label: 0.1 if label == dear else 0.01 for label in LABELS} for site in SITES
        }
        branch = BackboneLatencies(
            backbone=BACKBONE, resolution=SIDE, total_stride=STRIDE, plain_ms=1.0, added_ms=added
        )
        profile = example_profile().model_copy(
            update={"device": name, "branches": [branch], "correction": Correction()}
        )
        paths.append(tmp_path / f"{name}.json")
        profile.write(paths[-1])
    code, out, _ = nas("explain", known, "--devices", *paths)
    assert code == 0
    assert "one against two" in out and "They agree at" in out
    found = json.loads(nas("explain", known, "--devices", *paths, "--json")[1])["devices"]
    coord = next(r for r in found["rules"] if (r["subject"], r["name"]) == ("kind", "coord"))
    assert coord["first"] == pytest.approx(0.1, rel=0.1)
    assert coord["second"] == pytest.approx(0.01, rel=0.2)
    for number, path in enumerate(paths):
        phone = path.with_name(f"phone{number}.json")
        phone.write_text(path.read_text().replace(f'"{path.stem}"', '"onnxruntime"'))
        paths[number] = phone
    said = nas("explain", known, "--devices", *paths)[1]
    assert "phone0 against phone1" in said and "certified" not in said
    paths[1].write_text(
        paths[1].read_text().replace('"repeatability": 0.02', '"repeatability": 0.2')
    )
    for options in (("--devices", *paths), ("--device", paths[1])):
        assert nas("explain", known, *options)[1].count("is not certified") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--for", "latency_ms=soon"], "--for 'latency_ms=soon': write name=number"),
        (["--for", "params=3"], "--for 'params=3': write latency_ms=NUMBER"),
        (["--for", "latency_ms=0.001"], "no network takes 0.001 ms or less"),
        (["--picture", "rules.jpg"], "found '.jpg'; allowed: .png, .svg, .pdf"),
        (["--evaluate"], "--evaluate trains what --for names"),
        (["--devices", "a.json", "b.json"], "cannot read the device profile a.json"),
    ],
)
def test_wrong_questions_are_one_line(
    nas: Call, known: Path, arguments: list[str], said: str
) -> None:
    code, _, err = nas("explain", known, *arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_runs_without_enough_to_explain_are_one_line(nas: Call, tmp_path: Path) -> None:
    few = make_run(tmp_path / "few", records(4))
    code, _, err = nas("explain", few)
    assert code == 2 and "rules need 8 or more" in err
    code, _, err = nas("explain", tmp_path / "none")
    assert code == 2 and "does not exist" in err
