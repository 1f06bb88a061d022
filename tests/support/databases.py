"""Storages for tests: one fresh study's address of every kind that can be had here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.shared.database_servers import SERVERS, Server
from nas.spec.storage_url import StorageUrl

KINDS = ("sqlite", *SERVERS, "grpc")


@pytest.fixture(scope="session")
def server_of() -> Iterator[Callable[[str], Server]]:
    """The server of a kind, started when it is first asked for."""
    running: dict[str, Server] = {}
    with ExitStack() as stack:

        def found(kind: str) -> Server:
            if reason := SERVERS[kind].missing():
                pytest.skip(reason)
            if kind not in running:
                running[kind] = stack.enter_context(SERVERS[kind]())
            return running[kind]

        yield found


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, server_of: Callable[[str], Server]) -> Server:
    """One test for every kind of server."""
    return server_of(request.param)


@contextmanager
def fresh_address(kind: str, request: pytest.FixtureRequest) -> Iterator[StorageUrl]:
    """A study's name that nobody has used, in a storage of a kind."""
    name = f"study-{uuid.uuid4().hex[:8]}"
    folder: Path = request.getfixturevalue("tmp_path")
    sqlite = StorageUrl.parse(f"sqlite:///{folder}/studies.db").of(name)
    if kind == "sqlite":
        yield sqlite
    elif kind in SERVERS:
        yield StorageUrl.parse(request.getfixturevalue("server_of")(kind).url).of(name)
    else:
        with served(sqlite) as proxy:
            yield proxy.of(name)


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest) -> Iterator[StorageUrl]:
    """One test for every kind."""
    with fresh_address(request.param, request) as found:
        yield found


@contextmanager
def served(address: StorageUrl) -> Iterator[StorageUrl]:
    """A gRPC proxy in front of a storage."""
    pytest.importorskip("grpc")
    import grpc
    from optuna.storages._grpc.server import api_pb2_grpc
    from optuna.storages._grpc.servicer import OptunaStorageProxyService

    from nas.strategy.storage.database import connect

    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        service = OptunaStorageProxyService(connect(address).storage)
        api_pb2_grpc.add_StorageServiceServicer_to_server(service, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield StorageUrl.parse(f"grpc://127.0.0.1:{port}")
        finally:
            server.stop(None).wait()
