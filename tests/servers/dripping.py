"""A server that sends a few bytes of a header now and then, for ever."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

__all__ = ["dripping"]


@contextmanager
def dripping(drop: bytes, start: bytes = b"", pause: float = 0.02) -> Iterator[str]:
    """Answer one connection after another with some bytes, and others again and again.

    Parameters
    ----------
    drop : bytes
        What is sent after each pause
    start : bytes
        What is sent first
    pause : float
        Seconds

    Yields
    ------
    str
        Scheme, host and port
    """
    over = Event()

    def serve() -> None:
        while not over.is_set():
            # The client hangs up, or the port is closed
            with suppress(OSError), listener.accept()[0] as connection:
                connection.sendall(start)
                while not over.wait(pause):
                    connection.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        thread = Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            thread.join()
