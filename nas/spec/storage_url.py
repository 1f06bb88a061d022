"""The URL of a study that is no file in the run folder, without its password.

Passwords never stand in a runner file or a run folder; they come from the environment, from
~/.pgpass, or from the URL that somebody types to look at a study from elsewhere.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit, urlunsplit

from nas.base.errors import SpecError

__all__ = ["PASSWORD", "StorageUrl", "is_url"]

PASSWORD = "NAS_STORAGE_PASSWORD"
"""The environment variable with the password of a storage."""

_SCHEMES = {
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "sqlite": "sqlite",
    "grpc": "grpc",
}
_EXAMPLES = (
    "postgresql://USER@HOST/DATABASE, mysql+pymysql://USER@HOST/DATABASE, sqlite:////PATH.db, "
    "grpc://HOST:PORT"
)
_FILE_SAFE = " +/"  # SQLAlchemy's own choice: what it writes without quotes in a database's name
_SECRET = re.compile(r"pass|pwd|secret|token", re.IGNORECASE)
_HARMLESS = {"passfile"}  # where it lies, not what it is


def is_url(text: str) -> bool:
    """Say whether a text names a study by URL, and not a run folder."""
    return "://" in text


@dataclass(frozen=True, slots=True)
class StorageUrl:
    """A storage and a study in it; as text, it is safe to show and to write down.

    url: without password and study, quoted: reading it again gives the same.
    study: None means the only one.
    """

    url: str
    study: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> StorageUrl:
        """Read `SCHEME://USER:PASSWORD@HOST/DATABASE?OPTIONS#STUDY`.

        Raises SpecError, whose message never holds the password.
        """
        try:
            parts = urlsplit(text)
            port, host = parts.port, parts.hostname
        except ValueError:
            raise SpecError(f"a storage URL cannot be read; write one of: {_EXAMPLES}") from None
        _check_scheme(text, parts)
        _check_options(parts.query)
        if parts.scheme == "grpc" and (not host or port is None or parts.path.strip("/")):
            raise SpecError("a gRPC storage is written grpc://HOST:PORT")
        path = _database_path(parts)
        _, _, where = parts.netloc.rpartition("@")
        user = f"{parts.username}@" if parts.username else ""
        url = urlunsplit((parts.scheme, user + where, path, parts.query, ""))
        if parts.scheme == "sqlite":
            url = f"sqlite://{path}"
        password = unquote(parts.password) if parts.password else None
        return cls(url, unquote(parts.fragment) or None, password)

    @classmethod
    def of_file(cls, path: Path) -> StorageUrl:
        """Return the URL of an SQLite file, whatever its name holds."""
        return cls(f"sqlite:///{quote(str(path.resolve()), safe=_FILE_SAFE)}")

    @property
    def kind(self) -> str:
        """The kind of storage: `postgresql`, `mysql`, `sqlite` or `grpc`."""
        return urlsplit(self.url).scheme.partition("+")[0]

    def of(self, study: str) -> StorageUrl:
        """Return the same storage with another study in it."""
        return replace(self, study=study)

    def check_there(self) -> None:
        """Check that an SQLite file is there, since opening it would make one.

        Raises SpecError when it is not.
        """
        path = Path(unquote(urlsplit(self.url).path))
        if self.kind == "sqlite" and not path.exists():
            raise SpecError(f"{self.url}: there is no such file")

    def connection_url(self) -> str:
        """Return the URL that SQLAlchemy takes, with the password: never show it.

        Raises SpecError for a name of a database that this SQLAlchemy cannot read in a URL.
        """
        parts = urlsplit(self.url)
        user, at, where = parts.netloc.rpartition("@")
        password = self.password or os.environ.get(PASSWORD)
        if password and at:
            user = f"{user}:{quote(password, safe='')}"
        before = f"{_SCHEMES[parts.scheme]}://{user}{at}{where}"
        query = f"?{parts.query}" if parts.query else ""
        if not parts.path:
            return f"{before}{query}"
        from sqlalchemy import make_url

        name = unquote(parts.path)
        for path in (parts.path, name):  # before SQLAlchemy 2.1 a name has no quotes in a URL
            url = f"{before}{path}{query}"
            if make_url(url).database == name[1:]:
                return url
        raise SpecError(
            f"{self.url}: before version 2.1 SQLAlchemy reads no ? or @ in the name of a database; "
            "choose another name, or run: pip install --upgrade sqlalchemy"
        )

    def without_secret(self, text: str) -> str:
        """Make a message of a library about this storage one line that is safe to show."""
        for secret in (self.password, os.environ.get(PASSWORD)):
            if secret:
                text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
        return " ".join(text.split())

    def __str__(self) -> str:
        return f"{self.url}#{quote(self.study)}" if self.study else self.url


def _check_scheme(text: str, parts: SplitResult) -> None:
    """Raise SpecError for an unknown kind of storage, and for an @ that may be a password's."""
    if parts.scheme not in _SCHEMES:
        # Of a text with an @ only the scheme is shown: it may hold a password.
        name = repr(parts.scheme) if parts.scheme or "@" in text else repr(text)
        raise SpecError(f"unknown storage {name}; allowed: {_EXAMPLES}")
    if "@" in parts.path and parts.scheme != "sqlite":
        raise SpecError(
            "a storage URL has an @ behind its host: a password with / or @ in it is written "
            f"with %2F and %40, or left out and set as {PASSWORD}"
        )


def _database_path(parts: SplitResult) -> str:
    """Return the quoted path of a URL, of a file as one that means the same anywhere.

    Raises SpecError.
    """
    if parts.scheme == "sqlite":
        if not parts.path.strip("/"):
            raise SpecError("an SQLite storage needs a file: sqlite:////PATH.db")
        if parts.query:
            raise SpecError(
                f"an SQLite storage takes no options; found ?{parts.query}: leave them out, or "
                "write a ? in the name of its file as %3F"
            )
        if "\0" in (name := unquote(parts.path[1:])):
            raise SpecError("the file of an SQLite storage has a zero byte (%00) in its name")
        # Three slashes and a relative path would mean another file from another folder.
        return "/" + quote(str(Path(name).resolve()), safe=_FILE_SAFE)
    if parts.scheme != "grpc" and not parts.path.strip("/"):
        raise SpecError(f"a storage needs a database; write one of: {_EXAMPLES}")
    return parts.path


def _check_options(query: str) -> None:
    """Check that no option of a URL is a secret. Raises SpecError."""
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if _SECRET.search(name) and name.lower() not in _HARMLESS:
            raise SpecError(
                f"the storage URL has a secret in its option {name!r}; leave it out and set "
                f"{PASSWORD} in the environment"
            )
