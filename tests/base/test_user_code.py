from __future__ import annotations

import copy
import pickle
import sys
from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.base.user_code import call_user_function, is_function, user_function


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def fault(name: str, **arguments: object) -> str:
    with pytest.raises(SpecError) as caught:
        call_user_function(name, "backbone", **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_function_of_a_file_from_here_and_from_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "my nets" / "first-try.py", "def name(): return __name__\n")
    monkeypatch.chdir(tmp_path)
    first = call_user_function("my nets/first-try.py:name", "data")
    assert first == call_user_function(f"{file}:name", "data")
    assert str(first).startswith("own_first_try_") and str(first) in sys.modules
    assert is_function("my nets/first-try.py:name(a=1)") and not is_function("my nets:f")


def test_files_of_one_name_keep_their_own_neighbours(tmp_path: Path) -> None:
    for folder, value in (("one", 1), ("two", 2)):
        write(tmp_path / folder / "neighbour.py", f"VALUE = {value}\n")
        write(
            tmp_path / folder / "nets.py",
            "from neighbour import VALUE\n"
            "def early(): return VALUE\n"
            "def late():\n    import neighbour\n    return neighbour.VALUE\n"
            "def later():\n    import deep.inside\n    return deep.inside.VALUE\n",
        )
        write(tmp_path / folder / "deep" / "inside.py", f"VALUE = {10 * value}\n")
    path = list(sys.path)
    for _ in range(2):
        for folder, value in (("one", 1), ("two", 2)):
            for function in ("early", "late"):
                assert call_user_function(f"{tmp_path}/{folder}/nets.py:{function}", "x") == value
            assert call_user_function(f"{tmp_path}/{folder}/nets.py:later", "x") == 10 * value
    assert sys.path == path
    for name in ("neighbour", "deep.inside", "deep"):
        sys.modules.pop(name, None)


def test_a_module_here_is_not_the_neighbour_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "there" / "shared_name.py", "VALUE = 1\ndef value(): return VALUE\n")
    write(tmp_path / "there" / "a.py", "import shared_name\nvalue = shared_name.value\n")
    write(tmp_path / "here" / "shared_name.py", "VALUE = 2\ndef value(): return VALUE\n")
    monkeypatch.chdir(tmp_path / "here")
    assert call_user_function(f"{tmp_path}/there/a.py:value", "x") == 1
    assert call_user_function("shared_name:value", "x") == 2
    sys.modules.pop("shared_name", None)


def test_classes_of_a_file_are_copied_and_pickled(tmp_path: Path) -> None:
    file = write(
        tmp_path / "things.py",
        "from dataclasses import dataclass\n@dataclass\nclass Thing:\n    width: float = 1.0\n",
    )
    thing = call_user_function(f"{file}:Thing(width=0.5)", "x")
    assert copy.deepcopy(thing) == thing == pickle.loads(pickle.dumps(thing))


def test_the_path_stays_though_the_code_changes_directory_and_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(
        tmp_path / "moves.py",
        "import os, sys\n"
        "sys.path.remove(os.path.dirname(__file__))\n"
        "os.chdir('/')\n"
        "def f(): return 1\n",
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    assert call_user_function(f"{file}:f", "x") == 1
    assert sys.path == path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:\n", "SyntaxError: invalid syntax ({file}, line 1)"),
        ("x = 1\n\nraise RuntimeError('no\\nlicence')\n", "RuntimeError: no ({file}, line 3)"),
        ("import sys\nsys.exit(3)\n", "SystemExit: it ends the program ({file}, line 2)"),
        ("\nimport no_such_neighbour\n", "No module named 'no_such_neighbour' ({file}, line 2)"),
        ("def g(): pass\ndef of(): pass\n", "{file} has no function 'f'; is it of?"),
        (
            "def f(): return 1 / 0\n",
            "ZeroDivisionError: division by zero ({file}, line 1)",
        ),
        (
            "def f(width, *, act='relu'): pass\n",
            "called with nothing: missing a required argument: "
            "'width'; it takes: width, act='relu'",
        ),
    ],
)
def test_what_goes_wrong_is_one_line_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    file = write(tmp_path / "wrong.py", text)
    assert fault(f"{file}:f") == f"backbone '{file}:f': {said.format(file=file)}"
    # And again: nothing half made is left behind.
    assert fault(f"{file}:f") == f"backbone '{file}:f': {said.format(file=file)}"


def test_a_module_that_fails_is_one_line_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "fails_at_import.py", "raise ValueError('half done')\n")
    monkeypatch.chdir(tmp_path)
    assert f"ValueError: half done ({file}, line 1)" in fault("fails_at_import:f")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    said = fault(f"{tmp_path}/gone.py:f")
    assert f"there is no file {tmp_path}/gone.py" in said and "put it back" in said


def test_arguments_that_are_wrong_are_told_with_those_that_are_taken(tmp_path: Path) -> None:
    file = write(tmp_path / "nets.py", "def tiny(num_classes: int, width: float = 1.0): pass\n")
    assert fault(f"{file}:tiny(wdth=2)", num_classes=3).endswith(
        "called with num_classes=, wdth=: got an unexpected keyword argument 'wdth'; it takes: "
        "num_classes, width=1.0"
    )


def test_what_is_no_name_is_told_how_to_be_one() -> None:
    with pytest.raises(SpecError, match=r"package\.module:function or path/to/file\.py:function"):
        user_function("my nets:f", "data")


def test_what_a_session_defines_is_not_named() -> None:
    assert "found by no other process; put it into a file" in fault("__main__:tiny")
