"""The program that trains one network fully: a job in on stdin, JSON lines out on stdout.

It stops after the step it is at, and keeps where it stands, when its stdin ends (no driver, no
worker) or on SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import replace
from typing import TextIO

from nas.base.errors import StorageError, TrainingError, reason_of
from nas.study.full_training import FullTraining
from nas.training.device import best_device
from nas.training.full import FullTrainingJob, TrainingStopped, train_fully

__all__ = ["carry_out", "main"]

_GRACE_SECONDS = 30  # for the step it is at
_SMALLER = "fewer --workers or a smaller retrain.batch_size would help"


def main() -> None:
    """Run the program."""
    # What libraries print must not end up between the lines of the protocol.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    job = FullTrainingJob.from_dict(json.loads(sys.stdin.readline()))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_stop_at_end_of_input, args=(stop,), daemon=True).start()
    try:
        result = carry_out(job, say=lambda report: _say(out, report), stopping=stop.is_set)
        _say(out, {"found": result.to_dict()})
    except TrainingStopped:
        return
    except StorageError as error:
        # Not this network's fault, such as a full disk: no other would fare better.
        _say(out, {"broken": str(error)})


def carry_out(job: FullTrainingJob, **options: object) -> FullTraining:
    """Return what came of a training, failures of its own included.

    options: of `train_fully`.
    Raises StorageError for what would befall every training, TrainingStopped when it was told to.
    """
    try:
        return train_fully(job, device=best_device(), **options)  # type: ignore[arg-type]
    except StorageError:
        raise
    except TrainingError as error:
        return replace(job.about, failure=str(error), diverged=True)
    except Exception as error:  # whatever a block raises costs its own training alone
        return replace(job.about, failure=reason_of(error, _SMALLER))


def _stop_at_end_of_input(stop: threading.Event) -> None:
    # Not by sys.stdin, whose lock a thread would hold when the program ends.
    while os.read(0, 1024):
        pass
    stop.set()
    threading.Event().wait(_GRACE_SECONDS)
    os._exit(0)


def _say(out: TextIO, message: object) -> None:
    try:
        out.write(json.dumps(message) + "\n")
        out.flush()
    except BrokenPipeError:
        return  # the driver has gone, and stdin says so too


if __name__ == "__main__":
    main()
