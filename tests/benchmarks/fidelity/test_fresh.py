"""Fresh trainings of ours and of the rival's: which networks and seeds, and what they tell."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.fidelity import fresh
from benchmarks.fidelity.fresh import EVERYWHERE, PLAIN, SEARCH, Chosen, chosen, jobs
from benchmarks.fidelity.landscapes import LANDSCAPES


@pytest.fixture(scope="module")
def landscape() -> Chosen:
    return chosen()


def test_every_network_is_compared_once_though_a_rival_proposes_it_twice(
    landscape: Chosen,
) -> None:
    networks = landscape.networks
    assert [PLAIN, EVERYWHERE, SEARCH] == list(networks)[:3]
    assert len({network.digest for network in networks.values()}) == len(networks)
    assert any(name.startswith("rival's coord") for name in networks)


def test_seeds_are_shared_by_all_networks_and_none_is_of_the_truth(landscape: Chosen) -> None:
    truth = LANDSCAPES["L1"]
    found = list(jobs(landscape))
    first = found[: len(landscape.networks)]
    assert [job.network for job in first] == list(landscape.networks)
    assert len({job.seed for job in first}) == 1
    seeds = {job.seed for job in found}
    assert len(seeds) == fresh.SEEDS
    assert not seeds & {truth.seed(row.network, row.repeat) for row in truth.truth()}


def test_differences_are_taken_seed_by_seed_and_corrected_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Seeds differ far more than networks do: only pairs show what everywhere gains.
    rival = "rival's coord, most probable"
    gains = {PLAIN: 0.0, EVERYWHERE: 0.05, rival: 0.049}
    rows: list[dict[str, Any]] = [
        {
            "network": network,
            "repeat": number,
            "loss": 1 + number - gain + 0.001 * ((7 * number + len(network)) % 5),
            "accuracy": 0.5 + gain + 0.001 * ((3 * number + len(network)) % 7),
        }
        for number in range(fresh.SEEDS)
        for network, gain in gains.items()
        if (network, number) != (rival, 3)  # not there yet
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(fresh, "ROWS", path)
    fresh.table(argparse.Namespace())
    lines = capsys.readouterr().out.splitlines()

    def cells(pair: str) -> list[str]:
        return next(line for line in lines if line.startswith(pair)).removeprefix(pair).split()

    above = cells(f"{EVERYWHERE} beside {PLAIN}")
    assert above[:2] == ["8", "+0.050"] and above[-1] == "0.000"
    level = cells(f"{EVERYWHERE} beside {rival}")
    assert level[0] == "7" and float(level[-1]) > 0.1
