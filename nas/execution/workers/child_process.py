"""Programs of ours beside this one: JSON lines to them, and their lines back.

They are started as programs of their own rather than through `multiprocessing`, which would run
the user's script again in each of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from nas.base.errors import NasError

__all__ = ["ChildProcess"]

_FIRST_TO_GO = "500"
"""Where memory runs out, a worker dies before the driver: its job is given out again, as often as
it may be. A driver that dies instead is started again with the very jobs that it died of.
"""


class ChildProcess:
    """A program of ours that runs beside this one.

    program: its words.
    threads: that it may compute with.
    log: file that takes what it prints beside its output.
    heard: called, by a thread of its own, with each line of its output, and with None when it has
        ended.
    environment: further variables for it; None: there are none.

    Raises NasError when it cannot be started.
    """

    def __init__(
        self,
        program: Sequence[str],
        *,
        threads: int,
        log: Path,
        heard: Callable[[str | None], None],
        environment: dict[str, str] | None = None,
    ) -> None:
        own = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        try:
            with log.open("ab") as errors:
                self._process = subprocess.Popen(
                    program,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=os.environ | own | (environment or {}),
                    process_group=0,  # a Ctrl-C at the terminal is the driver's to handle
                )
        except OSError as error:
            raise NasError(f"a worker cannot be started: {error.strerror}") from None
        with suppress(OSError):  # Linux tells it so
            Path(f"/proc/{self._process.pid}/oom_score_adj").write_text(_FIRST_TO_GO)
        threading.Thread(target=self._listen, args=(heard,), daemon=True).start()

    def write(self, message: object) -> None:
        """Send it a line of JSON; one that has died takes none."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return  # it has died: its listener says so

    def _listen(self, heard: Callable[[str | None], None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):
                heard(line)
        heard(None)

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def wait(self, patience: float) -> str:
        """Wait for its end, kill it after so many seconds, and say how it ended."""
        try:
            code = self._process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except OSError:
                continue  # what was still to be written has nobody to read it
        if code < 0:
            name = signal.Signals(-code).name
            killed = "; the system may have run out of memory" if name == "SIGKILL" else ""
            return f"killed by {name}{killed}"
        return f"exit code {code}"
