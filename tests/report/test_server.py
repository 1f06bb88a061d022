"""The server as a browser and as a stranger would ask it."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest
from support.simulated_run import simulated_run

from nas.base.errors import SpecError, StorageError
from nas.report.server import HOST, Server
from nas.runs.run import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return simulated_run(tmp_path / "run", stop_after=8, search={"trials": 12})


@pytest.fixture
def server(run: Run) -> Iterator[Server]:
    with Server(run) as made:
        thread = Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server: Server, path: str, *, method: str = "GET", host: str | None = None):  # type: ignore[no-untyped-def]
    connection = http.client.HTTPConnection(HOST, server.server_address[1], timeout=400)
    with closing(connection):
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers


def test_the_page_and_its_stamp(server: Server, run: Run) -> None:
    status, page, headers = ask(server, "/")
    assert status == 200 and "<body data-live>" in page
    assert headers["Cache-Control"] == "no-store" and headers["Server"]
    status, text, _ = ask(server, "/stamp")
    now = json.loads(text)
    assert status == 200 and now["state"] == "stopped" and f'"stamp": "{now["stamp"]}"' in page
    with (run.path / "events.log").open("a") as file:
        file.write("something happened\n")
    assert json.loads(ask(server, "/stamp")[1])["stamp"] != now["stamp"]
    assert ask(server, "/?again")[0] == 200


@pytest.mark.parametrize("path", ["/run.yaml", "/../run.yaml", "//etc/passwd", "/%2e%2e/run.yaml"])
def test_nothing_else_is_served(server: Server, path: str) -> None:
    status, text, _ = ask(server, path)
    assert (status, text) == (404, "not here; see /")


def test_other_names_and_methods_are_refused(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for other in ("evil.example:80", "evil.example", "[", "::1"):
        assert ask(server, "/", host=other)[0] == 403, other
    for own in ("localhost", "127.0.0.1", "[::1]:80"):
        assert ask(server, "/", host=own)[0] == 200, own
    assert ask(server, "/", host=f"localhost:{server.server_address[1]}")[0] == 200
    assert ask(server, "/", method="POST")[0] == 501


def test_a_run_that_goes_away_is_said_and_comes_back(server: Server, run: Run) -> None:
    shutil.move(run.path, run.path.with_name("moved"))
    status, text, _ = ask(server, "/stamp")
    assert status == 200 and "has no study.journal" in json.loads(text)["error"]
    assert ask(server, "/")[0] == 503
    shutil.move(run.path.with_name("moved"), run.path)
    assert ask(server, "/")[0] == 200


def test_a_folder_of_runs_has_a_page_of_all_and_one_of_each(run: Run, tmp_path: Path) -> None:
    other = simulated_run(tmp_path / "two & <b>", search={"trials": 14, "sampler": "random"})
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.yaml").write_text("data: [\n")
    with Server(tmp_path) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        status, page, _ = ask(server, "/")
        assert status == 200 and "3 runs" in page and "two &amp; &lt;b&gt;" in page
        assert "cannot be read: " in page and "broken/space.yaml" in page
        assert 'href="two%20%26%20%3Cb%3E/"' in page and "optuna-dashboard" in page
        status, page, _ = ask(server, "/two%20%26%20%3Cb%3E/")
        assert status == 200 and 'href="../"' in page and "finished" in page
        assert json.loads(ask(server, "/run/stamp")[1])["state"] == "stopped"
        before = json.loads(ask(server, "/stamp")[1])
        assert set(before) == {str(tmp_path / name) for name in ("broken", "run", other.path.name)}
        late = simulated_run(tmp_path / "late", search={"trials": 6})
        after = json.loads(ask(server, "/stamp")[1])
        assert after == before | {str(late.path): after[str(late.path)]}
        assert ask(server, "/late/")[0] == 200 and ">late<" in ask(server, "/")[1]
        for path in ("/none/", "/run/run.yaml", "/run", "/run/../broken/x", "/%2e%2e/"):
            assert ask(server, path)[0] == 404, path
        assert ask(server, "/broken/")[0] == 503
        server.shutdown()
        thread.join()


def test_a_taken_port_is_one_line(server: Server, run: Run) -> None:
    with pytest.raises(SpecError, match="choose another with --port"):
        Server(run, server.server_address[1])


def test_what_cannot_be_read_is_not_served(run: Run) -> None:
    (run.path / "study.journal").unlink()
    with pytest.raises(StorageError):
        Server(run)


def test_optuna_opens_the_same_storage_and_changes_nothing(run: Run) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal = run.path / "study.journal"
    before, names = journal.read_bytes(), sorted(run.path.iterdir())
    storage = JournalStorage(JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name=None, storage=storage)
    assert len(study.trials) == len(run.trials())
    complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
    assert complete[0].values and complete[-1].params["blocks.1"]
    assert study.user_attrs["objectives"] == ["loss", "latency_ms"]
    assert journal.read_bytes() == before and sorted(run.path.iterdir()) == names
