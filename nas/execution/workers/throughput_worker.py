"""The program that trains for as long as it is watched, and says how many images it has seen.

A spec, an architecture and how many trainings at a time come in on stdin, JSON lines go out on
stdout; it ends when its stdin ends, and when one of them fails.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from dataclasses import replace

__all__ = ["main"]

_WARM_UP, _STEPS = 20, 10  # steps of each before the first report, and between two
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
    from nas.training.device import own_stream
    from nas.training.precision import backend_flags
    from nas.training.proxies import PROXIES
    from nas.training.turns import Turns

    spec = EvaluatorSpec.from_dict(start["spec"]).fetch()
    architecture = Architecture.from_json(start["architecture"])
    setting, turns = setting_of(spec), Turns()
    seen = [0] * start["at_a_time"]

    def train(number: int) -> None:
        with own_stream(setting.device)(), turns:
            training = PROXIES[spec.proxy.kind].begin(architecture, setting, number)
            training.recipe = replace(training.recipe, length=_FOR_EVER, unit="steps", cycles=())

            def after_step(done: int, _of: int) -> None:
                if done % _STEPS == 0:
                    assert training.recent_loss  # waits for the device
                    seen[number] = training.images_seen
                    if number == 0 and done >= _WARM_UP:
                        report = {"images": sum(seen), "at": time.monotonic()}
                        out.write(json.dumps(report) + "\n")
                        out.flush()
                turns.pass_on()

            training.run(progress=after_step)

    def train_or_end(number: int) -> None:
        try:
            train(number)
        except BaseException:  # such as no memory: so many do not fit
            traceback.print_exc()
            os._exit(1)

    with backend_flags(spec.proxy.computed_in, setting.device):
        threads = [
            threading.Thread(target=train_or_end, args=(number,), daemon=True)
            for number in range(len(seen))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _stop_at_end_of_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
