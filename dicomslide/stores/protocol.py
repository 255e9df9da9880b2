"""Interface of stores of images, and the query that they answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pydicom.dataset import Dataset

from dicomslide.errors.failures import Failure
from dicomslide.sources.base import FrameSource

__all__ = ["ImageQuery", "ImageStore"]


@dataclass(frozen=True)
class ImageQuery:
    """Query for images in a store.

    A query saves a store from looking up what is not needed. A store may return images that do not
    match: they are left out afterwards.

    Parameters
    ----------
    study_instance_uid : str, optional
        Study Instance UID of the images
    series_instance_uid : str, optional
        Series Instance UID of the VOLUME and THUMBNAIL images. Derived images, and LABEL and
        OVERVIEW images, may be in other series
    filters : mapping of str to str
        Values of further attributes of VL Whole Slide Microscopy Images by keyword, with the wild
        cards ``*`` and ``?`` (PS3.4 C.2.2.2.4)
    include_derived : bool
        Whether Segmentations, Parametric Maps and annotations are wanted
    correct_color : bool
        Whether ICC profiles are needed
    failures : list, optional
        List that failures to read single images are added to. Without it the first one is raised
    """

    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    include_derived: bool = True
    correct_color: bool = True
    failures: list[Failure] | None = None


@runtime_checkable
class ImageStore(Protocol):
    """Store of the image instances of slides.

    Objects with these members are accepted by `dicomslide.open_slide`, `dicomslide.open_slides`,
    `dicomslide.find_slides`, the xarray engine, and in place of a client by `dicomslide.Slide`,
    `dicomslide.TiledImage` and `dicomslide.TotalPixelMatrix`.
    """

    @property
    def name(self) -> str:
        """Name of the store in messages, without secrets."""

    def images(self, query: ImageQuery) -> Iterable[Dataset]:
        """Find the metadata of the image instances in the store.

        Parameters
        ----------
        query : ImageQuery
            Query for the instances that are needed

        Returns
        -------
        iterable of pydicom.dataset.Dataset
            All attributes of each instance but its pixel data

        Raises
        ------
        SourceError
            When the store does not deliver
        """

    def frame_sources(self, datasets: Sequence[Dataset]) -> Sequence[FrameSource]:
        """Make sources of the frames of image instances, without a need to read frames.

        Parameters
        ----------
        datasets : sequence of pydicom.dataset.Dataset
            Metadata of instances, which may be from elsewhere than `images`

        Returns
        -------
        sequence of FrameSource
            One for each data set, in the same order

        Raises
        ------
        SourceError
            When an instance is not in the store, or the store does not deliver
        """
