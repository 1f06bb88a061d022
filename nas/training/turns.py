"""Turns of threads that train beside each other in one process: one of them runs at a time."""

from __future__ import annotations

import threading
from types import TracebackType

__all__ = ["Turns"]


class Turns:
    """A lock that is had in the order in which it is asked for.

    Whoever is in its context has the turn; `pass_on` lets those that wait go before.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked = 0
        self._served = 0

    def __enter__(self) -> None:
        with self._changed:
            number = self._asked
            self._asked += 1
            self._changed.wait_for(lambda: self._served == number)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with self._changed:
            self._served += 1
            self._changed.notify_all()

    def pass_on(self) -> None:
        """Give the turn to who waits longest, and wait for another; keep it where nobody waits."""
        with self._changed:
            alone = self._asked == self._served + 1
        if not alone:
            self.__exit__(None, None, None)
            self.__enter__()
