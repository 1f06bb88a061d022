from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from nas.base.errors import SpecError
from nas.base.files import dump_yaml
from nas.cli.parsing import with_option
from nas.spec.runner import load_runner
from nas.spec.storage_url import PASSWORD, StorageUrl


@pytest.fixture(autouse=True)
def no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSWORD, raising=False)


def test_a_password_is_read_and_never_shown() -> None:
    address = StorageUrl.parse("postgresql://me:s3cr%40t@host:5432/db?sslmode=require#run-1")
    assert (address.password, address.study, address.kind) == ("s3cr@t", "run-1", "postgresql")
    assert str(address) == "postgresql://me@host:5432/db?sslmode=require#run-1"
    assert "s3cr" not in repr(address)
    assert address.connection_url() == (
        "postgresql+psycopg://me:s3cr%40t@host:5432/db?sslmode=require"
    )
    assert address.without_secret("no s3cr@t,\n nor s3cr%40t") == "no ***, nor ***"


def test_a_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    address = StorageUrl.parse("mysql://me@host/db")
    assert address.connection_url() == "mysql+pymysql://me@host/db"
    monkeypatch.setenv(PASSWORD, "p/w")
    assert address.connection_url() == "mysql+pymysql://me:p%2Fw@host/db"
    assert address.without_secret("denied: p/w") == "denied: ***"


def test_a_file_is_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert StorageUrl.parse("sqlite:///a.db").url == f"sqlite:///{tmp_path}/a.db"
    again = StorageUrl.parse(f"sqlite:///{tmp_path}/a.db")
    assert StorageUrl.parse(str(again)) == again


READS_ALL = sqlalchemy.make_url("sqlite:///%3F").database == "?"  # which SQLAlchemy 2.0 does not
NAMES = st.text(
    st.characters(exclude_characters="/\0" if READS_ALL else "/\0?@", exclude_categories=["Cs"]),
    min_size=1,
)


@given(NAMES.map(lambda name: f"/{name}.db"))
def test_a_file_of_any_name_is_the_same_however_often_its_url_is_read(path: str) -> None:
    """Each option of a command reads the whole runner again: `%25`, `?` and `#` got lost there."""
    address = StorageUrl.parse(f"sqlite:///{quote(path)}")
    again = StorageUrl.parse(str(StorageUrl.parse(str(address))))
    assert again == address
    assert sqlalchemy.make_url(address.connection_url()).database == path


@given(name=NAMES, study=NAMES)
def test_names_of_users_databases_and_studies_come_through(name: str, study: str) -> None:
    quoted = quote(name, safe="")
    text = f"postgresql://{quoted}@host:5432/{quoted}?application_name={quoted}"
    address = StorageUrl.parse(text).of(study)
    assert StorageUrl.parse(str(address)) == address
    url = sqlalchemy.make_url(address.connection_url())
    assert (url.username, url.database, url.query["application_name"]) == (name, name, name)


@pytest.mark.parametrize("name", ["a%25b", "a%3Fb", "a%23b", "a%2541", "a b", "{x}", "a+b", "ä"])
def test_options_of_a_command_leave_the_storage_as_it_was(name: str, tmp_path: Path) -> None:
    runner = load_runner(None, (f"storage=sqlite:///{tmp_path}/{name}.db",))
    changed = with_option(runner, "--trials", "search.trials=3")
    assert changed.storage == runner.storage


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sqlite:////tmp/a?b.db", "a ? in the name of its file as %3F"),
        ("sqlite:////tmp/a%00.db", "zero byte"),
        ("redis://host/0", "unknown storage 'redis'; allowed: postgresql://"),
        ("postgres://host/db", "unknown storage 'postgres'; allowed: postgresql://"),
        ("postgresql://me@host", "needs a database"),
        ("postgresql://me@host:port/db", "cannot be read"),
        ("postgresql://me@host/db?password=hush", "a secret in its option 'password'"),
        ("postgresql://me@host/db?sslpassword=hush", "a secret in its option 'sslpassword'"),
        ("mysql://me@host/db?ssl_key_password=hush", "a secret in its option 'ssl_key_password'"),
        ("postgresql://me:12/hush@host/db", "with / or @ in it is written with %2F and %40"),
        ("//me:hush@host/db", "unknown storage ''; allowed"),
        ("sqlite://", "needs a file"),
        ("grpc://host", "written grpc://HOST:PORT"),
        ("grpc://host:1/db", "written grpc://HOST:PORT"),
    ],
)
def test_wrong_urls_say_what_is_allowed(text: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        StorageUrl.parse(text)
    assert told in str(caught.value) and "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("storage=postgresql://me:hush@host/db", "the URL holds a password"),
        ("storage=nowhere", "unknown storage 'nowhere'; allowed: journal, postgresql://"),
        ("storage=sqlite:////tmp/a.db#run", "leave out '#run'"),
        ("storage=sqlite:////tmp/a#b.db", "is written %23"),
        ("lease=0.1", "lease: found 0.1"),
        ("search.attempts=0", "search.attempts: found 0"),
    ],
)
def test_a_runner_keeps_no_password(override: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_runner(None, (override,))
    assert told in str(caught.value) and "hush" not in str(caught.value)


def test_a_runner_remembers_its_storage() -> None:
    runner = load_runner(None, ("storage=postgresql://me@host/db", "executor=worker"))
    assert "storage: postgresql://me@host/db\n" in dump_yaml(runner)


@pytest.mark.parametrize(
    "name",
    ["study.db", "a b.db", "100%.db", "%2F.db", "#1.db", "ü", *(["?x=1.db"] if READS_ALL else [])],
)
def test_a_file_of_any_name_has_a_url_that_means_it(name: str, tmp_path: Path) -> None:
    address = StorageUrl.of_file(tmp_path / name)
    assert sqlalchemy.make_url(address.connection_url()).database == str(tmp_path / name)
    assert StorageUrl.parse(address.url) == address
    with sqlalchemy.create_engine(address.connection_url()).connect():
        assert (tmp_path / name).is_file()


@pytest.fixture
def older_sqlalchemy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read names of databases as SQLAlchemy 2.0 does."""

    def read(url: str) -> SimpleNamespace:
        address, _, path = url.partition("://")[2].partition("/")
        mixed_up = "@" in path and address
        return SimpleNamespace(database=None if mixed_up else path.partition("?")[0])

    monkeypatch.setattr(sqlalchemy, "make_url", read)


@pytest.mark.usefixtures("older_sqlalchemy")
def test_an_older_sqlalchemy_gets_names_as_they_stand(tmp_path: Path) -> None:
    address = StorageUrl.of_file(tmp_path / "100%25@ü.db")
    assert address.connection_url() == f"sqlite:///{tmp_path}/100%25@ü.db"
    address = StorageUrl.parse("postgresql://a%25b@host/a%25b?application_name=a%25b")
    assert address.connection_url() == "postgresql+psycopg://a%25b@host/a%b?application_name=a%25b"


@pytest.mark.usefixtures("older_sqlalchemy")
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sqlite:////tmp/a%3Fb.db", "a%3Fb.db"),
        ("mysql://me:hush@host/a%3Fb", "a%3Fb"),
        ("postgresql://me:hush@host:5432/a%40b", "a%40b"),
    ],
)
def test_an_older_sqlalchemy_cannot_read_every_name(text: str, name: str) -> None:
    with pytest.raises(SpecError, match=rf"{name}: before version 2\.1 SQLAlchemy") as caught:
        StorageUrl.parse(text).connection_url()
    assert "hush" not in str(caught.value)
