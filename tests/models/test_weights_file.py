"""Files of weights as people have them: what is read, and what is refused without running it."""

from __future__ import annotations

import argparse
import os
import pickle
import random
import resource
import zipfile
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


@pytest.mark.parametrize(
    ("tensor", "oddity"),
    [
        (torch.zeros(2, dtype=torch.complex64), "is of complex64"),
        (torch.zeros(2).to(torch.float8_e4m3fn), "is of float8_e4m3fn"),
        (torch.eye(2).to_sparse(), "is sparse or nested"),
        (torch.zeros(2, device="meta"), r"has no values \(it lies on meta"),
        (torch.zeros(1).expand(10**12), "claims 1,000,000,000,000 values"),
    ],
)
def test_tensors_that_are_not_plain_numbers_are_named(
    tmp_path: Path, tensor: torch.Tensor, oddity: str
) -> None:
    with pytest.raises(SpecError, match=rf"odd {oddity}.*; allowed: plain tensors"):
        read_weights(saved(tmp_path / "w.pth", {**STATE, "odd": tensor}))


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_quantised_tensors_are_named(tmp_path: Path) -> None:
    odd = torch.quantize_per_tensor(torch.rand(2), 0.1, 0, torch.qint8)
    with pytest.raises(SpecError, match=r"odd is of qint8; allowed: plain tensors"):
        read_weights(saved(tmp_path / "w.pth", {**STATE, "odd": odd}))


def test_what_stands_among_weights_and_is_no_tensor_is_told(tmp_path: Path) -> None:
    given = read_weights(saved(tmp_path / "w.pth", {**STATE, "epoch": 3, 7: STATE}))
    assert list(given.tensors) == ["weight", "bias"] and given.aside == ("epoch", "a int")


@pytest.mark.parametrize("suffix", ["safetensors", "SAFETENSORS", "bin", "pth"])
def test_a_file_is_what_it_holds_and_not_what_its_suffix_says(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"one.{suffix}", saved(tmp_path / f"other.{suffix}", STATE)]
    save_file(STATE, paths[0])
    for path in paths:
        assert set(read_weights(path).tensors) == {"weight", "bias"}


def changed_where(path: Path, content: bytes) -> None:
    """Flip one bit within what a file holds of something."""
    data = bytearray(path.read_bytes())
    data[data.index(content)] ^= 1
    path.write_bytes(data)


def test_a_flipped_bit_is_noticed_by_the_checksums_of_an_archive(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", STATE)
    changed_where(path, STATE["weight"].numpy().tobytes())
    assert not torch.equal(torch.load(path, weights_only=True)["weight"], STATE["weight"])
    with pytest.raises(SpecError, match=r"its part w/data/\d is not as it was written; copy it"):
        read_weights(path)


def test_an_archive_without_checksums_is_read(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        path = saved(tmp_path / "w.pth", STATE)
    finally:
        torch.serialization.set_crc32_options(before)
    assert set(read_weights(path).tensors) == {"weight", "bias"}


def test_what_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", STATE)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, "w/data/0": bytes(10**6)}.items():
            archive.writestr(name, content)
    with pytest.raises(SpecError, match="its part w/data/0 is not as it was written"):
        read_weights(path)


class Spacious:
    """Asks for so many bytes, of which a file need hold none."""

    def __reduce__(self) -> tuple[Any, ...]:
        return bytearray, (2_000_000_000,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_few_bytes_make_no_room_for_many(tmp_path: Path, zipped: bool) -> None:
    content = {"model": STATE, "more": Spacious()}
    path = saved(tmp_path / "w.pth", content, _use_new_zipfile_serialization=zipped)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SpecError, match=r"holds builtins\.bytearray, .*save_file"):
        read_weights(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB


@pytest.mark.parametrize("name", ["pipe", "loop", "x" * 300 + ".pth", "nul\0.pth"])
def test_what_is_no_regular_file_is_one_line_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(SpecError) as error:
        read_weights(tmp_path / name)
    assert str(error.value).isprintable()


def test_odd_names_are_shown_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "w\n\x1b[2J.pth"
    with pytest.raises(SpecError) as error:
        read_weights(saved(path, {"a\n\x1b[2J": 1, "b" * 5000: 2}))
    assert str(error.value).isprintable() and len(str(error.value)) < 500 + len(str(tmp_path))
