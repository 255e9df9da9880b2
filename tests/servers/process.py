"""Server programs that run as long as a context lasts."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

__all__ = ["run_server"]

_SECONDS = 60
_ATTEMPTS = 3
# Should the tests be killed, the program ends as well
_WRAPPER = ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


@contextmanager
def run_server(
    command: Callable[[int], Sequence[str]], log: Path, *, speaks_http: bool = True
) -> Iterator[int]:
    """Run a server program on a free port of the loopback interface.

    Parameters
    ----------
    command : callable
        Makes the program and its arguments of the port
    log : pathlib.Path
        File for what the program prints
    speaks_http : bool
        Whether it answers a request for ``/`` when it is ready; others only take connections

    Yields
    ------
    int
        The port
    """
    # Another program may be quicker to take a port
    for _ in range(_ATTEMPTS):
        port = _free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*_WRAPPER, *command(port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            if _answers(process, port, speaks_http):
                yield port
                return
        finally:
            _stop(process)
    raise RuntimeError(f"{command(port)[0]} did not start:\n{log.read_text()[-2000:]}")


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _answers(process: subprocess.Popen, port: int, speaks_http: bool) -> bool:
    end = time.monotonic() + _SECONDS
    while process.poll() is None and time.monotonic() < end:
        with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            try:
                connection.connect()
                if speaks_http:
                    connection.request("GET", "/")
                    connection.getresponse()
                return True
            except (OSError, HTTPException):
                pass
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
