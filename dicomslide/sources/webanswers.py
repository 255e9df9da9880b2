"""Answers of web servers to fsspec, which are checked before their body is read."""

from typing import Any

from aiohttp import ClientPayloadError, ClientResponse

from dicomslide.sources.asked import check_answer

__all__ = ["CheckedAnswer"]

# Most bytes of an answer whose size is not known beforehand: the listing of a folder
_LARGEST_PAGE = 1 << 26


class CheckedAnswer(ClientResponse):
    """Answer whose header is checked when it arrives, and whose body is bounded."""

    _limit: int | None = None

    async def start(self, connection: Any) -> ClientResponse:
        """Read the header, and compare it with the request."""
        await super().start(connection)
        fields = {name.lower(): value for name, value in self.headers.items()}
        if self.method == "GET":
            self._limit = check_answer(self.status, fields)
        return self

    async def read(self) -> bytes:
        """Read the body; bodies of errors are not read, and empty."""
        if self._body is None and self.status >= 400:
            self._body = b""
            self.close()
        if self._body is None:
            limit = _LARGEST_PAGE if self._limit is None else self._limit
            pieces, size = [], 0
            try:
                async for piece in self.content.iter_any():
                    size += len(piece)
                    if size > limit:
                        raise ClientPayloadError(f"more than the {limit} bytes expected were sent")
                    pieces.append(piece)
            except BaseException:
                self.close()
                raise
            self._body = b"".join(pieces)
        return self._body
