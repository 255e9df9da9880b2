"""What a server can do wrong: functions that make another answer of the right one.

>>> server.misbehave(status(503, retry_after="1"), when="/frames/", times=2)
"""

import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.servers.messages import Answer, Fault, Part, Request

__all__ = [
    "announce",
    "bomb",
    "change_metadata",
    "change_parts",
    "cut",
    "drip",
    "hang_up",
    "never_end",
    "one_part_only",
    "redirect",
    "silence",
    "status",
    "with_headers",
]


def drip(pause: float) -> Fault:
    """Send the body byte by byte, with a pause before each."""
    return lambda _, answer: replace(answer, pause=pause)


def hang_up(*, reset: bool = False) -> Fault:
    """Close or reset the connection without an answer."""
    return lambda *_: Answer(status=0, reset=reset)


def silence(seconds: float = 3600) -> Fault:
    """Let the client wait, at most until the server stops; then answer after all."""
    return lambda _, answer: replace(answer, delay=seconds)


def status(code: int, *, retry_after: str | None = None, **headers: str) -> Fault:
    """Answer with a status code and without what was asked for."""
    fields = {"Content-Type": "text/plain", **headers}
    if retry_after is not None:
        fields["Retry-After"] = retry_after
    return lambda *_: Answer(code, fields, f"no luck: {code}\n".encode())


def cut(share: float = 0.5, *, chunked: bool = False, reset: bool = False) -> Fault:
    """Close or reset the connection in the middle of the body."""
    return lambda _, answer: replace(answer, stop_after=share, chunked=chunked, reset=reset)


def change_parts(change: Callable[[list[Part]], list[Part]]) -> Fault:
    """Change the parts of a multipart answer."""

    def apply(_: Request, answer: Answer) -> Answer:
        return replace(answer, parts=tuple(change(list(answer.parts or ()))))

    return apply


def one_part_only() -> Fault:
    """Send the first part as the whole body, with its own header fields."""

    def apply(_: Request, answer: Answer) -> Answer:
        if not answer.parts:
            return answer
        return Answer(answer.status, dict(answer.parts[0].headers), answer.parts[0].content)

    return apply


def with_headers(**headers: str | None) -> Fault:
    """Replace header fields (an underscore stands for a hyphen); None removes one."""

    def apply(_: Request, answer: Answer) -> Answer:
        changed = {**answer.headers, **{n.replace("_", "-"): v for n, v in headers.items()}}
        return replace(answer, headers={n: v for n, v in changed.items() if v is not None})

    return apply


def announce(length: int) -> Fault:
    """Send another Content-Length than that of the body."""
    return lambda _, answer: replace(answer, announced=length)


def never_end(piece: bytes = bytes(1 << 16), *, announced: int | None = None) -> Fault:
    """Go on sending after the right body, in chunks or up to a length that is never reached."""

    def body(answer: Answer) -> Iterator[bytes]:
        payload = answer.payload()
        assert isinstance(payload, bytes)
        yield payload
        while True:
            yield piece

    return lambda _, answer: replace(answer, body=body(answer), parts=None, announced=announced)


def bomb(mebibytes: int) -> Fault:
    """Send a small body that grows to many zeros when it is decompressed."""

    def apply(_: Request, answer: Answer) -> Answer:
        compressor = zlib.compressobj(9, wbits=31)
        body = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(mebibytes))
        headers = {**answer.headers, "Content-Encoding": "gzip"}
        return Answer(answer.status, headers, body + compressor.flush())

    return apply


def redirect(origin: str, code: int = 302) -> Fault:
    """Send the client to the same target elsewhere."""
    return lambda request, _: Answer(code, {"Location": origin + request.target})


def change_metadata(change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Fault:
    """Change the data sets of an answer in DICOM JSON (PS3.18 F)."""

    def apply(_: Request, answer: Answer) -> Answer:
        assert isinstance(answer.body, bytes)
        return replace(answer, body=json.dumps(change(json.loads(answer.body))).encode())

    return apply
