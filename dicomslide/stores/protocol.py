"""What is asked of a store of images."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from pydicom.dataset import Dataset

from dicomslide.errors.failures import Failure
from dicomslide.sources.base import FrameSource

__all__ = ["ImageQuery", "ImageStore"]


@dataclass(frozen=True)
class ImageQuery:
    """Which images are wanted of a store.

    A query saves a store from looking up what nobody needs. Images that do not match it may be
    given all the same: they are left out afterwards.

    Parameters
    ----------
    study_instance_uid : str, optional
        Study Instance UID of the images
    series_instance_uid : str, optional
        Series Instance UID of the VOLUME and THUMBNAIL images. What was derived from them, and
        LABEL and OVERVIEW images, may be in other series
    filters : mapping of str to str
        Keywords of further attributes to their values, which may have the wild cards ``*`` and
        ``?`` (PS3.4 C.2.2.2.4), of VL Whole Slide Microscopy Images
    include_derived : bool
        Whether Segmentations and Parametric Maps are wanted
    correct_color : bool
        Whether ICC profiles are needed
    failures : list, optional
        Takes up what cannot be read, so that the rest is given. Without it the first error is
        raised
    """

    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    include_derived: bool = True
    correct_color: bool = True
    failures: list[Failure] | None = None


@runtime_checkable
class ImageStore(Protocol):
    """A place where the image instances of slides are.

    Whatever has these members is taken by `dicomslide.open_slide`, `dicomslide.open_slides`,
    `dicomslide.find_slides`, the xarray engine, and in place of a client by `dicomslide.Slide`,
    `dicomslide.TiledImage` and `dicomslide.TotalPixelMatrix`.
    """

    @property
    def name(self) -> str:
        """Name of the store in messages, without secrets."""

    def images(self, query: ImageQuery) -> Iterable[Dataset]:
        """Give the metadata of the image instances in the store.

        Parameters
        ----------
        query : ImageQuery
            Which of them are wanted

        Returns
        -------
        iterable of pydicom.dataset.Dataset
            All attributes of each instance but its pixels

        Raises
        ------
        SourceError
            When the store does not deliver
        """

    def frame_sources(self, datasets: Sequence[Dataset]) -> Sequence[FrameSource]:
        """Find the frames of image instances, of all that are asked for together.

        No frames need to be read.

        Parameters
        ----------
        datasets : sequence of pydicom.dataset.Dataset
            Metadata of instances, which may have been got elsewhere

        Returns
        -------
        sequence of FrameSource
            One for each data set, in the same order

        Raises
        ------
        SourceError
            When there is no such instance in the store, or it does not deliver
        """
