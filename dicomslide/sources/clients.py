"""Frame sources that read through any client of the ``dicomweb_client`` interface."""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

from dicomweb_client.api import DICOMClient, DICOMfileClient
from pydicom.dataset import Dataset

from dicomslide.errors import DicomSlideError, FrameError, SourceError
from dicomslide.metadata.frames import number_of_frames
from dicomslide.metadata.storage import InstanceStorage
from dicomslide.metadata.transfer_syntaxes import OCTETS, is_encapsulated, media_type
from dicomslide.metadata.words import counted
from dicomslide.sources.base import FrameLocation, check_frames
from dicomslide.sources.files import FileFrames, open_image_file
from dicomslide.sources.folders import find_files, looks_like_dicom
from dicomslide.sources.refusals import (
    FRAME_LISTS,
    UNAUTHORIZED,
    is_refused,
    remember_refusal,
    status_of,
)
from dicomslide.sources.service import InstanceUids, Json
from dicomslide.sources.urls import without_secrets
from dicomslide.sources.webframes import batch_size_of, frame_bits

__all__ = ["ClientFrames", "ClientService", "client_frames", "file_client_frames"]


T = TypeVar("T")
R = TypeVar("R")

_EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"


@dataclass(frozen=True)
class ClientService:
    """Service behind a client of the ``dicomweb_client`` interface that does its own requests.

    Exceptions of the client become the cause of a SourceError.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient
        Client that is called
    """

    client: DICOMClient

    @property
    def base_url(self) -> str:
        """URL of the service; empty where the client has none."""
        return str(getattr(self.client, "base_url", ""))

    @property
    def identity(self) -> str:
        """Key of the service, as far as the client tells it."""
        return self.base_url

    def each(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Call a function for each item, one after the other."""
        # Clients of other packages may not be safe to use from several threads
        return [function(item) for item in items]

    def search_for_studies(self) -> list[Json]:
        """Search for all studies."""
        return self._all("search_for_studies")

    def search_for_series(
        self, study: str | None = None, filters: Mapping[str, str] | None = None
    ) -> list[Json]:
        """Search for the series of a study, or of all studies, by values of attributes."""
        place = {"study_instance_uid": study} if study else {}
        return self._all("search_for_series", **place, search_filters=dict(filters or {}))

    def search_for_instance(self, study: str, series: str) -> Json | None:
        """Search for any instance of a series."""
        found = self._ask(
            "search_for_instances", study_instance_uid=study, series_instance_uid=series, limit=1
        )
        return next(iter(found), None)

    def search_in_study(self, study: str) -> tuple[list[Json], int | None]:
        """Search for the series of a study; clients fetch all pages of results, without a count."""
        return self.search_for_series(study), None

    def retrieve_series_metadata(self, study: str, series: str) -> list[Json]:
        """Retrieve the metadata of all instances of a series."""
        return list(
            self._ask(
                "retrieve_series_metadata", study_instance_uid=study, series_instance_uid=series
            )
        )

    def retrieve_instance_metadata(self, uids: InstanceUids) -> Json:
        """Retrieve the metadata of an instance."""
        found: Json = self._ask("retrieve_instance_metadata", **_addressed(uids))
        return found

    def retrieve_bulkdata(self, url: str, _max_bytes: int = 0) -> bytes:
        """Retrieve the value of an attribute as bytes; clients cannot limit their number."""
        return b"".join(self._ask("retrieve_bulkdata", url=url))

    def _all(self, method: str, **arguments: Any) -> list[Json]:
        """Search with a method of the client for all results, on however many pages."""
        search = getattr(self.client, method, None)
        # Clients whose methods lack `get_remaining` fetch all pages anyway
        if callable(search) and "get_remaining" in signature(search).parameters:
            arguments["get_remaining"] = True
        return list(self._ask(method, **arguments))

    def _ask(self, method: str, **arguments: Any) -> Any:
        try:
            return getattr(self.client, method)(**arguments)
        except DicomSlideError:
            raise
        # Clients raise exceptions of whatever libraries they use
        except Exception as error:
            name = without_secrets(self.base_url) or "the client"
            raise SourceError(f"{name}: {type(error).__name__}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Format the message of an error on one line and without the secrets of URLs."""
    return without_secrets(" ".join(str(error).split()))


def _addressed(uids: InstanceUids) -> dict[str, str]:
    """Return the UIDs of an instance as keyword arguments of the client's methods."""
    return {
        "study_instance_uid": uids.study,
        "series_instance_uid": uids.series,
        "sop_instance_uid": uids.instance,
    }


def client_frames(
    client: DICOMClient, uids: InstanceUids, dataset: Dataset, storage: InstanceStorage
) -> "ClientFrames":
    """Make the source of the frames of an image instance that a client retrieves."""
    count, frame_bytes = number_of_frames(dataset), frame_bits(dataset) // 8
    return ClientFrames(client, uids, count, frame_bytes, storage.transfer_syntax_uid)


def file_client_frames(
    client: DICOMfileClient, uids: InstanceUids, dataset: Dataset, storage: InstanceStorage
) -> FileFrames:
    """Make the source of the frames of an image instance in a file of a ``DICOMfileClient``.

    The client is only asked for the path. Frames are read from the file directly, which works from
    any thread.

    Raises
    ------
    SourceError
        When the client does not know the instance
    """
    return open_image_file(_path_of(client, uids.instance))[1]


@dataclass(frozen=True)
class ClientFrames:
    """Source of the frames of an image instance that a client retrieves.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient
        Client that is called
    uids : InstanceUids
        UIDs of the instance
    count : int
        Number of frames
    frame_bytes : int
        Size of a decoded frame in bytes
    transfer_syntax_uid : str
        Transfer Syntax UID; empty where the metadata do not state it
    """

    client: DICOMClient
    uids: InstanceUids
    count: int
    frame_bytes: int
    transfer_syntax_uid: str

    @property
    def name(self) -> str:
        """Name of the instance in messages."""
        return f"image {self.uids.instance}"

    @property
    def token(self) -> str:
        """Key that is equal for the same instance of the same service."""
        return f"{self._base_url} {self.uids.instance}"

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the frames that it brings."""
        return True

    @property
    def batch_size(self) -> int:
        """Number of frames that are best read with one call."""
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
            # If a request for one frame succeeds, the service refused the list, not the frames.
            # The last frame is tried, as it is the one that an image with too few frames lacks
            last = self._ask(numbers[-1:])
        alone = numbers[: len(numbers) - len(last)]
        found = [frame for number in alone for frame in self._ask([number])]
        # The list was refused for being one: a missing frame, for which services refuse a list as
        # well, would have raised above
        remember_refusal(self._base_url, FRAME_LISTS)
        return found + last

    def locate(self, frames: Sequence[int]) -> list[FrameLocation | None]:
        """Return None for each frame, as clients do not tell where frames lie."""
        return [None] * len(frames)

    def close(self) -> None:
        """Do nothing, as nothing is held for the frames."""

    def _ask(self, numbers: list[int]) -> list[bytes]:
        """Retrieve frames by their frame numbers, from 1 on, with one call of the client."""
        try:
            found = self.client.retrieve_instance_frames(
                **_addressed(self.uids),
                frame_numbers=numbers,
                media_types=_media_types(self.transfer_syntax_uid),
            )
        except DicomSlideError:
            raise
        # Clients raise exceptions of whatever libraries they use
        except Exception as error:
            raise SourceError(
                f"{self.name}: frames {numbers} were not delivered: {_reason(error)}"
            ) from error
        if len(found) != len(numbers):
            raise FrameError(
                f"{self.name}: delivered {counted(len(found), 'frame')} for the {len(numbers)} "
                "asked for"
            )
        return list(found)


def _media_types(transfer_syntax_uid: str) -> tuple[tuple[str, str], ...] | None:
    """Choose media types that request frames in their stored transfer syntax (PS3.18 8.7.3)."""
    if not transfer_syntax_uid:
        return None
    if not is_encapsulated(transfer_syntax_uid):
        return ((OCTETS, _EXPLICIT_LITTLE_ENDIAN),)
    return ((media_type(transfer_syntax_uid), transfer_syntax_uid),)


def _path_of(client: DICOMfileClient, uid: str) -> Path:
    """Find the path of an instance: in the client's database, else among the files of its folder.

    The database is opened anew, as the client's connection works only on the thread that made it.
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
