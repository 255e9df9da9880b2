"""Records of the slides of a source: each is opened once, and what was read of it is kept."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydicom.dataset import Dataset

from dicomslide.collection.columns import columns_of
from dicomslide.collection.records import FileRecord, InstanceRecord, SlideRecord
from dicomslide.errors import ArgumentTypeError, ArgumentValueError, FrameError, SourceError
from dicomslide.errors.failures import Failures
from dicomslide.metadata.json_model import bulk_data_urls
from dicomslide.metadata.references import read_uid
from dicomslide.opening import find_groups
from dicomslide.opening.assembly import leave_out, make_slides
from dicomslide.sources.base import File
from dicomslide.sources.inflated import InflatedFile
from dicomslide.sources.knownfile import KnownFile, NotingFile, plain_file
from dicomslide.sources.knownservice import NotingService
from dicomslide.sources.remotefile import is_url, local_path
from dicomslide.sources.sidebyside import side_by_side
from dicomslide.sources.urls import is_service_url, without_secrets
from dicomslide.stores.files import FileInstance, FileStore, Paths
from dicomslide.stores.places import Access, open_store
from dicomslide.stores.services import ServiceStore

__all__ = ["name_of_source", "read_slides", "source_of_name"]

_TRANSFER_SYNTAX = "00083002"


def name_of_source(source: object) -> str:
    """Make the name of a source in an index: an absolute path, or a URL without secrets.

    A list of them is one source, with a line for each.

    Raises
    ------
    TypeError
        When `source` is neither a path nor a URL, nor a list of them
    """
    if isinstance(source, (list, tuple)):
        if not source:
            raise ArgumentValueError("sources: a list of paths is empty")
        return "\n".join(map(name_of_source, source))
    if not isinstance(source, (str, os.PathLike)):
        raise ArgumentTypeError(
            f"sources: expected paths or URLs, got {type(source).__name__}; an index can be read "
            "by other programs, which do not have this object"
        )
    text = os.fspath(source)
    if "\n" in text:
        raise ArgumentValueError(f"sources: {text!r} has a line break")
    path = text if os.path.exists(text) or not is_url(text) else local_path(text)
    return without_secrets(text) if path is None else os.path.abspath(path)


def source_of_name(name: str) -> Paths:
    """Make the source that has a name in an index: a path, a URL or a list of them."""
    lines = name.split("\n")
    return lines if len(lines) > 1 else name


def read_slides(
    source: Paths,
    access: Access,
    known: Mapping[str, FileRecord],
    *,
    skips: bool,
) -> Iterator[SlideRecord]:
    """Read the records of the slides of a source.

    Parameters
    ----------
    source : path, URL, or sequence of them
        Source
    access : Access
        What the source is reached with
    known : mapping
        Records of files by path; those that have not changed are not read again
    skips : bool
        Whether slides that cannot be opened are left out; the logger ``dicomslide`` states why

    Yields
    ------
    SlideRecord
        Record of each slide

    Raises
    ------
    OSError, ValueError
        As for `dicomslide.open_slides`
    """
    name = name_of_source(source)
    failures: Failures = [] if skips else None
    store: _NotingFiles | ServiceStore
    if is_service_url(source):
        whole = open_store(source, access.of_service)
        assert isinstance(whole, ServiceStore)
        noting = NotingService(whole.service)
        store = whole.through(noting)
    else:
        store = _NotingFiles(source, access.storage_options, known)
    groups = find_groups(store, None, None, True, True, failures)
    for images in leave_out(groups, failures or ()):
        # Warnings and errors of slides are those of opening them
        for slide in make_slides(store, [images], [] if skips else None):
            files: list[FileRecord] = []
            instances: list[InstanceRecord] = []
            if isinstance(store, ServiceStore):
                instances = [_instance(store, noting, image) for image in images]
            else:
                found = {id(f.file): f for f in map(store.instance, images)}
                files = side_by_side(_file, list(found.values()))
            size = sum(file.size for file in files)
            columns = {**columns_of(slide), "bytes": size or None}
            largest = slide._arrangement.template[0].uid
            yield SlideRecord(name, largest, columns, tuple(files), tuple(instances))


class _NotingFiles(FileStore):
    """Store of files that note what is read of them, unless it is known."""

    def __init__(
        self, source: Paths, storage_options: dict[str, Any] | None, known: Mapping[str, FileRecord]
    ) -> None:
        super().__init__(source, storage_options)
        self._known = known

    def _files(self) -> Iterator[tuple[File, bool]]:
        for file, named in super()._files():
            record = self._known.get(file.path)
            is_same = record is not None and record.state == _state(file)
            yield (
                KnownFile(file, record.parts, record.offsets)
                if record is not None and is_same
                else NotingFile(file),
                named,
            )


def _state(file: File) -> tuple[str, int, str]:
    return file.path, file.size, str(getattr(file, "modified", ""))


def _file(found: FileInstance) -> FileRecord:
    """Make the record of a file that was opened."""
    file, frames = found.file, found.frames
    state = _state(plain_file(file))
    try:
        file.path.encode()
    except UnicodeEncodeError as error:
        raise SourceError(f"{file.path!r}: an index has no names that are not UTF-8") from error
    if isinstance(file, KnownFile):
        return FileRecord(*state, file.parts, file.offsets)
    assert isinstance(file, NotingFile)
    if frames is None:
        return FileRecord(*state, file.parts(file.size))
    # Of a deflated data set all bytes are read, pixels included
    if isinstance(frames.file, InflatedFile):
        return FileRecord(*state, file.parts(frames.file.start))
    offsets = None
    # Slides with damaged frames can be opened; the error is raised where frames are read
    with suppress(FrameError):
        offsets = frames.find_offsets()
    # Without offsets the first bytes of Pixel Data are looked at
    known = 0 if offsets is not None or frames.index is None else len(frames.index.first)
    return FileRecord(*state, file.parts(frames.start + known), offsets)


def _instance(store: ServiceStore, noting: NotingService, dataset: Dataset) -> InstanceRecord:
    """Make the record of an instance that was retrieved."""
    item = dict(noting.metadata[read_uid(dataset)])
    if syntax := store.transfer_syntax_of(dataset):
        # Otherwise a frame is retrieved to learn it whenever the slide is opened
        item[_TRANSFER_SYNTAX] = {"vr": "UI", "Value": [syntax]}
    urls = [url for _, url in bulk_data_urls(item)]
    values = {url: noting.bulk_data[url] for url in urls if url in noting.bulk_data}
    return InstanceRecord(item, values)
