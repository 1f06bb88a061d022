"""What a shell completes after TAB: commands, flags, and the names that the program knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from nas.cli import app
from nas.cli.completion import backbone_names, target_names


def completed(line: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> list[str]:
    """Return what bash is told, as its script asks: the words of the line, the last unfinished."""
    words = line.split(" ")
    monkeypatch.setenv("_NAS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line.rstrip() if words[-1] else line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit) as ended:
        typer.main.get_command(app)(prog_name="nas", args=[])
    assert ended.value.code == 0
    return str(capsys.readouterr().out).split()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("nas se", ["search"]),
        ("nas search mobilenetv2-s", ["mobilenetv2-small"]),
        ("nas launch runners/slurm.sbatch mobilenetv2-s", ["mobilenetv2-small"]),
        ("nas front runs/demo --hyp", ["--hypervolume"]),
        ("nas search x --regime f", ["finetune"]),
        ("nas search x --data fa", ["fashion-mnist"]),
        ("nas search x --data fo", ["folder:"]),
        ("nas search x --task seg", ["segmentation"]),
        ("nas search x --head d", ["deeplabv3"]),
        ("nas search x --runner local", ["local-gpu", "local"]),
        ("nas search x --runner ray", ["ray-cluster", "ray-local"]),
        ("nas cost --uniform coord", ["coord", "coord_x", "coord_y"]),
        ("nas cost --backbone mnasnet_s", ["mnasnet_small"]),
        ("nas sites mnasnet_s", ["mnasnet_small"]),
        ("nas export runs/demo 1 --to op", ["openvino"]),
        ("nas profile f", ["fit"]),
        ("nas profile pack x --runtime op", ["openvino"]),
        # The shell completes files.
        ("nas search x --out ", []),
        ("nas search nowhere/", []),
    ],
)
def test_names_are_completed(
    line: str, found: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    assert completed(line, monkeypatch, capsys) == found


def test_all_networks_are_completed_once_a_letter_is_typed() -> None:
    assert len(backbone_names("")) < 50 < len(backbone_names("m"))


@pytest.mark.parametrize("content", [None, "[", '{"a": 1}', "[1]"])
def test_names_that_take_seconds_are_kept(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = target_names("")
    (kept,) = (tmp_path / "attention-nas" / "completion").iterdir()
    if content is None:
        kept.write_text('["mine", "other"]')
        assert target_names("m") == ["mine"]
    else:  # as when a disk was full
        kept.write_text(content)
        assert target_names("") == names and "onnx" in names


def test_names_are_found_where_nothing_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(file))
    assert "onnx" in target_names("")
    monkeypatch.setenv("XDG_CACHE_HOME", "~nobody-here/cache")
    assert "onnx" in target_names("")
