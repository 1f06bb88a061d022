"""The program that a local worker runs: jobs in on stdin, outcomes out on stdout, as JSON lines.

It ends when its stdin ends, even in the middle of a training: no driver, no worker.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from dataclasses import asdict
from typing import TextIO

from nas.errors import NasError
from nas.evaluator import Evaluator, EvaluatorSpec
from nas.record import Job

__all__ = ["main"]


def main() -> None:
    # What libraries print must not end up between the lines of the protocol.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    jobs: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    start = json.loads(jobs.get())
    try:
        spec = EvaluatorSpec.from_dict(start["spec"])
        evaluator = Evaluator(spec, worker=start["worker"])
        _say(out, {"ready": True})
        while True:
            job = Job(**json.loads(jobs.get()))
            _say(out, asdict(evaluator.evaluate(job)))
    except NasError as error:
        # Not this candidate's fault, such as a full disk: no other would fare better.
        _say(out, {"broken": str(error)})


def _listen(jobs: queue.Queue[str]) -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)


def _say(out: TextIO, message: object) -> None:
    out.write(json.dumps(message) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
