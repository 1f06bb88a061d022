"""Searches of networks that bring a loss for other tasks than detection."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import own_losses

import nas
from nas.export import export_pack
from nas.runs.check import check_new_run
from nas.spec.runner import load_runner
from nas.spec.space import SearchSpace

QUICK = (
    "search.trials=1", "search.confirm_seeds=1", "workers=1", "device=torch", "regime=scratch",
    "proxy.unit=steps", "proxy.rungs=[2]", "proxy.subset=300",
)  # fmt: skip


def space(name: str) -> SearchSpace:
    return SearchSpace.model_validate(
        {
            "name": "own",
            "backbones": [f"{own_losses.__file__}:{name}"],
            "resolutions": [32],
            "sites": {"granularity": "network"},
            "blocks": {"eca": {}},
        }
    )


@pytest.mark.parametrize(
    ("name", "more", "figure"),
    [
        ("Classifier", (), "accuracy"),
        pytest.param(
            "Embedder",
            ("task=retrieval", "head=own", "proxy.batch_size=16"),
            "rank1",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_is_searched_and_shipped(
    name: str, more: tuple[str, ...], figure: str, tmp_path: Path
) -> None:
    runner = load_runner(None, (*QUICK, *more))
    run = nas.search(space(name), runner, "digits", tmp_path / "run")
    assert run.file.figure.name == figure and len(run.front().points) >= 1
    pack = export_pack(run, 0, "pt2", tmp_path / "pack")
    assert all(graph.scores and graph.scores.parity.holds for graph in pack.graphs)


def test_a_loss_for_other_ends_is_passed_over_and_said(tmp_path: Path) -> None:
    runner = load_runner(None, QUICK)
    new = check_new_run(space("TwoArguments"), runner, "digits", tmp_path / "run")
    (said,) = [line for line in new.notes if "its loss takes more than a batch" in line]
    assert "\n" not in said and "trained by the loss of its task" in said
