"""Interface of DICOMweb services, over HTTP or through a client."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from pydicom.dataset import Dataset

from dicomslide.errors.damage import reads_image

__all__ = ["InstanceUids", "Json", "Service"]

T = TypeVar("T")
R = TypeVar("R")

Json = dict[str, Any]
"""A data set in the DICOM JSON Model (PS3.18 F)."""


class InstanceUids(NamedTuple):
    """Study, Series and SOP Instance UID, which address an instance."""

    study: str
    series: str
    instance: str

    @classmethod
    def of(cls, dataset: Dataset) -> "InstanceUids":
        """Read the UIDs of an instance from its metadata; missing ones are empty."""
        return cls(*_read_uids(dataset))


@reads_image
def _read_uids(dataset: Dataset) -> tuple[str, str, str]:
    study, series, instance = (
        str(dataset.get(keyword) or "")
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    )
    return study, series, instance


class Service(Protocol):
    """Searches and retrievals of a DICOMweb service (PS3.18 10.4 and 10.6).

    All methods raise a SourceError when the service does not deliver.
    """

    @property
    def base_url(self) -> str:
        """URL of the service, without credentials; a client may have none."""

    @property
    def identity(self) -> str:
        """Key that is equal in all processes for the same service and the same user."""

    def each(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Call a function that asks the service for each item, several at once if possible."""

    def search_for_studies(self) -> list[Json]:
        """Search for all studies."""

    def search_for_series(
        self, study: str | None = None, filters: Mapping[str, str] | None = None
    ) -> list[Json]:
        """Search for the series of a study, or of all studies, by values of attributes."""

    def search_for_instance(self, study: str, series: str) -> Json | None:
        """Search for any instance of a series."""

    def search_in_study(self, study: str, /) -> tuple[list[Json], int | None]:
        """Search for the series of a study, and count them; None where the service does not."""

    def retrieve_series_metadata(self, study: str, series: str) -> list[Json]:
        """Retrieve the metadata of all instances of a series."""

    def retrieve_instance_metadata(self, uids: InstanceUids) -> Json:
        """Retrieve the metadata of an instance."""

    def retrieve_bulkdata(self, url: str, max_bytes: int = ...) -> bytes:
        """Retrieve the value of an attribute as bytes, of which there may be so many."""
