from __future__ import annotations

import errno
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from nas.base.errors import SpecError, StorageError
from nas.base.files import (
    dump_yaml,
    parse,
    read_json,
    read_text,
    read_yaml,
    write_folder_whole,
    write_model,
    write_whole,
)


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    depth: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    width: float = 1.0
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4.5e6", 4.5e6),
        ("4.5e+6", 4.5e6),
        ("1e-3", 1e-3),
        ("-2E4", -2e4),
        (".5e3", 500.0),
        ("7", 7),
        ("7.5", 7.5),
        ("0x1e5", 0x1E5),
        ("1e", "1e"),
        ("e5", "e5"),
        ("coord/r32", "coord/r32"),
        ("", None),
        ("# nothing", None),
    ],
)
def test_scalars_are_read_as_people_mean_them(text: str, value: object) -> None:
    found = read_yaml(text, "file")
    assert found == value
    assert type(found) is type(value)


@given(st.floats(1e-6, 1e9))
@settings(deadline=None)
def test_floats_as_python_prints_them_are_floats(value: float) -> None:
    assert read_yaml(repr(value), "file") == value
    assert read_yaml(f"{value:e}", "file") == float(f"{value:e}")


BILLION_LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: 1\nb: 2\na: 3", r"line 3.*'a' stands twice"),
        ("o: {a: 1, a: 1}", "'a' stands twice"),
        (BILLION_LAUGHS, r"line 2.*aliases"),
        ("a: &a {b: *a}", "aliases"),
        ("a: !!python/object:os.system {}", r"tags \(.*python/object:os.system\) are not allowed"),
        ("a: !mine {}", r"line 1.*tags \(!mine\) are not allowed"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("!!python/object/apply:os.getcwd []", "python/object"),
        ("a: !!python/name:os.system", "python/name"),
        ("1: a", "key 1 is not a text"),
        ("? [a]\n: b", "is not a text"),
        ("{}: b", "is not a text"),
        ("a: 1\n---\nb: 2", "another document"),
        ("a: [1, 2", "line 1"),
        ("a:\n\tb: 1", "line 2"),
        ("a: \x00", "not plain YAML"),
        ("a: 2020-13-45", "not plain YAML"),
        ("[" * 20_000, "not plain YAML"),
        ("a: " + "9" * 5000, "not plain YAML"),
        ("a: " + "x" * 1_000_000, "at most 1000000"),
    ],
)
def test_yaml_that_is_not_plain_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told) as caught:
        read_yaml(text, "my.yaml")
    assert str(caught.value).startswith("my.yaml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"name": "a", "widht": 2}, "unknown key 'widht'; allowed here: inner, name, width"),
        ({"name": "a", "inner": {"dept": 2}}, "unknown key 'inner.dept'; allowed here: depth"),
        ({"width": 2.0}, "key 'name' is missing"),
        ({"name": "a", "width": "2"}, "width: found '2'; allowed: a number"),
        ({"name": "a", "inner": {"depth": 1.5}}, "inner.depth: found 1.5; allowed: a whole number"),
        ([1, 2], "holds a list; needed: keys"),
        (None, "holds nothing; needed: keys"),
        ("name", "holds a text; needed: keys"),
    ],
)
def test_first_fault_names_the_key_and_what_is_allowed(data: object, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(Outer, data, "my.yaml")
    assert str(caught.value).startswith(f"my.yaml: {told}")


def test_files_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    good, bad, lost = tmp_path / "good", tmp_path / "bad", tmp_path / "lost"
    good.write_text('{"width": "größer"}', encoding="utf-8")
    bad.write_bytes(b"\xff\x00")
    assert read_json(good) == {"width": "größer"} == read_json(str(good))
    assert read_text(good) == '{"width": "größer"}'
    for read, path, words, message in (
        (read_text, bad, ("the runner",), f"cannot read the runner {bad}: it is not a text file"),
        (read_text, lost, (), f"cannot read {lost}: No such file or directory"),
        (read_json, bad, ("the rules",), f"cannot read the rules {bad}: it is not JSON"),
        (read_json, lost, ("", "do"), f"cannot read {lost}: No such file or directory; do"),
    ):
        with pytest.raises(SpecError) as caught:
            read(path, *words)
        assert str(caught.value) == message
    bad.write_text("[" * 200_000)
    with pytest.raises(SpecError, match="it is not JSON"):
        read_json(bad)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_texts_of_windows_are_read(encoding: str, tmp_path: Path) -> None:
    """Notepad and PowerShell begin them with a byte order mark, and end lines by two signs."""
    (file := tmp_path / "file").write_bytes('{"width":\r\n"größer"}\r\n'.encode(encoding))
    assert read_json(file) == {"width": "größer"}
    assert read_text(file) == '{"width":\n"größer"}\n'


def test_dumped_model_reads_back() -> None:
    model = Outer(name="no", width=4.5e6, inner=Inner(depth=3))
    text = dump_yaml(model)
    assert parse(Outer, read_yaml(text, "again"), "again") == model
    assert yaml.safe_load(text)["name"] == "no"


def test_writing_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "front.csv"
    for text in ("old", "new"):
        with write_whole(path) as temporary:
            assert temporary.suffix == ".csv"  # matplotlib and others go by it
            temporary.write_text(text)
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("existed", [True, False])
@pytest.mark.parametrize("error", [RuntimeError("bad row"), KeyboardInterrupt()])
def test_failing_writer_leaves_the_old_file(
    tmp_path: Path, existed: bool, error: BaseException
) -> None:
    path = tmp_path / "front.csv"
    if existed:
        path.write_text("old")
    with pytest.raises(type(error)) as caught, write_whole(path) as temporary:
        temporary.write_text("half of")
        raise error
    assert caught.value is error
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == (
        [("front.csv", "old")] if existed else []
    )


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    model = Outer(name="été", width=0.25, inner=Inner(depth=3))
    path = tmp_path / "model.json"
    write_model(path, model)
    assert parse(Outer, read_json(path), "model.json") == model
    assert path.read_text().endswith("}\n") and list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        with write_whole(tmp_path / "no" / "such" / "front.csv") as temporary:
            temporary.write_text("x")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_says_how_to_go_on(tmp_path: Path, code: int) -> None:
    path = tmp_path / "trials.parquet"
    path.write_text("old")
    with pytest.raises(StorageError, match="no space left") as caught, write_whole(path) as temp:
        temp.write_text("half of")
        raise OSError(code, "full")
    assert "nas resume" in str(caught.value)
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [(path.name, "old")]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with write_folder_whole(tmp_path / "new") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "a").read_text() == "1"
    with pytest.raises(ZeroDivisionError), write_folder_whole(tmp_path / "other") as folder:
        (folder / "a").write_text("1")
        _ = 1 / 0
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_what_is_there_is_no_place_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    for name in ("file", "folder"):
        with pytest.raises(SpecError, match="exists; name a new folder"):
            with write_folder_whole(tmp_path / name):
                raise AssertionError("nothing is begun")
    late = tmp_path / "late"
    with pytest.raises(SpecError, match="exists"), write_folder_whole(late) as folder:
        (folder / "a").write_text("1")
        late.mkdir()
        (late / "mine").write_text("mine")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "late"}
    assert (late / "mine").read_text() == "mine"
