"""Choice of the store for a source: a path, a URL, a client, or a store itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentTypeError, ArgumentValueError, SourceError
from dicomslide.errors.damage import name_of_image, reading
from dicomslide.errors.failures import collecting
from dicomslide.metadata.flavors import SLIDE_MICROSCOPY, accompanies_images
from dicomslide.metadata.kinds import RESULTS, belongs_to_slide
from dicomslide.sources.base import FrameSource
from dicomslide.sources.urls import is_service_url
from dicomslide.stores.files import FileStore, Paths, holds_images
from dicomslide.stores.protocol import ImageQuery, ImageStore
from dicomslide.stores.series import is_like

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMClient

__all__ = [
    "Access",
    "Source",
    "find_images",
    "frame_source",
    "frame_sources",
    "holds_slide",
    "open_store",
    "store_of_client",
]

Source: TypeAlias = "Paths | ImageStore | DICOMClient"
"""Path of a folder or file, list of paths, URL, client of a DICOMweb service, or store."""


@dataclass(frozen=True)
class Access:
    """Parameters for access to a source, as explained in `dicomslide.open_slide`."""

    session: Any = field(default=None, repr=False)
    credentials: tuple[str, str] | str | None = field(default=None, repr=False)
    storage_options: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def of_service(self) -> "Access":
        """Access to a service, which has no file system."""
        return replace(self, storage_options=None)

    def check_unused(self, *names: str, why: str) -> None:
        """Check that parameters are not given, as the source has no use for them."""
        for name in names:
            if getattr(self, name) is not None:
                raise ArgumentValueError(f"{name}: {why}")


def open_store(source: Source, access: Access) -> ImageStore:
    """Make the store of a source; a store is its own.

    Parameters
    ----------
    source : path, URL, sequence of them, dicomweb_client.api.DICOMClient, or ImageStore
        Source of slides
    access : Access
        Session, credentials and options for the source

    Raises
    ------
    TypeError, ValueError
        When `source` is none of these, or has no use for a parameter of `access`
    """
    web, files = ("session", "credentials"), "storage_options"
    if is_service_url(source):
        access.check_unused(files, why="for files, not for services; a session has its options")
        from dicomslide.stores.web import url_store

        return url_store(source, access.session, access.credentials)
    if _is_store(source) or _is_client(source):
        access.check_unused(*web, why="a client or a store has one of its own")
        access.check_unused(files, why="for files, not for clients or stores")
        return store_of_client(source)
    access.check_unused(*web, why="for DICOMweb services, not for files")
    return FileStore(cast(Paths, source), access.storage_options)


def store_of_client(client: object) -> ImageStore:
    """Make the store of a client; a store is its own.

    Raises
    ------
    TypeError
        When `client` is neither a client nor a store
    """
    if _is_store(client):
        return client
    if not _is_client(client):
        raise ArgumentTypeError(
            "client: expected a dicomweb_client.api.DICOMClient or an ImageStore, got "
            f"{type(client).__name__}"
        )
    from dicomslide.stores.web import client_store

    return client_store(client)


def _is_store(value: object) -> TypeGuard[ImageStore]:
    return callable(getattr(value, "frame_sources", None))


def _is_client(value: object) -> "TypeGuard[DICOMClient]":
    return callable(getattr(value, "retrieve_instance_frames", None))


def frame_sources(client: object, datasets: Sequence[Dataset]) -> list[FrameSource]:
    """Find the frames of image instances at a client or in a store.

    Raises
    ------
    TypeError
        When `client` is neither a client nor a store
    SourceError
        When an instance is not there, or the client or store does not deliver
    """
    store = store_of_client(client)
    found = list(store.frame_sources(datasets))
    if len(found) != len(datasets):
        raise SourceError(
            f"{store.name}: the store has {len(found)} frame sources for {len(datasets)} images"
        )
    return found


def frame_source(client: object, dataset: Dataset) -> FrameSource:
    """Find the frames of one image instance; see `frame_sources`."""
    return frame_sources(client, [dataset])[0]


def find_images(store: ImageStore, query: ImageQuery) -> list[Dataset]:
    """Find the images of slides in a store that match a query, and leave out all others.

    Parameters
    ----------
    store : ImageStore
        Store that is searched
    query : ImageQuery
        Query that images have to match

    Returns
    -------
    list of pydicom.dataset.Dataset
        Metadata of images, Presentation States and annotations

    Raises
    ------
    DicomSlideError
        When the store does not deliver, or an image is damaged, unless the query collects failures
    """
    wanted = []
    for dataset in store.images(query):
        name = name_of_image(dataset)
        with collecting(query.failures, name, dataset), reading(name):
            is_part = belongs_to_slide(dataset) or accompanies_images(dataset)
            if is_part and _is_wanted(dataset, query):
                wanted.append(dataset)
    return wanted


def _is_wanted(dataset: Dataset, query: ImageQuery) -> bool:
    sop_class = dataset.get("SOPClassUID")
    if sop_class in RESULTS and not query.include_derived:
        return False
    study = query.study_instance_uid
    if study is not None and str(dataset.get("StudyInstanceUID") or study) != study:
        return False
    # Derived images are part of their study, and may lack attributes of the patient
    return sop_class not in SLIDE_MICROSCOPY or all(
        is_like(str(dataset.get(keyword) or ""), value) for keyword, value in query.filters.items()
    )


def holds_slide(source: Paths) -> bool:
    """Whether a path, a list of paths or a URL seems to hold a slide; False if it cannot be read.

    No requests are made: URLs of services are taken to hold one, URLs of files are not.
    """
    return is_service_url(source) or holds_images(source)
