"""The places of a slide, served by a process of its own: what it has open is not counted.

The program prints what slides are opened with, as JSON, and serves until its input ends.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.ranges import RangeServer
from tests.servers.s3 import run_s3

__all__ = ["serve"]

_ROOT = Path(__file__).parents[2]
Arguments = dict[str, Any]


@contextmanager
def serve(folder: Path, *, s3: bool) -> Iterator[dict[str, Arguments]]:
    """Serve the slide of a folder; gives the keyword arguments of `open_slide` of each place."""
    command = [sys.executable, "-m", "tests.soak.serving", str(folder), str(int(s3))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait()


def main(folder: Path, s3: bool) -> None:
    paths = sorted(folder.glob("*.dcm"))
    with ExitStack() as servers:
        web = servers.enter_context(DicomwebServer(Archive(paths)))
        ranges = servers.enter_context(RangeServer(folder))
        places: dict[str, Arguments] = {
            "files": {"source": str(folder)},
            "DICOMweb": {"source": f"dicomweb+{web.url}"},
            "HTTP": {"source": [ranges.url(path) for path in paths]},
        }
        if s3:
            work = Path(servers.enter_context(tempfile.TemporaryDirectory()))
            bucket = servers.enter_context(run_s3(work))
            url = bucket.upload(folder, "slide")
            places["S3"] = {"source": url, "storage_options": bucket.options}
        print(json.dumps(places), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), bool(int(sys.argv[2])))
