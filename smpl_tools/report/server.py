"""The report from a server of this machine alone, which reads its files again when they change."""

from __future__ import annotations

import contextlib
import http.server
import json
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smoothnet_core._reading import one_line
from smpl_tools.formats._files import reason
from smpl_tools.motion import Motion
from smpl_tools.report.data import report_data
from smpl_tools.report.pages import page, title_of

ADDRESS = "127.0.0.1"
# Names by which this machine calls itself. A page of somebody else's, whose name they let point here, has another.
_HOSTS = ("127.0.0.1", "localhost")


class Files:
    """The files that are shown, and the last page that could be made of them.

    Attributes:
        paths: of the files.
    """

    def __init__(self, paths: tuple[Path, ...], read: Callable[[], list[Motion]], **how: Any) -> None:
        """Read the files for the first time.

        Args:
            paths: of the files or folders.
            read: reads all of them.
            how: see :func:`smpl_tools.report.data.report_data`.

        Raises:
            ValueError: they cannot be shown.
        """
        self.paths = paths
        self._read = read
        self._how = how
        self._lock = threading.Lock()
        self._error = ""
        # Numbers of a server before this one mean nothing to it.
        self._run, self._count = secrets.token_hex(4), 0
        self._seen = self._signature()
        self._page = self._made()

    def state(self) -> dict[str, str]:
        """Return the version of the page, after looking whether the files changed, and why there is no newer one."""
        with self._lock:
            now = self._signature()
            if now != self._seen:
                self._seen = now
                try:
                    self._page = self._made()
                    self._error = ""
                # Whatever a half-written file does to its reader, the page before it stays.
                except Exception as error:
                    self._error = one_line(reason(error))
            return {"version": self._version, "error": self._error}

    def page(self) -> bytes:
        """Return the last page that could be made."""
        self.state()
        return self._page

    def _made(self) -> bytes:
        motions = self._read()
        data = report_data(*motions, **self._how)
        self._count += 1
        self._version = f"{self._run}-{self._count}"
        return page(data, title_of(motions), live=self._version).encode()

    def _signature(self) -> tuple[Any, ...]:
        """Return what changes when a file does; of a folder, of all files in it."""
        found: list[Any] = []
        for path in self.paths:
            for one in [path, *(sorted(path.rglob("*")) if path.is_dir() else [])]:
                try:
                    stat = one.stat()
                    found.append((str(one), stat.st_mtime_ns, stat.st_size, stat.st_ino))
                except OSError:
                    found.append((str(one), None))
        return tuple(found)


class _Handler(http.server.BaseHTTPRequestHandler):
    files: Files
    protocol_version = "HTTP/1.1"
    # A browser that says nothing more does not hold its thread for ever.
    timeout = 60

    def do_GET(self) -> None:
        host = (self.headers.get("Host") or "").rsplit(":", 1)[0].lower()
        if host not in _HOSTS:
            self._answer(403, "text/plain", b"This server answers to 127.0.0.1 and localhost only.\n")
        elif self.path == "/":
            self._answer(200, "text/html; charset=utf-8", self.files.page())
        elif self.path == "/state":
            self._answer(200, "application/json", json.dumps(self.files.state()).encode())
        else:
            self._answer(404, "text/plain", b"There is nothing here.\n")

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a page asks more than once a second."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""


def serve(files: Files, port: int, started: Callable[[str], None]) -> None:
    """Serve the page of files to this machine until it is interrupted.

    Args:
        files: what is shown.
        port: to listen on; 0 takes a free one.
        started: is told the address once the server answers.

    Raises:
        ValueError: the port is taken or not allowed.
    """
    handler = type("_FilesHandler", (_Handler,), {"files": files})
    try:
        server = _Server((ADDRESS, port), handler)
    except OSError as error:
        raise ValueError(
            f"port {port}: cannot be used: {reason(error)} (--port names another, 0 any free one)"
        ) from None
    with server:
        started(f"http://{ADDRESS}:{server.server_port}/")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.2)
