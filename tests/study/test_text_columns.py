from __future__ import annotations

import subprocess
import sys

import numpy as np

from nas.study.text_columns import Texts

WORDS = ["aa", None, "bä", "", "aa", "ca"]


def in_chunks() -> Texts:
    return Texts.joined([Texts.of(WORDS[:2]), Texts.of(WORDS[2:3]), Texts.of(WORDS[3:])])


def test_arrays_of_one_chunk_and_of_several_say_the_same() -> None:
    for texts in (Texts.of(WORDS), in_chunks()):
        assert len(texts) == 6
        assert texts.objects().tolist() == WORDS
        assert [texts[row] for row in range(6)] == WORDS
        assert texts.equal("aa").tolist() == [True, False, False, False, True, False]
        assert texts.count("[aä]").tolist() == [2, 0, 1, 0, 2, 1]
        assert texts.take(np.array([5, 0, 2, 2, 1])).objects().tolist() == [
            "ca", "aa", "bä", "bä", None,
        ]  # fmt: skip
        assert texts.take(np.array([0, 2, 4])).codes().tolist() == [0, 1, 0]


def test_no_texts() -> None:
    for texts in (Texts.of([]), Texts.joined([]), Texts.of(WORDS).take(np.zeros(0, dtype=int))):
        assert len(texts) == 0
        assert texts.objects().tolist() == texts.codes().tolist() == []
        assert texts.equal("a").tolist() == texts.count("a").tolist() == []


def test_pandas_stays_out() -> None:
    code = """
import sys
import numpy as np
from nas.study.text_columns import Texts
texts = Texts.joined([Texts.of(["a", "b"]), Texts.of(["a", None])])
texts.count("a"), texts.equal("a"), texts.objects(), texts.take(np.array([2, 0])).codes()
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
