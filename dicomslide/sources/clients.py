"""Frames behind any client of the ``dicomweb_client`` interface."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dicomweb_client.api import DICOMfileClient
from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentTypeError, DicomSlideError, FrameError, SourceError
from dicomslide.metadata.frames import number_of_frames
from dicomslide.metadata.pixel_format import is_encapsulated
from dicomslide.sources.base import FrameSource, FrameStore
from dicomslide.sources.dicomweb import WebService, service_of_client
from dicomslide.sources.files import open_image_file
from dicomslide.sources.folders import find_files, looks_like_dicom
from dicomslide.sources.refusals import (
    FRAME_LISTS,
    UNAUTHORIZED,
    is_refused,
    remember_refusal,
    status_of,
)
from dicomslide.sources.sidebyside import side_by_side
from dicomslide.sources.urls import without_secrets
from dicomslide.sources.webframes import batch_size_of, check_frames, frame_bits, web_frames

__all__ = ["ClientFrames", "ask_each", "asking", "frame_source"]

T = TypeVar("T")
R = TypeVar("R")

_MEDIA_TYPES = {
    "image/jpeg": ("50", "51", "57", "70"),
    "image/jls": ("80", "81"),
    "image/jp2": ("90", "91"),
    "image/jphc": ("201", "202", "203"),
    "image/jxl": ("110", "111", "112"),
}
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_RLE = "1.2.840.10008.1.2.5"
_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


def ask_each(client: Any, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Call a function that asks a client for each item, several at once where that is possible."""
    # Other clients may belong to one thread
    if isinstance(client, WebService):
        return side_by_side(function, items)
    return [function(item) for item in items]


@contextmanager
def asking(client: Any) -> Iterator[None]:
    """Have whatever a client raises end as a SourceError, with its status where it tells one."""
    try:
        yield
    except DicomSlideError:
        raise
    # Each client has errors of its own
    except Exception as error:
        name = without_secrets(str(getattr(client, "base_url", ""))) or "the client"
        text = " ".join(str(error).split())
        raise SourceError(f"{name}: {type(error).__name__}: {without_secrets(text)}") from error


def frame_source(client: Any, dataset: Dataset) -> FrameSource:
    """Find where the frames of an image instance are.

    Frames that a ``DICOMfileClient`` knows are read from their file directly, which works from
    any thread; the client is only asked which file it is.

    Raises
    ------
    TypeError
        When the client is none
    SourceError
        When the client does not know the instance
    """
    if isinstance(client, FrameStore):
        return client.frame_source(dataset)
    if isinstance(client, DICOMfileClient):
        _, frames = open_image_file(_path_of(client, str(dataset.get("SOPInstanceUID"))))
        return frames
    service = client if isinstance(client, WebService) else service_of_client(client)
    if service is None and not callable(getattr(client, "retrieve_instance_frames", None)):
        raise ArgumentTypeError(
            f"client: expected a dicomweb_client.api.DICOMClient, got {type(client).__name__}"
        )
    study, series, instance = (
        str(dataset.get(keyword))
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    syntax = _transfer_syntax(dataset)
    if service is not None:
        return web_frames(service, service.instance_url(study, series, instance), dataset, syntax)
    count, frame_bytes = number_of_frames(dataset), frame_bits(dataset) // 8
    return ClientFrames(client, study, series, instance, count, frame_bytes, syntax)


@dataclass(frozen=True)
class ClientFrames:
    """The frames of an image instance that a client retrieves.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient
        Client
    study, series, instance : str
        Study, Series and SOP Instance UID
    count : int
        Number of frames
    frame_bytes : int
        Size of a decoded frame
    transfer_syntax_uid : str
        Transfer Syntax UID; empty where the metadata do not tell, then each frame does
    """

    client: Any
    study: str
    series: str
    instance: str
    count: int
    frame_bytes: int
    transfer_syntax_uid: str

    @property
    def name(self) -> str:
        """Name of the instance in messages."""
        return f"image {self.instance}"

    @property
    def token(self) -> str:
        """A name that is the same for the same instance of the same service."""
        return f"{self._base_url} {self.instance}"

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the frames that it brings."""
        return True

    @property
    def batch_size(self) -> int:
        """How many frames are best read with one call."""
        return batch_size_of(
            self.frame_bytes, self.transfer_syntax_uid, is_refused(self._base_url, FRAME_LISTS)
        )

    @property
    def _base_url(self) -> str:
        return str(getattr(self.client, "base_url", ""))

    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames; see `FrameSource.read`."""
        check_frames(frames, self.count, self.name)
        numbers = [frame + 1 for frame in frames]
        if len(numbers) < 2:
            return self._ask(numbers)
        last: list[bytes] = []
        if not is_refused(self._base_url, FRAME_LISTS):
            try:
                return self._ask(numbers)
            except SourceError as error:
                if status_of(error.__cause__) in (None, UNAUTHORIZED):
                    raise
            # One frame alone tells whether the list was refused. Where an image has fewer frames
            # than it says, it is the last one that is missing
            last = self._ask(numbers[-1:])
        alone = numbers[: len(numbers) - len(last)]
        found = [frame for number in alone for frame in self._ask([number])]
        # Not before all of them came: one that is missing spoils a list, too
        remember_refusal(self._base_url, FRAME_LISTS)
        return found + last

    def _ask(self, numbers: list[int]) -> list[bytes]:
        """Retrieve frames, which are numbered from 1 on, with one request."""
        try:
            found = self.client.retrieve_instance_frames(
                study_instance_uid=self.study,
                series_instance_uid=self.series,
                sop_instance_uid=self.instance,
                frame_numbers=numbers,
                media_types=_media_types(self.transfer_syntax_uid),
            )
        except (OSError, ValueError) as error:
            raise SourceError(
                f"{self.name}: frames {numbers} were not delivered: {error}"
            ) from error
        if len(found) != len(numbers):
            raise FrameError(
                f"{self.name}: {len(found)} frames were delivered for the {len(numbers)} asked for"
            )
        return list(found)


def _transfer_syntax(dataset: Dataset) -> str:
    stored = getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID")
    available = dataset.get("AvailableTransferSyntaxUID")
    # The frames can be had in each of several
    several = isinstance(available, Sequence) and not isinstance(available, str)
    return str(stored or ("" if several else available) or "")


def _media_types(transfer_syntax_uid: str) -> tuple[tuple[str, str], ...] | None:
    """Ask for the frames as they are stored (PS3.18 8.7.3)."""
    if not transfer_syntax_uid:
        return None
    if not is_encapsulated(transfer_syntax_uid):
        return (("application/octet-stream", _EXPLICIT_LITTLE_ENDIAN),)
    if transfer_syntax_uid == _RLE:
        return (("image/dicom-rle", _RLE),)
    ending = transfer_syntax_uid.removeprefix(_JPEG_FAMILY)
    for media_type, endings in _MEDIA_TYPES.items():
        if ending in endings:
            return ((media_type, transfer_syntax_uid),)
    return (("application/octet-stream", transfer_syntax_uid),)


def _path_of(client: DICOMfileClient, uid: str) -> Path:
    """Find the file of an instance: in the client's database, else by looking into its folder.

    The client's own connection to the database belongs to the thread that made it.
    """
    folder = Path(client.url_prefix)
    database = getattr(getattr(client, "_db_manager", None), "_db_file_identifier", None)
    if database and database != ":memory:":
        try:
            connection = sqlite3.connect(f"{Path(database).resolve().as_uri()}?mode=ro", uri=True)
            try:
                query = "SELECT _file_path FROM instances WHERE SOPInstanceUID = ?"
                found = connection.execute(query, (uid,)).fetchone()
            finally:
                connection.close()
        except sqlite3.Error:
            found = None
        if found is not None:
            return folder / found[0]
    for path in filter(looks_like_dicom, find_files(folder)):
        try:
            dataset, _ = open_image_file(path)
        except DicomSlideError:
            continue
        if str(dataset.get("SOPInstanceUID")) == uid:
            return Path(path)
    raise SourceError(f"image {uid} is in none of the files of {folder}")
