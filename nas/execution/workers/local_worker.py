"""The program that a local worker runs: jobs in on stdin, outcomes out on stdout, as JSON lines.

It ends when its stdin ends, even in the middle of a training: no driver, no worker.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

from nas.base.errors import NasError
from nas.study.record import Job, Outcome

__all__ = ["main", "serve"]


Evaluate = Callable[[Job], Outcome]


def main() -> None:
    """Run the program."""
    serve(_evaluator)


def serve(evaluator: Callable[[dict[str, Any], int], Evaluate]) -> None:
    """Evaluate what comes in.

    evaluator: makes what evaluates, once, from a spec's plain values and the worker's number.
    """
    # What libraries print must not end up between the lines of the protocol.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    start = json.loads(jobs.get())
    try:
        evaluate = evaluator(start["spec"], start["worker"])
        _say(out, {"ready": True})
        while True:
            job = Job.from_dict(json.loads(jobs.get()))
            _say(out, evaluate(job).to_dict())
    except NasError as error:
        # Not this candidate's fault, such as a full disk: no other would fare better.
        _say(out, {"broken": str(error)})


def _evaluator(spec: dict[str, Any], worker: int) -> Evaluate:
    from nas.execution.evaluator import Evaluator, EvaluatorSpec  # torch takes seconds

    return Evaluator(EvaluatorSpec.from_dict(spec), worker=worker).evaluate


def _listen(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def _say(out: TextIO, message: object) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
