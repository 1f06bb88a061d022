"""Files of weights as people have them: what is read, and what is refused without running it."""

from __future__ import annotations

import argparse
import pickle
import random
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nas.base.errors import SpecError
from nas.models.weights_file import NESTED, read_weights

STATE = nn.Linear(3, 2).state_dict()


class Ours(nn.Linear):
    """A class of somebody's own, which a checkpoint names."""


def saved(path: Path, content: Any, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


@pytest.mark.parametrize("key", [None, *NESTED])
@pytest.mark.parametrize("zipped", [True, False])
def test_weights_are_found_alone_and_under_the_usual_keys(
    tmp_path: Path, key: str | None, zipped: bool
) -> None:
    content = {
        "arch": "mobilenetv2_050",
        "args": argparse.Namespace(lr=0.1, output=Path("out")),
        "metric": np.float64(0.7),
        "optimizer": {"state": {}, "param_groups": []},
    }
    whole = STATE if key is None else {**content, key: STATE}
    path = saved(tmp_path / "w.pth", whole, _use_new_zipfile_serialization=zipped)
    given = read_weights(path)
    assert given.taken == key
    assert list(given.tensors) == ["weight", "bias"]
    assert torch.equal(given.tensors["weight"], STATE["weight"])


def test_running_means_come_before_the_last_weights(tmp_path: Path) -> None:
    average = OrderedDict({"n_averaged": torch.tensor(7), **STATE})
    path = saved(tmp_path / "w.pth", {"model": STATE, "model_ema": average, "epoch": 3})
    given = read_weights(path)
    assert given.taken == "model_ema" and "n_averaged" not in given.tensors


def test_safetensors_are_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "w.safetensors")
    assert list(read_weights(tmp_path / "w.safetensors").tensors) == ["bias", "weight"]


@pytest.mark.parametrize("content", [Ours(3, 2), {"model": Ours(3, 2)}, {"ema": [Ours(3, 2)]}])
def test_a_whole_network_is_refused_with_the_way_to_save_it(tmp_path: Path, content: Any) -> None:
    with pytest.raises(SpecError, match=r"holds \S+Ours, for which code .*save_file"):
        read_weights(saved(tmp_path / "w.pth", content))


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("harm-was-done"),)


def test_nothing_in_a_file_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = [saved(tmp_path / "w.pth", {"state_dict": STATE, "x": Harmful()})]
    paths.append(tmp_path / "w.pkl")
    paths[-1].write_bytes(pickle.dumps(Harmful()))
    for path in paths:
        with pytest.raises(SpecError):
            read_weights(path)
    assert not (tmp_path / "harm-was-done").exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [([1, 2], "a list"), ({"epoch": 3, "best": 0.7}, "the keys epoch, best"), ({}, "nothing")],
)
def test_a_file_without_weights_says_what_it_holds(
    tmp_path: Path, content: Any, found: str
) -> None:
    with pytest.raises(SpecError, match=rf"found {found}; allowed: the weights of a network"):
        read_weights(saved(tmp_path / "w.pth", content))


@pytest.mark.parametrize("name", ["missing.pth", ".", "text.pth", "text.safetensors"])
def test_what_is_no_file_of_weights_is_one_line(tmp_path: Path, name: str) -> None:
    for suffix in ("pth", "safetensors"):
        (tmp_path / f"text.{suffix}").write_text("not weights at all")
    with pytest.raises(SpecError) as error:
        read_weights(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path, rng = tmp_path / f"w.{suffix}", random.Random(0)
    beside = {"args": argparse.Namespace(lr=0.1, output=Path("out")), "metric": np.float64(0.7)}
    save_file(STATE, path) if suffix == "safetensors" else saved(path, {"model": STATE, **beside})
    whole = path.read_bytes()
    for _ in range(60):
        damaged = bytearray(whole)
        if rng.random() < 0.3:
            damaged = damaged[: rng.randrange(len(damaged))]
        for _ in range(rng.randint(1, 20) if damaged else 0):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            read_weights(path)
        except SpecError as error:
            assert "\n" not in str(error)
