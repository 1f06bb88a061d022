"""Following runs in a browser: the report over HTTP, on this machine alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from nas.base.errors import NasError, SpecError
from nas.report.overview import Overview
from nas.report.page import render
from nas.report.snapshot import read_stamp, read_state
from nas.runs.run import Run, open_run, runs_below

__all__ = ["HOST", "Server", "serve"]

HOST = "127.0.0.1"
"""The address of the loopback: nobody else can ask."""

_HOSTS = {HOST, "localhost", "::1"}


class _Page(Protocol):
    """A page, and what names the state that it shows. Both raise NasError."""

    def read_state(self) -> dict[str, str]: ...

    def render(self) -> str: ...


class _RunPage:
    """The page of one run. among: it is served below one of several."""

    def __init__(self, path: Path, *, among: bool = False) -> None:
        self.path, self.among = path, among

    @cached_property
    def _run(self) -> Run:
        return open_run(self.path)

    def read_state(self) -> dict[str, str]:
        return {"stamp": read_stamp(self._run), "state": read_state(self._run)}

    def render(self) -> str:
        # A resumed run may have another run.yaml.
        return render(open_run(self.path), live=True, among=self.among)


class _Kept:
    """A page that is rendered once for each state of what it shows."""

    def __init__(self, page: _Page) -> None:
        self._page = page
        self._rendered: tuple[object, str] | None = None
        self._lock = Lock()

    def stamp(self) -> str:
        """Return what names the state now, as JSON."""
        return json.dumps(self._page.read_state())

    def render(self) -> str:
        """Return the page as all is now."""
        with self._lock:
            state = self._page.read_state()
            if self._rendered is None or self._rendered[0] != state:
                self._rendered = state, self._page.render()
            return self._rendered[1]


class Server(ThreadingHTTPServer):
    """A server of `/`, the page, and of `/stamp`, which changes when what it shows does.

    Of a folder of runs, `/` is the page of all, and `/NAME/` that of one.

    what: a run, or a folder of runs.
    port: 0 takes any free one.
    Raises SpecError when the port cannot be had, and NasError when the run cannot be read.
    """

    daemon_threads = True

    def __init__(self, what: Run | Path, port: int = 0) -> None:
        self._folder = what if isinstance(what, Path) else None
        first = Overview(what) if isinstance(what, Path) else _RunPage(what.path)
        self._pages: dict[str, _Kept] = {"/": _Kept(first)}
        self._pages["/"].render()  # what cannot be read is said before anybody looks
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise SpecError(
                f"port {port} on {HOST}: {error.strerror or error}; choose another with --port"
            ) from None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def find_page(self, path: str) -> _Kept | None:
        """Return the page of an address that ends with a slash; None where there is none."""
        if path not in self._pages and self._folder is not None:
            # A run that was started since; looked up among those that there are.
            for run in runs_below(self._folder):
                self._pages.setdefault(f"/{run.name}/", _Kept(_RunPage(run, among=True)))
        return self._pages.get(path)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        # Another site's name may be made to point here (DNS rebinding); it is not ours.
        try:
            host = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        except ValueError:
            host = None
        if host not in _HOSTS:
            self._answer(403, "text/plain", "this server answers on the loopback alone")
            return
        folder, _, name = unquote(urlsplit(self.path).path).rpartition("/")
        page = self.server.find_page(f"{folder}/")
        if page is None or name not in ("", "stamp"):
            self._answer(404, "text/plain", "not here; see /")
        elif name == "stamp":
            self._respond("application/json", page.stamp)
        else:
            self._respond("text/html", page.render)

    def _respond(self, kind: str, respond: Callable[[], str]) -> None:
        try:
            text = respond()
        except NasError as error:
            if kind == "application/json":
                self._answer(200, kind, json.dumps({"error": str(error)}))
            else:
                self._answer(503, "text/plain", str(error))
            return
        self._answer(200, kind, text)

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode(errors="backslashreplace")
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        return None


def serve(what: Run | Path, port: int = 0, *, ready: Callable[[str], None] = print) -> None:
    """Serve until interrupted.

    what: a run, or a folder of runs.
    port: 0 takes any free one.
    ready: is told the address.
    Raises SpecError, StorageError.
    """
    with Server(what, port) as server:
        ready(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
