"""moto's S3 server as a process of its own, behind a server that counts what passes.

>>> with run_s3(tmp_path) as bucket:
...     bucket.upload(slide.folder, "slide")
...     open_slide(f"s3://{bucket.name}/slide/", storage_options=bucket.options)
...     bucket.server.bytes_sent
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import requests

from tests.servers.forwarding import ForwardingServer
from tests.servers.process import run_server

__all__ = ["Bucket", "run_s3"]


@dataclass(frozen=True)
class Bucket:
    """A bucket and the server that it is reached through."""

    name: str
    server: ForwardingServer

    @property
    def options(self) -> dict[str, Any]:
        """What s3fs needs to reach the bucket."""
        return {
            "key": "nobody",
            "secret": "nothing",
            "endpoint_url": self.server.origin,
            "client_kwargs": {"region_name": "us-east-1"},
            # Another test may have changed what is there
            "use_listings_cache": False,
        }

    def upload(self, folder: Path, prefix: str) -> str:
        """Store the files of a folder under a prefix; gives its URL."""
        file_system = fsspec.filesystem("s3", **self.options)
        for path in sorted(folder.iterdir()):
            file_system.pipe_file(f"{self.name}/{prefix}/{path.name}", path.read_bytes())
        return f"s3://{self.name}/{prefix}/"


@contextmanager
def run_s3(folder: Path, name: str = "slides") -> Iterator[Bucket]:
    """Run the server with an empty bucket; `folder` is for its log."""

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    with (
        run_server(command, folder / "s3.log") as port,
        ForwardingServer(f"http://127.0.0.1:{port}") as server,
    ):
        requests.put(f"{server.origin}/{name}").raise_for_status()
        yield Bucket(name, server)
