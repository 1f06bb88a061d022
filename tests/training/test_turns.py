from __future__ import annotations

import threading

import pytest

from nas.training.turns import Turns

SOON = 400.0


def test_threads_have_turns_in_the_order_in_which_they_asked() -> None:
    turns, had = Turns(), []
    begun = threading.Barrier(3)

    def work(name: str) -> None:
        begun.wait(SOON)
        with turns:
            for _ in range(4):
                had.append(name)
                turns.pass_on()

    with turns:  # until all three wait
        threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        while turns._asked < 4:
            pass
    for thread in threads:
        thread.join(SOON)
    assert sorted(had[:3]) == ["a", "b", "c"] and had == had[:3] * 4


def test_who_is_alone_keeps_the_turn() -> None:
    turns = Turns()
    with turns:
        for _ in range(3):
            turns.pass_on()
    assert turns._asked == turns._served == 1


def test_what_one_raises_leaves_the_turn_to_the_next() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="mine"), turns:
        raise ValueError("mine")
    done = threading.Event()

    def work() -> None:
        with turns:
            done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(SOON)
