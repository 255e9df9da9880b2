"""Servers of the files of a folder that are programs of their own: FTP and WebDAV.

>>> with run_ftp(slide.folder, tmp_path) as url:
...     open_slide(url)
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.process import run_server

__all__ = ["run_ftp", "run_webdav"]

_FTP = "from pyftpdlib.__main__ import main; main()"
_WEBDAV = "from wsgidav.server.server_cli import run; run()"


@contextmanager
def run_ftp(folder: Path, work: Path) -> Iterator[str]:
    """Serve a folder over FTP, with pyftpdlib; gives its URL. `work` is for a log."""

    def command(port: int) -> list[str]:
        where = ["-i", "127.0.0.1", "-p", str(port), "-d", str(folder)]
        return [sys.executable, "-c", _FTP, *where]

    with run_server(command, work / "ftp.log", speaks_http=False) as port:
        yield f"ftp://127.0.0.1:{port}/"


@contextmanager
def run_webdav(folder: Path, work: Path) -> Iterator[str]:
    """Serve a folder over WebDAV, with WsgiDAV; gives the URL of its server."""

    def command(port: int) -> list[str]:
        where = ["--host", "127.0.0.1", "--port", str(port), "--root", str(folder)]
        # Not the settings that may lie in the working directory
        return [sys.executable, "-c", _WEBDAV, *where, "--auth", "anonymous", "--no-config"]

    with run_server(command, work / "webdav.log") as port:
        yield f"http://127.0.0.1:{port}"
