"""Folders as buckets of S3: objects, parts of them and listings, without users and signatures.

>>> with BucketServer(folder) as server:
...     open_slide("s3://bucket/slide/", storage_options=server.options)
...     server.bytes_sent

For what S3 does beyond that there is `tests.servers.s3`.
"""

from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.servers.messages import Answer, Request
from tests.servers.ranges import RangeServer

__all__ = ["BucketServer"]

_PAGE = 1000


class BucketServer(RangeServer):
    """Serves the folders in a folder as buckets."""

    @property
    def options(self) -> dict[str, Any]:
        """What s3fs needs to reach the buckets."""
        return {
            "anon": True,
            "endpoint_url": self.origin,
            "use_listings_cache": False,
            # By default requests are repeated after 15 s, which pass on a busy machine
            "config_kwargs": {"read_timeout": 120},
        }

    def _send(self, request: Request) -> Answer:
        path = self.folder / request.path.lstrip("/")
        if path.is_dir():
            # There are no folders in a bucket, only names with slashes
            is_bucket = path.parent == self.folder
            return self._list_objects(path, dict(request.query)) if is_bucket else Answer(404)
        return super()._send(request)

    def _send_file(self, request: Request, path: Path) -> Answer:
        answer = super()._send_file(request, path)
        answer.headers["Last-Modified"] = format_datetime(_changed(path), usegmt=True)
        return answer

    def _list_objects(self, bucket: Path, query: dict[str, str]) -> Answer:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        most = min(int(query.get("max-keys", _PAGE)), _PAGE)
        after = query.get("continuation-token", query.get("start-after", ""))
        # Nothing outside of this folder has the prefix, and there may be very much of it
        folder = bucket / prefix[: prefix.rfind("/") + 1].lstrip("/")
        paths = {
            path.relative_to(bucket).as_posix(): path
            for path in folder.rglob("*")
            if path.is_file()
        }
        found: dict[str, str] = {}
        for key in sorted(key for key in paths if key.startswith(prefix)):
            below, end, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if end:
                shared = prefix + below + end
                text = f"<CommonPrefixes><Prefix>{escape(shared)}</Prefix></CommonPrefixes>"
                found.setdefault(shared, text)
            else:
                found[key] = _entry(key, paths[key])
        names = [name for name in found if name > after]
        page = names[:most]
        is_cut = len(names) > most
        more = (
            f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if is_cut else ""
        )
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{escape(bucket.name)}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(page)}</KeyCount><MaxKeys>{most}</MaxKeys>"
            f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>{more}"
            f"{''.join(found[name] for name in page)}</ListBucketResult>"
        )
        return Answer(200, {"Content-Type": "application/xml"}, body.encode())


def _entry(key: str, path: Path) -> str:
    status = path.stat()
    return (
        f"<Contents><Key>{escape(key)}</Key><LastModified>{_changed(path).isoformat()}"
        f'</LastModified><ETag>"{status.st_mtime_ns:x}-{status.st_size:x}"</ETag>'
        f"<Size>{status.st_size}</Size></Contents>"
    )


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
