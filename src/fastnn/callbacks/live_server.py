"""The web server of a live page: the standard library's, on 127.0.0.1, for those who know the address.

Nothing can be written through it. A request has to carry the token in its path and this machine's name as its host: the
first keeps other users of the machine out, the second a web page elsewhere whose name was pointed at 127.0.0.1.
"""

import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastnn.callbacks.live_board import Board

REFRESH_SECONDS = 0.25  # between two messages to a page, however many epochs there were
_QUIET_SECONDS = 10.0  # after which a page is told that the server is still there
_FILES = {
    "": ("index.html", "text/html; charset=utf-8"),
    "live.js": ("live.js", "text/javascript; charset=utf-8"),
    "live.css": ("live.css", "text/css; charset=utf-8"),
}
_UPLOT_FILES = {
    "uplot.js": ("uPlot.iife.js", "text/javascript; charset=utf-8"),
    "uplot.css": ("uPlot.min.css", "text/css; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def _uplot_folder() -> Path:
    """Return the folder of uPlot, which draws the curves, without importing the package that brings it."""
    found = find_spec("uplot")
    for package in (found and found.submodule_search_locations) or ():
        folder = Path(package, "static")
        if (folder / "uPlot.iife.js").is_file():
            return folder
    raise ImportError('the live page needs uplot-python: pip install "fastnn[live]"')


class LiveServer:
    """Serves a board until it is closed.

    Parameters
    ----------
    board : Board
    port : int
        0 takes a free one.

    Raises
    ------
    ImportError
        If uPlot is not installed.
    """

    def __init__(self, board: Board, port: int):
        self.board = board
        self.uplot = _uplot_folder()
        self.token = secrets.token_urlsafe(16)
        self.is_closed = False
        self._http = _Server(("127.0.0.1", port), _Handler)
        self._http.live = self
        self.port = self._http.server_address[1]
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, name="fastnn-live", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The page's address, with its token."""
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def close(self) -> None:
        """Stop serving; pages that are open keep what they show."""
        if not self.is_closed:
            self.is_closed = True
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    live: LiveServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that was closed is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 30
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: stdout belongs to the program that trains."""

    def do_GET(self) -> None:
        live = self.server.live
        if self.headers.get("Host") not in (f"127.0.0.1:{live.port}", f"localhost:{live.port}"):
            self._send(403, b"this page is for 127.0.0.1 only", "text/plain")
            return
        address = urlsplit(self.path)
        token, _, name = address.path[1:].partition("/")
        if not secrets.compare_digest(token.encode(), live.token.encode()):
            self._send(404, b"not found", "text/plain")
        elif name == "events":
            self._send_events(live)
        elif name == "histograms":
            self._send_histograms(live, parse_qs(address.query).get("run", [""])[0])
        elif name in _FILES:
            file, kind = _FILES[name]
            self._send(200, resources.files("fastnn.callbacks").joinpath("live_page", file).read_bytes(), kind)
        elif name in _UPLOT_FILES:
            file, kind = _UPLOT_FILES[name]
            self._send(200, (live.uplot / file).read_bytes(), kind)
        else:
            self._send(404, b"not found", "text/plain")

    def _send_histograms(self, live: LiveServer, number: str) -> None:
        run = live.board.run(int(number)) if number.isascii() and number.isdigit() and len(number) < 10 else None
        if run is None:
            self._send(404, b"not found", "text/plain")
        else:
            self._send(200, json.dumps(run.histograms()).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _send_events(self, live: LiveServer) -> None:
        """Send news as server-sent events, until the page or the server is closed."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.close_connection = True
        seen: dict[int, tuple[int, int, str]] = {}
        last = time.monotonic()
        while not live.is_closed:
            news = live.board.news(seen)
            now = time.monotonic()
            if news:
                self.wfile.write(b"data: " + json.dumps(news, separators=(",", ":")).encode() + b"\n\n")
                last = now
            elif now - last > _QUIET_SECONDS:
                self.wfile.write(b": still here\n\n")
                last = now
            self.wfile.flush()
            time.sleep(REFRESH_SECONDS)
