"""The connection to Optuna's storages behind a URL, with patience while they are away.

A database that restarts, or a network that is gone for a while, stops nothing: whatever is to
be written waits. What was written when the answer got lost is looked up and not written again.
"""

from __future__ import annotations

import random
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import optuna
import sqlalchemy
import sqlalchemy.exc
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine, event

from nas.base.errors import SpecError, StorageError
from nas.base.optional_package import install
from nas.spec.storage_url import PASSWORD, StorageUrl

__all__ = ["Connection", "connect"]

_PATIENCE = 300.0  # seconds that a storage may be away
_LONGEST_PAUSE = 5.0
_SILENTLY = 5.0  # seconds of waiting before somebody is told
_LONGEST_FREEZE = 20  # seconds, of a process with an open transaction
_EXTRAS = {"postgresql": "postgres", "mysql": "mysql", "grpc": "grpc"}
# An answer that never comes: without these a dead server is noticed after a quarter of an hour.
_CONNECT_ARGS: dict[str, dict[str, object]] = {
    "postgresql": {
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    },
    "mysql": {"connect_timeout": 10, "read_timeout": 60, "write_timeout": 60},
    "sqlite": {"timeout": 30},
}

_Result = TypeVar("_Result")


class Connection:
    """A storage that answered once, with the patience for when it does not.

    It is closed when nobody holds it any more.

    patience: seconds that the storage may be away.
    say: hears, from whichever thread, that it has to be waited for, and when it is there again.
    """

    def __init__(self, address: StorageUrl, storage: BaseStorage, patience: float) -> None:
        self.address = address
        self.storage = storage
        self.patience = patience
        self.say: Callable[[str], None] = lambda text: None
        self._waited_for = False
        # The storage itself is part of a cycle, which may be collected late.
        close = storage.engine.dispose if isinstance(storage, RDBStorage) else storage.close  # type: ignore[attr-defined]
        weakref.finalize(self, close)

    def do(
        self, action: Callable[[], _Result], again: Callable[[], _Result] | None = None
    ) -> _Result:
        """Carry out an action on the storage, as often as it takes until it answers.

        again: what to do instead after a failure that may have come after the action took
            effect; None: the same, which does not mind.
        Raises StorageError when patience ends, or when the storage refuses the action.
        """
        began, pause = time.monotonic(), 0.1
        while True:
            try:
                result = action()
                if self._waited_for:
                    self._waited_for = False
                    self.say(f"{self.address} answers again")
                return result
            except (StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
                cause = error.__cause__ or error
                if not isinstance(
                    cause, (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)
                ) and not getattr(cause, "connection_invalidated", False):
                    raise StorageError(f"{self.address}: {_reason(self.address, cause)}") from None
                failure = cause
            except (KeyError, ValueError, UpdateFinishedTrialError):
                raise
            except Exception as error:
                if not _away(error):
                    raise
                failure = error
            waited = time.monotonic() - began
            if waited > _SILENTLY and not self._waited_for:
                self._waited_for = True
                self.say(
                    f"{self.address} does not answer ({_reason(self.address, failure)}); waiting "
                    f"for it, {self.patience:.0f} s at most"
                )
            if waited > self.patience:
                raise StorageError(
                    f"{self.address} has not answered for {self.patience:.0f} s "
                    f"({_reason(self.address, failure)}); when it does again: nas resume RUN"
                ) from None
            action = again or action
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)


def connect(address: StorageUrl, *, make: bool = True, patience: float = _PATIENCE) -> Connection:
    """Open a storage.

    make: whether to make its tables, where there are none. Else they must be there, and nothing
        is written: who only looks may have no right to, and may have mistyped the name.
    patience: seconds that the storage may be away later.
    Raises StorageError when it does not answer now, SpecError when its driver is not installed
    or it holds no tables.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def open_storage() -> BaseStorage:
        return _grpc(address) if address.kind == "grpc" else _database(address, make=make)

    last: Exception | None = None
    for attempt in range(3):  # two that make the same tables at once: the second finds them then
        try:
            return Connection(address, open_storage(), patience)
        except ImportError:
            raise SpecError(
                f"{address.kind} needs a package that is not here: {install(_EXTRAS[address.kind])}"
            ) from None
        except (StorageInternalError, sqlalchemy.exc.SQLAlchemyError) as error:
            last = error.__cause__ or error  # type: ignore[assignment]
            if isinstance(last, sqlalchemy.exc.OperationalError) and address.kind != "sqlite":
                break
        except RuntimeError as error:  # made by another version of Optuna
            last = error
            break
        except Exception as error:
            if not _away(error):
                raise
            last = error
            break
        time.sleep(0.2 * (attempt + 1))
    assert last is not None
    hint = ""
    if "password" in str(last).lower():
        hint = f"; its password is read from {PASSWORD}"
        hint += " or ~/.pgpass" if address.kind == "postgresql" else ""
    raise StorageError(f"{address} cannot be opened: {_reason(address, last)}{hint}")


def _database(address: StorageUrl, *, make: bool) -> BaseStorage:
    arguments = {
        "pool_pre_ping": True,
        "connect_args": _CONNECT_ARGS[address.kind],
    }
    # Optuna fills in a template.
    url = address.connection_url().replace("{", "{{").replace("}", "}}")
    if not make:
        _check_tables(address, arguments)
    storage = RDBStorage(url, engine_kwargs=arguments, skip_table_creation=not make)
    if address.kind == "sqlite":
        _lock_from_the_start(storage.engine)
    elif address.kind == "postgresql":
        _let_go_when_frozen(storage.engine)
    return storage


def _check_tables(address: StorageUrl, arguments: dict[str, Any]) -> None:
    engine = sqlalchemy.create_engine(address.connection_url(), **arguments)
    try:
        if not sqlalchemy.inspect(engine).has_table("studies"):
            raise SpecError(f"{address} holds no searches: none was ever begun there")
    finally:
        engine.dispose()


def _let_go_when_frozen(engine: Engine) -> None:
    """Have PostgreSQL end the transaction of a process that is stopped in the middle of it.

    It would keep its locks, and all others waiting, for as long as it sleeps.
    """

    @event.listens_for(engine, "connect")
    def limit(connection: Any, record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {_LONGEST_FREEZE * 1000}")
        connection.commit()

    engine.dispose()


def _lock_from_the_start(engine: Engine) -> None:
    """Give every transaction SQLite's lock when it begins, not when it writes.

    SQLite knows no SELECT ... FOR UPDATE, on which Optuna relies to let one process alone take a
    waiting trial.
    """

    @event.listens_for(engine, "connect")
    def no_implicit_begin(connection: Any, record: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: SqlConnection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()


def _grpc(address: StorageUrl) -> BaseStorage:
    import grpc
    from optuna.storages import GrpcStorageProxy

    where = urlsplit(address.url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        proxy = GrpcStorageProxy(host=where.hostname or "localhost", port=where.port or 0)
    try:
        proxy.wait_server_ready(timeout=10)
    except (grpc.FutureTimeoutError, ConnectionError):
        raise StorageError(f"{address} cannot be opened: nothing answers there") from None
    return proxy


def _away(error: Exception) -> bool:
    """Say whether a gRPC proxy, or the database behind it, does not answer now."""
    code = getattr(error, "code", None)
    if not type(error).__module__.startswith("grpc") or not callable(code):
        return False
    return getattr(code(), "name", "") in {"UNAVAILABLE", "UNKNOWN", "DEADLINE_EXCEEDED"}


def _reason(address: StorageUrl, error: BaseException) -> str:
    """Return the first line of what a driver says; SQLAlchemy adds the statement and a link."""
    original = getattr(error, "orig", None) or error
    details = getattr(error, "details", None)
    text = details() if callable(details) else str(original)
    lines = [line for line in str(text).splitlines() if line.strip()] or [type(error).__name__]
    return address.without_secret(lines[0])[:300]
