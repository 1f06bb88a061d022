from __future__ import annotations

from pathlib import Path

import pytest
from optuna.study import StudyDirection

from nas.base.errors import StorageError
from nas.strategy.storage.journal import Journal, drop_torn_line


def begun(path: Path) -> Journal:
    journal = Journal(path)
    journal.do(lambda: journal.storage.create_new_study([StudyDirection.MINIMIZE], "one"))
    return journal


def names(path: Path) -> list[str]:
    return [study.study_name for study in Journal(path).storage.get_all_studies()]


def test_half_a_line_is_cut_off_and_whole_ones_stay(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    begun(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"op_code": 0, "worker')
    drop_torn_line(path)
    assert path.read_bytes() == whole
    drop_torn_line(path)
    assert path.read_bytes() == whole
    assert names(path) == ["one"]


def test_a_line_longer_than_what_is_read_at_once_is_cut_off_whole(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    begun(path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"text": "' + b"x" * (5 << 19))
    drop_torn_line(path)
    assert path.read_bytes() == whole


def test_a_first_line_that_is_torn_leaves_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    path.write_bytes(b'{"op_code"')
    drop_torn_line(path)
    assert path.read_bytes() == b""


def test_a_damaged_journal_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "study.journal"
    begun(path)
    path.write_bytes(b"not a journal\n" + path.read_bytes())
    with pytest.raises(StorageError, match=r"study .*study\.journal is damaged: "):
        Journal(path)


def test_what_the_disk_refuses_names_the_file(tmp_path: Path) -> None:
    journal = begun(tmp_path / "study.journal")

    def refuse() -> None:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(StorageError, match=r"study\.journal: Permission denied"):
        journal.do(refuse)
