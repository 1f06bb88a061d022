"""The program that trains for as long as it is watched, and says how many images it has seen.

A spec and an architecture come in on stdin, JSON lines go out on stdout; it ends when its stdin
ends.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from dataclasses import replace

__all__ = ["main"]

_WARM_UP, _STEPS = 20, 10  # steps before the first report, and between two
_FOR_EVER = 1e9


def main() -> None:
    """Run the program."""
    # What libraries print must not end up between the lines of the protocol.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    start = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_at_end_of_input, daemon=True).start()

    from nas.execution.evaluator import EvaluatorSpec, setting_of  # torch takes seconds
    from nas.spec.architecture import Architecture
    from nas.training.proxies import PROXIES

    spec = EvaluatorSpec.from_dict(start["spec"]).fetch()
    architecture = Architecture.from_json(start["architecture"])
    training = PROXIES[spec.proxy.kind].begin(architecture, setting_of(spec), 0)
    training.recipe = replace(training.recipe, length=_FOR_EVER, unit="steps", cycles=())
    training.run(_WARM_UP)
    while True:
        assert training.recent_loss  # waits for the device
        out.write(json.dumps({"images": training.images_seen, "at": time.monotonic()}) + "\n")
        out.flush()
        training.run(training.spent + _STEPS)


def _stop_at_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
