"""Database servers of one's own, to be killed and frozen: Debian's packages, a socket, no port."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Self

__all__ = ["SERVERS", "MariaDB", "Postgres", "Server"]


class Server(ABC):
    """Made on entering, with an empty database; gone on leaving."""

    user: str | None = None  # that it runs as; None: the one of this process

    @classmethod
    @abstractmethod
    def missing(cls) -> str | None:
        """Why no server can be had; None when one can."""

    @property
    @abstractmethod
    def url(self) -> str:
        """As in a runner's `storage`."""

    @abstractmethod
    def _initialise(self) -> None: ...

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _answers(self) -> bool: ...

    def __init__(self) -> None:
        reason = self.missing()
        assert reason is None, reason
        self.folder = Path(tempfile.mkdtemp(prefix="nas-server-"))
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            if self.user is not None:
                shutil.chown(self.folder, self.user)
            self._initialise()
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
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                user=self.user,
                cwd=self.folder,
                process_group=0,
            )

    def _call(self, *command: str) -> None:
        done = subprocess.run(
            command, user=self.user, cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _signal_all(self, number: signal.Signals) -> None:
        """The server and the processes of its connections."""
        assert self._server is not None
        parent = self._server.pid
        for process in [parent, *_children(parent)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)


class Postgres(Server):
    """PostgreSQL. `initdb` refuses to run as root, so root lends it another user."""

    def __init__(self) -> None:
        super().__init__()
        programs = _postgres_programs()
        assert programs is not None
        self._programs = programs
        self.user = _other_user() if os.geteuid() == 0 else None

    @classmethod
    def missing(cls) -> str | None:
        """As in Server."""
        if _postgres_programs() is None:
            return "no PostgreSQL server: apt-get install postgresql"
        if find_spec("psycopg") is None:
            return 'no psycopg: pip install "attention-nas[postgres]"'
        if os.geteuid() == 0 and _other_user() is None:
            return "PostgreSQL does not run as root, and there is no other user"
        return None

    @property
    def url(self) -> str:
        """As in Server."""
        name = self.user or pwd.getpwuid(os.geteuid()).pw_name
        return f"postgresql://{name}@/postgres?host={self.folder}"

    def _initialise(self) -> None:
        self._call(
            str(self._programs / "initdb"), "-D", str(self._data), "-A", "trust", "--no-sync"
        )

    def _command(self) -> list[str]:
        return [
            str(self._programs / "postgres"),
            *("-D", str(self._data), "-k", str(self.folder)),
            # Processes are killed here, not machines: what they wrote is in the system's hands.
            *("-c", "fsync=off"),
            *("-c", "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=16MB"),
        ]

    def _answers(self) -> bool:
        command = [str(self._programs / "pg_isready"), "-q", "-h", str(self.folder)]
        return subprocess.run(command).returncode == 0


class MariaDB(Server):
    """MariaDB, which speaks MySQL's protocol."""

    @classmethod
    def missing(cls) -> str | None:
        """As in Server."""
        if any(_found(name) is None for name in ("mariadbd", "mariadb-install-db", "mariadb")):
            return "no MariaDB server: apt-get install mariadb-server"
        if find_spec("pymysql") is None:
            return 'no pymysql: pip install "attention-nas[mysql]"'
        return None

    @property
    def url(self) -> str:
        """As in Server."""
        return f"mysql://root@localhost/nas?unix_socket={self._socket}"

    @property
    def _socket(self) -> Path:
        return self.folder / "socket"

    def _initialise(self) -> None:
        self._call(
            *(_found("mariadb-install-db") or "", "--no-defaults", f"--datadir={self._data}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db", *self._as_root()),
        )

    def start(self) -> None:
        """As in Server."""
        super().start()
        self._client("CREATE DATABASE IF NOT EXISTS nas")

    def _command(self) -> list[str]:
        return [
            *(_found("mariadbd") or "", "--no-defaults", "--skip-networking", *self._as_root()),
            *(f"--datadir={self._data}", f"--socket={self._socket}"),
            *(f"--pid-file={self.folder}/pid", "--innodb-flush-log-at-trx-commit=2"),
        ]

    def _answers(self) -> bool:
        try:
            self._client("SELECT 1")
        except AssertionError:
            return False
        return True

    def _client(self, statement: str) -> None:
        client = _found("mariadb") or ""
        options = ("--no-defaults", f"--socket={self._socket}", "--user=root")
        self._call(client, *options, f"--execute={statement}")

    def _as_root(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []


SERVERS: Mapping[str, type[Server]] = {"postgresql": Postgres, "mysql": MariaDB}
"""By the kind of address."""


def _found(program: str) -> str | None:
    # Debian keeps servers out of a user's PATH.
    return shutil.which(program) or shutil.which(program, path="/usr/sbin")


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


def _postgres_programs() -> Path | None:
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
