"""A PostgreSQL server of one's own, to be killed and frozen: Debian's package, a socket, no port.

`initdb` refuses to run as root, so root lends it another user.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

__all__ = ["Postgres", "missing"]


def missing() -> str | None:
    """Why no server can be had; None when one can."""
    if _programs() is None:
        return "no PostgreSQL server: apt-get install postgresql"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return 'no psycopg: pip install "attention-nas[postgres]"'
    if os.geteuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root, and there is no other user"
    return None


class Postgres:
    """Made on entering, with an empty database; gone on leaving."""

    def __init__(self) -> None:
        reason = missing()
        assert reason is None, reason
        programs = _programs()
        assert programs is not None
        self._programs = programs
        self._user = _other_user() if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="nas-postgres-"))
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        name = self._user or pwd.getpwuid(os.geteuid()).pw_name
        return f"postgresql://{name}@/postgres?host={self.folder}"

    def __enter__(self) -> Postgres:
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        try:
            self._call("initdb", "-D", str(self._data), "-A", "trust", "--no-sync")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Returns when it answers; after a kill it mends itself first."""
        end = time.monotonic() + 60
        while True:
            if self._server is None or self._server.poll() is not None:
                self._server = self._popen()
            if self._answers():
                return
            assert time.monotonic() < end, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.1)

    def stop(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self._server is not None:
            self.thaw()
            self._server.send_signal(how)
            self._server.wait()
            self._server = None

    def freeze(self) -> None:
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _popen(self) -> subprocess.Popen[bytes]:
        command = [
            str(self._programs / "postgres"),
            *("-D", str(self._data), "-k", str(self.folder)),
            # Processes are killed here, not machines: what they wrote is in the system's hands.
            *("-c", "fsync=off"),
            *("-c", "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=16MB"),
        ]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, user=self._user, cwd=self.folder, process_group=0
            )

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder)]
        return subprocess.run(command).returncode == 0

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(
            command, user=self._user, cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr

    def _signal_all(self, number: signal.Signals) -> None:
        """The server and the processes of its connections."""
        assert self._server is not None
        parent = self._server.pid
        for process in [parent, *_children(parent)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            of = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if of == parent:
            found.append(int(entry.name))
    return found


def _programs() -> Path | None:
    # Debian keeps them out of the PATH.
    found = [*Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if named := shutil.which("postgres"):
        found.append(Path(named).resolve())
    whole = [path.parent for path in found if path.with_name("pg_isready").exists()]
    return max(whole, default=None)


def _other_user() -> str | None:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None
