"""The program that a local worker runs: jobs in on stdin, outcomes out on stdout, as JSON lines.

It ends when its stdin ends, even in the middle of a training: no driver, no worker.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TextIO

from nas.base.errors import NasError
from nas.study.record import Job, Outcome

__all__ = ["Evaluators", "main", "serve"]


Evaluate = Callable[[Job], Outcome]

Evaluators = Callable[[dict[str, Any], int, int], AbstractContextManager[Sequence[Evaluate]]]
"""Makes what evaluates, from a spec's plain values, the worker's number, and how many jobs it has
at a time: so many, each for a thread of its own."""


def main() -> None:
    """Run the program."""
    serve(_evaluators)


def serve(evaluators: Evaluators) -> None:
    """Evaluate what comes in."""
    # What libraries print must not end up between the lines of the protocol.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    start = json.loads(lines.get())
    try:
        with evaluators(start["spec"], start["worker"], start["at_a_time"]) as each:
            _say(out, {"ready": True})
            if len(each) == 1:
                _work(each[0], lines, out)
            _work_beside(each, lines, out)
    except NasError as error:
        # Not this candidate's fault, such as a full disk: no other would fare better.
        _say(out, {"broken": str(error)})


def _work(evaluate: Evaluate, lines: queue.Queue[str], out: TextIO) -> None:
    """Evaluate job after job. Raises NasError for what would befall every one."""
    while True:
        order = json.loads(lines.get())
        outcome = evaluate(Job.from_dict(order["job"]))
        _say(out, {"ticket": order["ticket"], "outcome": outcome.to_dict()})


def _work_beside(each: Sequence[Evaluate], lines: queue.Queue[str], out: TextIO) -> None:
    """Evaluate in threads beside each other, until one of them raises what `_work` does."""
    ended: queue.Queue[NasError] = queue.Queue()

    def work(evaluate: Evaluate) -> None:
        try:
            _work(evaluate, lines, out)
        except NasError as error:
            ended.put(error)
        except BaseException:  # else its job would be waited for
            traceback.print_exc()
            os._exit(1)

    for evaluate in each:
        threading.Thread(target=work, args=(evaluate,), daemon=True).start()
    raise ended.get()


@contextmanager
def _evaluators(spec: dict[str, Any], worker: int, at_a_time: int) -> Iterator[Sequence[Evaluate]]:
    from nas.execution.evaluator import EvaluatorSpec  # torch takes seconds
    from nas.execution.in_turns import evaluators

    with evaluators(EvaluatorSpec.from_dict(spec), worker=worker, trainings=at_a_time) as each:
        yield each


def _listen(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _say(out: TextIO, message: object) -> None:
    out.write(json.dumps(message) + "\n")  # in one piece: threads share it
    out.flush()


if __name__ == "__main__":
    main()
