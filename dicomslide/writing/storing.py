"""Storing of instances at a DICOMweb service: `store` (STOW-RS, PS3.18 10.5)."""

import io
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import fsspec
from pydicom.dataset import Dataset

from dicomslide.arguments import require_type
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, StoreError
from dicomslide.sources.http import DamagedAnswerError, HttpService, Reply, Upload
from dicomslide.sources.urls import SERVICE_PREFIX, is_service_url, name_of_url, without_secrets
from dicomslide.writing.identity import WrittenInstance

__all__ = ["StoredInstance", "store"]

Progress = Callable[[int, int], object]

_JSON = "application/dicom+json"
_LARGEST_ANSWER = 1 << 24
_MEMORY = 1 << 26
# Failure Reasons (PS3.18 I.2.2), by their first digits or as a whole
_REASONS = {
    0x0110: "processing failure",
    0x0111: "an instance with this UID is stored already",
    0x0119: "the class of the instance is not that which was stated",
    0x0122: "its SOP Class is not supported",
    0x0124: "not authorized",
    0x0131: "another value of an attribute was expected",
    0xA700: "out of resources",
    0xA900: "the data set does not match its SOP Class",
    0xC000: "cannot be understood",
}
_MASKS = (0xFFFF, 0xFF00, 0xF000)
_MOST_NAMED = 5


@dataclass(frozen=True)
class StoredInstance:
    """Instance that a service has stored.

    Parameters
    ----------
    sop_instance_uid : str
        SOP Instance UID
    url : str
        URL from which it can be retrieved; empty where the service does not say
    warning : str
        Warning of the service, such as that values were changed; empty where there is none
    """

    sop_instance_uid: str
    url: str
    warning: str


def store(
    instances: Any,
    url: str,
    *,
    session: Any = None,
    credentials: tuple[str, str] | str | None = None,
    storage_options: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> tuple[StoredInstance, ...]:
    """Store instances at a DICOMweb service.

    Each instance is sent in a request of its own, read from its file while it is sent. A request
    that fails on the way is made again a few times.

    Parameters
    ----------
    instances : path, str, pydicom.Dataset, WrittenInstance, or sequence of these
        Files, local or URLs that fsspec knows, what `write_segmentation` and its siblings return,
        or data sets
    url : str
        Service as ``dicomweb+https://host/path``, with ``/studies/…`` at the end if wanted
    session : requests.Session or callable, optional
        Session, or a function without arguments that makes one
    credentials : tuple of str or str, optional
        User and password, or a bearer token; they are sent to no other origin
    storage_options : dict, optional
        Options of the file system of URLs of files
    progress : callable, optional
        Called with the number of bytes that were sent, and that of all, whenever some were

    Returns
    -------
    tuple of StoredInstance
        What the service says about each instance

    Raises
    ------
    TypeError, ValueError
        When an argument cannot be used, or a file is not a DICOM file
    OSError
        When a file cannot be read, or the service does not take an instance: the message says which
        and why. Instances before it, and those after one that was refused, are stored

    Examples
    --------
    >>> written = dicomslide.write_segmentation(…)  # doctest: +SKIP
    >>> dicomslide.store(written, "dicomweb+https://example.org/dicom-web")  # doctest: +SKIP
    """
    service, target = _service(url, session, credentials)
    items = _items(instances)
    counter = _Counter(progress, [_length(item, storage_options) for item in items])
    stored: list[StoredInstance] = []
    refused: list[str] = []
    for index, item in enumerate(items):
        with _opened(item, storage_options) as file:
            _require_dicom(file, _name(item))
            upload = _upload(file, counter.of(index))
            found = service.post(target, _JSON, _LARGEST_ANSWER, _read_answer, upload)
        stored += found.stored
        refused += [f"{_name(item)}: {reason}" for reason in found.refused]
    if refused:
        more = f"; and {len(refused) - _MOST_NAMED} more" if len(refused) > _MOST_NAMED else ""
        raise StoreError(
            f"{service.url}: refused {len(refused)} of {len(items)} instances: "
            f"{'; '.join(refused[:_MOST_NAMED])}{more}"
        )
    return tuple(stored)


def _service(url: Any, session: Any, credentials: Any) -> tuple[HttpService, str]:
    """Make the service of a URL, and the URL of its resource that stores."""
    require_type("url", url, str)
    if not is_service_url(url):
        raise ArgumentValueError(
            f"url: expected a service as dicomweb+https://host/path, got {name_of_url(url)!r}"
        )
    base, _, study = url.removeprefix(SERVICE_PREFIX).partition("/studies/")
    study = study.rstrip("/")
    if "/" in study:
        raise ArgumentValueError(
            f"url: expected /studies/… at the end of {without_secrets(url)!r} at most"
        )
    service = HttpService.at(base, session, credentials)
    return service, f"{service.url}/studies" + (f"/{study}" if study else "")


def _items(instances: Any) -> list[Any]:
    one = (str, os.PathLike, Dataset, WrittenInstance)
    if isinstance(instances, one):
        instances = [instances]
    require_type("instances", instances, Iterable)
    items = list(instances)
    for item in items:
        if not isinstance(item, one):
            raise ArgumentTypeError(
                f"instances: expected a path, a data set or a written instance, got "
                f"{type(item).__name__}"
            )
    return items


def _name(item: Any) -> str:
    if isinstance(item, Dataset):
        return f"instance {item.get('SOPInstanceUID')}"
    return name_of_url(item.path if isinstance(item, WrittenInstance) else os.fspath(item))


@contextmanager
def _opened(item: Any, storage_options: dict[str, Any] | None) -> Iterator[IO[bytes]]:
    """Open the bytes of an instance."""
    if isinstance(item, Dataset):
        with SpooledTemporaryFile(max_size=_MEMORY) as file:
            item.save_as(file, enforce_file_format=True)
            file.seek(0)
            yield file
        return
    place = item.path if isinstance(item, WrittenInstance) else os.fspath(item)
    with fsspec.open(place, "rb", **(storage_options or {})) as file:
        yield file


def _length(item: Any, storage_options: dict[str, Any] | None) -> int:
    with _opened(item, storage_options) as file:
        return file.seek(0, io.SEEK_END)


def _require_dicom(file: IO[bytes], name: str) -> None:
    file.seek(0)
    if file.read(132)[128:] != b"DICM":
        raise ArgumentValueError(f"instances: {name} is not a DICOM file")


@dataclass
class _Counter:
    """Counter of the bytes of all instances that were sent."""

    progress: Progress | None
    lengths: list[int]

    def of(self, index: int) -> Callable[[int], object]:
        """Return what is told how many bytes of an instance were sent."""
        before, total = sum(self.lengths[:index]), sum(self.lengths)

        def tell(sent: int) -> None:
            if self.progress is not None:
                self.progress(before + min(sent, self.lengths[index]), total)

        return tell


class _Body:
    """Body of an upload: an instance between the lines of multipart/related (RFC 2387)."""

    def __init__(
        self, head: bytes, file: IO[bytes], tail: bytes, tell: Callable[[int], object]
    ) -> None:
        self._parts: Sequence[IO[bytes]] = [io.BytesIO(head), file, io.BytesIO(tail)]
        self._length = len(head) + file.seek(0, io.SEEK_END) + len(tail)
        self._tell = tell
        file.seek(0)

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes; none at the end."""
        for number, part in enumerate(self._parts):
            if data := part.read(size):
                if number == 1:
                    self._tell(part.tell())
                return data
        return b""


def _upload(file: IO[bytes], tell: Callable[[int], object]) -> Upload:
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    content_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
    length = len(_Body(head, file, tail, tell))
    return Upload(content_type, length, lambda: _Body(head, file, tail, tell))


@dataclass(frozen=True)
class _Answer:
    """Answer of a service: what it stored, and why it refused the rest."""

    stored: list[StoredInstance]
    refused: list[str]


def _read_answer(reply: Reply) -> _Answer:
    """Read the Store Instances Response (PS3.18 I.2)."""
    try:
        found = json.loads(reply.body) if reply.body.strip() else {}
    except ValueError as error:
        raise DamagedAnswerError(f"the answer is not JSON: {error}") from error
    found = found[0] if isinstance(found, list) and found else found
    if not isinstance(found, dict):
        raise DamagedAnswerError("the answer is not a data set")
    refused = [_reason(item) for item in _values(found, "00081198")]
    refused += [_reason(item) for item in _values(found, "0008119A")]
    stored = [
        StoredInstance(str(_first(item, "00081155")), str(_first(item, "00081190")), _warning(item))
        for item in _values(found, "00081199")
    ]
    if not stored and not refused:
        refused = ["the service says neither that it was stored nor why not"]
    return _Answer(stored, refused)


def _values(item: dict[str, Any], tag: str) -> list[Any]:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _first(item: Any, tag: str) -> Any:
    values = _values(item, tag) if isinstance(item, dict) else []
    return values[0] if values else ""


def _reason(item: Any) -> str:
    code = _first(item, "00081197")
    if not isinstance(code, int):
        return "no reason is given"
    found = next((_REASONS[code & mask] for mask in _MASKS if code & mask in _REASONS), "failed")
    return f"{found} (failure reason {code:04X})"


def _warning(item: Any) -> str:
    code = _first(item, "00081196")
    return f"warning reason {code:04X}" if isinstance(code, int) else ""
