from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from pyarrow import parquet

from nas.base.tables import parquet_source, write_csv, write_parquet

ROWS = [{"name": "a", "value": 1}, {"name": os.fsdecode(b"\xe4"), "value": 2}]


@pytest.mark.parametrize("folder", [b"plain", "äö日".encode(), b"caf\xe9"])
def test_tables_lie_where_they_were_asked_for(tmp_path: Path, folder: bytes) -> None:
    place = tmp_path / os.fsdecode(folder)
    place.mkdir()
    write_csv(place / "t.csv", ("name", "value"), ROWS)
    write_parquet(place / "t.parquet", {"name": "string", "value": "int64"}, ROWS[:1])
    assert sorted(os.listdir(os.fsencode(place))) == [b"t.csv", b"t.parquet"]
    assert parquet.read_table(parquet_source(place / "t.parquet")).to_pylist() == ROWS[:1]
    lines = list(csv.reader((place / "t.csv").read_text(encoding="utf-8").splitlines()))
    assert lines[1:] == [["a", "1"], [r"\udce4", "2"]]
