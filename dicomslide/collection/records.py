"""Records of slides in an index: what is needed to open them without asking their source."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dicomslide.errors import SourceError
from dicomslide.sources.base import File
from dicomslide.sources.knownfile import KnownFile, Parts
from dicomslide.sources.localfile import LocalFile
from dicomslide.sources.offsets import EncapsulatedOffsets
from dicomslide.sources.remotefile import RemoteFile, is_url
from dicomslide.sources.service import Json

__all__ = ["FileRecord", "InstanceRecord", "SlideRecord"]


@dataclass(frozen=True, eq=False)
class FileRecord:
    """What is known of a file of a slide.

    Parameters
    ----------
    path : str
        Absolute path, or URL without secrets
    size : int
        Size in bytes
    modified : str
        What changes with the content of the file: its time of change, or an entity tag
    parts : tuple
        Offsets and bytes of the parts of the file that are read when it is opened
    offsets : EncapsulatedOffsets, optional
        Byte ranges of its frames, if they are compressed
    """

    path: str
    size: int
    modified: str
    parts: Parts = field(repr=False)
    offsets: EncapsulatedOffsets | None = field(default=None, repr=False)

    @property
    def state(self) -> tuple[str, int, str]:
        """Path, size and mark of the version of the file."""
        return self.path, self.size, self.modified

    def open(self, storage_options: dict[str, Any] | None) -> KnownFile:
        """Make the file, of which nothing is read; its state is checked when its frames are.

        Raises
        ------
        SourceError
            When the record is damaged
        """
        file: File
        if not os.path.isabs(self.path) and is_url(self.path):
            file = RemoteFile.at(self.path, self.size, self.modified, storage_options)
        elif self.modified.isdecimal():
            file = LocalFile(self.path, self.size, int(self.modified))
        else:
            raise SourceError(f"{self.path}: the index has no time of change")
        return KnownFile(file, self.parts, self.offsets)

    def to_row(self) -> dict[str, Any]:
        """Make the value in the column ``files`` of the index."""
        known = self.offsets
        return {
            "path": self.path,
            "size": self.size,
            "modified": self.modified,
            "parts": [{"offset": offset, "data": data} for offset, data in self.parts],
            "starts": None if known is None else known.starts,
            "ends": None if known is None else known.ends,
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "FileRecord":
        """Read a record from its value in the index.

        Raises
        ------
        ValueError
            When a value is missing
        """
        path, size, modified = row["path"], row["size"], row["modified"]
        parts = tuple((part["offset"], part["data"]) for part in row["parts"])
        if None in (path, size, modified) or any(None in part for part in parts):
            raise ValueError("a file lacks its path, size, version or parts")
        starts, ends = row["starts"], row["ends"]
        offsets = None
        if starts is not None and ends is not None:
            offsets = EncapsulatedOffsets(np.asarray(starts, "i8"), np.asarray(ends, "i8"))
        return cls(path, size, modified, parts, offsets)


@dataclass(frozen=True, eq=False)
class InstanceRecord:
    """What is known of an instance of a slide at a DICOMweb service.

    Parameters
    ----------
    metadata : dict
        Metadata in the DICOM JSON Model (PS3.18 F)
    bulk_data : mapping
        Values by URL that are needed when the slide is opened, such as ICC profiles
    """

    metadata: Json = field(repr=False)
    bulk_data: Mapping[str, bytes] = field(repr=False)

    def to_row(self) -> dict[str, Any]:
        """Make the value in the column ``instances`` of the index."""
        return {
            "metadata": json.dumps(self.metadata, separators=(",", ":")),
            "bulk_data": [{"url": url, "data": data} for url, data in self.bulk_data.items()],
        }

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "InstanceRecord":
        """Read a record from its value in the index."""
        values = {value["url"]: value["data"] for value in row["bulk_data"]}
        return cls(json.loads(row["metadata"]), values)


@dataclass(frozen=True, eq=False)
class SlideRecord:
    """Row of an index.

    Parameters
    ----------
    source : str
        Source that the slide was found in: a folder, a file, a URL; without secrets
    slide : str
        SOP Instance UID of the largest image, which names the slide within its source
    columns : mapping
        Values that slides are selected by: see `COLUMNS`
    files, instances : tuple
        Files of the slide, or its instances at a service
    removed : bool
        Whether the slide is no longer in its source
    """

    source: str
    slide: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[FileRecord, ...] = field(default=(), repr=False)
    instances: tuple[InstanceRecord, ...] = field(default=(), repr=False)
    removed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """Source and name of the slide, which are those of no other row."""
        return self.source, self.slide

    def same_as(self, other: "SlideRecord") -> bool:
        """Whether files or instances are those of another record."""
        return _states(self.files) == _states(other.files) and [
            (i.metadata, i.bulk_data) for i in self.instances
        ] == [(i.metadata, i.bulk_data) for i in other.instances]


def _states(files: Iterable[FileRecord]) -> set[tuple[str, int, str]]:
    return {file.state for file in files}
