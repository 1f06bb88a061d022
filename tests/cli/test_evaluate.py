"""`nas evaluate` as its users meet it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.xdist_group("run")


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def test_a_placement_is_trained_named_and_shown(nas: Call, run: Path, tmp_path: Path) -> None:
    code, out, err = nas(
        "evaluate", run, "--place", "blocks.*=gc/r4", "--place", "blocks.1*=keep", "--name", "ours"
    )
    assert (code, err) == (0, "")
    told = next(line for line in out.splitlines() if "(ours)" in line)
    trial = told.split()[1]
    assert told.endswith(f"it stands in: nas front {run}")
    assert out.rstrip().endswith(f"Train it fully: nas retrain {run} --trial {trial}")
    shown = json.loads(nas("show", run, trial, "--json")[1])
    assert shown["reference"] == "ours"
    assert {i["block"] for i in shown["architecture"]["insertions"]} == {"gc"}
    assert not [i for i in shown["architecture"]["insertions"] if i["site"].startswith("blocks.1")]
    assert "ours hand-placed: " in nas("front", run)[1]
    # What it printed is a file that it reads, of which there is one already.
    file = tmp_path / "network.json"
    file.write_text(json.dumps(shown))
    code, _, err = nas("evaluate", run, "--network", file, "--name", "again")
    assert code == 2 and f"has this network already, as trial {trial}" in err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "name a network by --place SITES=BLOCK, or by --network FILE"),
        (["--place", "*=se", "--network", "a.json"], "by --place SITES=BLOCK, or by --network"),
        (["--network", "a.json", "--resolution", "32"], "--network says its backbone"),
        (["--network", "missing.json"], "cannot read network missing.json: No such file"),
        (["--place", "blocks.77*=se"], "matches no site; there are: blocks."),
        (["--place", "*=se", "--backbone", "resnet18"], "choose one by --backbone"),
        (["--place", "*=se", "--resolution", "4"], "--resolution: found '4'"),
        (["--place", "*=gc", "--name", "plain"], "name 'plain' is taken"),
    ],
)
def test_what_cannot_be_evaluated_is_one_line(
    nas: Call, run: Path, given: list[str], message: str
) -> None:
    before = (run / "study.journal").read_bytes()
    code, out, err = nas("evaluate", run, *given)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1
    assert (run / "study.journal").read_bytes() == before


@pytest.mark.parametrize("content", ["[]", "{}", '{"architecture": 3}', "not JSON", '"text"'])
def test_a_file_that_is_no_network_is_one_line(
    nas: Call, run: Path, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "network.json"
    file.write_text(content)
    code, out, err = nas("evaluate", run, "--network", file)
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "not an architecture" in err or "it is not JSON" in err
