"""Parquet files of an index, and the folder that they lie in.

An index is a folder of parts. A part is written once and never changed. A row of a later part
stands for a slide instead of the row of an earlier one, so that any number of programs may read an
index while one adds to it, and what is interrupted leaves the index as it was.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsspec.implementations.local import LocalFileSystem

from dicomslide.collection.columns import COLUMNS
from dicomslide.collection.records import FileRecord, InstanceRecord, SlideRecord
from dicomslide.errors import ArgumentValueError, DicomSlideError, SourceError, StoreError
from dicomslide.sources.filesystems import open_file_system
from dicomslide.sources.unreachable import why_unreachable
from dicomslide.sources.urls import name_of_url
from dicomslide.writing.outputs import whole_file

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

__all__ = ["Folder", "Place"]

_FORMAT, _VERSION = b"dicomslide-index", b"1"
# Rows that are read together to open one of their slides: so many bytes, and so many rows
_GROUP_BYTES, _GROUP_ROWS = 1 << 24, 64
# Most bytes of such rows: a single slide may have headers of hundreds of MiB
_MOST_GROUP_BYTES = 1 << 31
# Bytes of a part, after which the next one is begun
_PART_BYTES = 1 << 26
_NUMBERS = ("starts", "ends")


@dataclass(frozen=True)
class Place:
    """Place of a row: name of its part, group of rows in the part, and number in the group."""

    part: str
    group: int
    row: int


class Folder:
    """Folder of the parts of an index.

    Parameters
    ----------
    path : path
        Folder, or URL that fsspec knows
    storage_options : mapping or None
        Options of the file system of a URL

    Raises
    ------
    ArgumentValueError
        When pyarrow is missing, or there is no file system for the URL
    """

    def __init__(
        self, path: str | os.PathLike[str], storage_options: Mapping[str, Any] | None
    ) -> None:
        _import_pyarrow()
        place = os.fspath(path)
        self.name = name_of_url(place)
        try:
            self._files, root = open_file_system(place, dict(storage_options or {}))
        except (ImportError, ValueError) as error:
            raise ArgumentValueError(f"index: {self.name}: {error}") from error
        self._root = root.rstrip("/")

    def parts(self) -> list[str]:
        """List the names of the parts, from the first to the last; none where there is no index.

        Raises
        ------
        SourceError
            When the folder cannot be listed
        """
        with self._reading():
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                return []
        names = [os.path.basename(str(path)) for path in found]
        parts = [(number, name) for name in names if (number := _number_of(name)) is not None]
        return [name for _, name in sorted(parts)]

    def read_columns(self, part: str) -> Iterator[tuple[Place, dict[str, Any]]]:
        """Read the columns of a part that slides are selected by, and where each row is.

        Raises
        ------
        SourceError
            When the part cannot be read, or is none of an index
        """
        names = ["source", "slide", "removed", *COLUMNS]
        with self._open(part) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=names).to_pylist()
                for row, values in enumerate(rows):
                    yield Place(part, group, row), values

    def read_records(self, part: str, group: int) -> list[SlideRecord]:
        """Read a group of rows.

        Raises
        ------
        SourceError
            When the part cannot be read, or is damaged
        """
        with self._open(part) as file:
            size = file.metadata.row_group(group).total_byte_size
            if not 0 <= size <= _MOST_GROUP_BYTES:
                raise SourceError(
                    f"{self.name}: {part} has {size} bytes in a group of rows; at most "
                    f"{_MOST_GROUP_BYTES} are read"
                )
            table = file.read_row_group(group)
        try:
            return [_record_of(row) for row in _rows(table)]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SourceError(f"{self.name}: {part} is damaged: {error}") from error

    def write(self, records: Iterable[SlideRecord]) -> None:
        """Write records as new parts, each of which is there when it is complete.

        Raises
        ------
        StoreError
            When a part cannot be written
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        writer, buffer = None, BytesIO()
        for group in _groups(map(_row_of, records)):
            if writer is None:
                buffer = BytesIO()
                writer = pq.ParquetWriter(buffer, _schema(), **_compression())
            table = pa.Table.from_pylist(group, schema=_schema())
            writer.write_table(table, row_group_size=len(group))
            if buffer.tell() > _PART_BYTES:
                writer.close()
                self._add(buffer.getvalue())
                writer = None
        if writer is not None:
            writer.close()
            self._add(buffer.getvalue())

    def _add(self, content: bytes) -> None:
        last = self.parts()[-1:]
        number = (_number_of(last[0]) or 0) + 1 if last else 1
        # Two programs may take the same number; both parts then count
        name = f"part-{number:06}-{uuid.uuid4().hex[:8]}.parquet"
        with self._writing():
            if isinstance(self._files, LocalFileSystem):
                folder = Path(self._root)
                folder.mkdir(parents=True, exist_ok=True)
                with whole_file(folder / name) as unfinished:
                    unfinished.write_bytes(content)
            else:
                self._files.makedirs(self._root, exist_ok=True)
                self._files.pipe_file(self._path(name), content)

    def _path(self, part: str) -> str:
        return f"{self._root}/{part}"

    @contextmanager
    def _open(self, part: str) -> Iterator[pq.ParquetFile]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with self._reading(), self._files.open(self._path(part), "rb") as content:
            try:
                file = pq.ParquetFile(content, page_checksum_verification=True)
                version = (file.schema_arrow.metadata or {}).get(_FORMAT)
                if version != _VERSION:
                    raise SourceError(
                        f"{self.name}: {part} is not a part of an index of slides of version "
                        f"{_VERSION.decode()}"
                    )
                if lacking := set(_schema().names) - set(file.schema_arrow.names):
                    raise SourceError(f"{self.name}: {part} lacks {', '.join(sorted(lacking))}")
                yield file
            except pa.ArrowException as error:
                raise SourceError(f"{self.name}: {part} is damaged: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except DicomSlideError:
            raise
        # Libraries behind fsspec raise exceptions of many types
        except Exception as error:
            raise SourceError(self._reason(error)) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise StoreError(self._reason(error)) from error

    def _reason(self, error: Exception) -> str:
        text = why_unreachable(error, self.name) or getattr(error, "strerror", None) or str(error)
        return f"{self.name}: {' '.join(text.split()) or type(error).__name__}"


def _number_of(name: str) -> int | None:
    first, _, rest = name.removeprefix("part-").partition("-")
    is_part = name.startswith("part-") and rest.endswith(".parquet") and first.isdecimal()
    return int(first) if is_part else None


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Collect rows that are read together."""
    group: list[dict[str, Any]] = []
    weight = 0
    for row in rows:
        group.append(row)
        weight += _weight(row)
        if weight >= _GROUP_BYTES or len(group) == _GROUP_ROWS:
            yield group
            group, weight = [], 0
    if group:
        yield group


def _weight(row: Mapping[str, Any]) -> int:
    """Count the bytes of a row, roughly."""
    values = [value for file in row["files"] for value in file["parts"]]
    values += [value for instance in row["instances"] for value in instance["bulk_data"]]
    texts = [len(instance["metadata"]) for instance in row["instances"]]
    offsets = [2 * file["starts"].nbytes for file in row["files"] if file["starts"] is not None]
    return sum(len(value["data"]) for value in values) + sum(texts) + sum(offsets)


def _import_pyarrow() -> None:
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ArgumentValueError(
            f"indexes of slides need {error.name}: the extra index installs it"
        ) from error


def _schema() -> pa.Schema:
    """Make the schema of a part, which docs/index-of-slides.md explains."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(),
        "strings": pa.list_(pa.string()),
        "integer": pa.int64(),
        "number": pa.float64(),
    }
    part = pa.struct([("offset", pa.int64()), ("data", pa.large_binary())])
    value = pa.struct([("url", pa.string()), ("data", pa.large_binary())])
    file = pa.struct(
        [
            ("path", pa.string()),
            ("size", pa.int64()),
            ("modified", pa.string()),
            ("parts", pa.list_(part)),
            *((name, pa.list_(pa.int64())) for name in _NUMBERS),
        ]
    )
    instance = pa.struct([("metadata", pa.large_string()), ("bulk_data", pa.list_(value))])
    return pa.schema(
        [
            ("source", pa.string()),
            ("slide", pa.string()),
            ("removed", pa.bool_()),
            *((name, kinds[kind]) for name, kind in COLUMNS.items()),
            ("files", pa.list_(file)),
            ("instances", pa.list_(instance)),
        ],
        metadata={_FORMAT: _VERSION},
    )


def _compression() -> dict[str, Any]:
    """Choose the compression: offsets as differences, the rest by Zstandard; with checksums."""
    return {
        "write_page_checksum": True,
        "compression": "zstd",
        "compression_level": 9,
        "use_dictionary": ["source", "manufacturer", "transfer_syntax_uids.list.element"],
        "column_encoding": {
            f"files.list.element.{name}.list.element": "DELTA_BINARY_PACKED" for name in _NUMBERS
        },
    }


def _row_of(record: SlideRecord) -> dict[str, Any]:
    return {
        "source": record.source,
        "slide": record.slide,
        "removed": record.removed,
        **record.columns,
        "files": [file.to_row() for file in record.files],
        "instances": [instance.to_row() for instance in record.instances],
    }


def _rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, with arrays of NumPy for offsets."""
    names = [name for name in table.column_names if name != "files"]
    for number, row in enumerate(table.select(names).to_pylist()):
        yield {**row, "files": _files(table["files"][number].values)}


def _files(files: pa.StructArray) -> list[dict[str, Any]]:
    plain = "path", "size", "modified", "parts"
    rows = [
        dict(zip(plain, values, strict=True))
        for values in zip(*(files.field(name).to_pylist() for name in plain), strict=True)
    ]
    for name in _NUMBERS:
        for row, numbers in zip(rows, files.field(name), strict=True):
            row[name] = numbers.values.to_numpy() if numbers.is_valid else None
    return rows


def _record_of(row: Mapping[str, Any]) -> SlideRecord:
    return SlideRecord(
        row["source"],
        row["slide"],
        {name: row[name] for name in COLUMNS},
        tuple(map(FileRecord.of_row, row["files"])),
        tuple(map(InstanceRecord.of_row, row["instances"])),
        row["removed"],
    )
