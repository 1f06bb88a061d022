"""Following a run in a browser: the report over HTTP, on this machine alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from nas.base.errors import NasError, SpecError
from nas.report.page import render
from nas.report.snapshot import read_stamp, read_state
from nas.runs.run import Run, open_run

__all__ = ["HOST", "Server", "serve"]

HOST = "127.0.0.1"
"""The address of the loopback: nobody else can ask."""

_HOSTS = {HOST, "localhost", "::1"}


class Server(ThreadingHTTPServer):
    """A server of `/`, the page, and of `/stamp`, which changes when the run does.

    port: 0 takes any free one.
    Raises SpecError when the port cannot be had, and NasError when the run cannot be read.
    """

    daemon_threads = True

    def __init__(self, run: Run, port: int = 0) -> None:
        self.run = run
        self._page: tuple[object, str] | None = None
        self._lock = Lock()
        render(run, live=True)  # what cannot be read is said before anybody looks
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

    def read_state(self) -> dict[str, str]:
        """Return what names the state of the run now.

        Raises NasError.
        """
        return {"stamp": read_stamp(self.run), "state": read_state(self.run)}

    def render_page(self) -> str:
        """Return the page as the run is now; it is rendered once for each state of it.

        Raises NasError.
        """
        with self._lock:
            state = self.read_state()
            if self._page is None or self._page[0] != state:
                # A resumed run may have another run.yaml.
                self._page = state, render(open_run(self.run.path), live=True)
            return self._page[1]


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
        routes: dict[str, tuple[str, Callable[[], str]]] = {
            "/": ("text/html", self.server.render_page),
            "/stamp": ("application/json", lambda: json.dumps(self.server.read_state())),
        }
        path = urlsplit(self.path).path
        if path not in routes:
            self._answer(404, "text/plain", "not here; see /")
            return
        kind, respond = routes[path]
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
        body = text.encode()
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


def serve(run: Run, port: int = 0, *, ready: Callable[[str], None] = print) -> None:
    """Serve until interrupted.

    port: 0 takes any free one.
    ready: is told the address.
    Raises SpecError, StorageError.
    """
    with Server(run, port) as server:
        ready(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
