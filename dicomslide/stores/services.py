"""Store of images at a DICOMweb service."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

from pydicom.dataset import Dataset

from dicomslide.errors import SourceError
from dicomslide.errors.failures import Marks, collecting
from dicomslide.metadata.flavors import (
    BULK_ANNOTATIONS,
    PRESENTATION_STATES,
    SLIDE_MICROSCOPY,
    STRUCTURED_REPORTS,
    accompanies_images,
)
from dicomslide.metadata.json_model import (
    ICC_PROFILE,
    bulk_data_urls,
    dataset_of_json,
    text_of_json,
)
from dicomslide.metadata.kinds import RESULTS, SLIDE_CLASSES, belongs_to_slide
from dicomslide.metadata.storage import InstanceStorage
from dicomslide.sources.base import FrameSource
from dicomslide.sources.bulkdata import ServiceValue
from dicomslide.sources.service import InstanceUids, Json, Service
from dicomslide.sources.urls import without_secrets
from dicomslide.stores.protocol import ImageQuery
from dicomslide.stores.series import find_series, matches

__all__ = ["ServiceStore"]

FindFrames = Callable[[InstanceUids, Dataset, InstanceStorage], FrameSource]

_SOP_CLASS, _SOP_INSTANCE = "00080016", "00080018"
_SERIES, _CONTAINER, _REFERENCE = "0020000E", "00400512", "00200052"
_CONCATENATION = "00209161"


class ServiceStore:
    """Store of the images at a DICOMweb service; an `ImageStore`.

    Parameters
    ----------
    service : Service
        Service that has the images
    find_frames : callable
        Makes the frame source of an instance from its UIDs, metadata and storage
    study_instance_uid, series_instance_uid : str, optional
        Study and series that are searched where a query names none
    """

    def __init__(
        self,
        service: Service,
        find_frames: FindFrames,
        study_instance_uid: str | None = None,
        series_instance_uid: str | None = None,
    ) -> None:
        self._service = service
        self._find_frames = find_frames
        self._study = study_instance_uid
        self._series = series_instance_uid
        self._storage: dict[str, InstanceStorage] = {}

    @property
    def name(self) -> str:
        """Name of the service in messages: its URL without secrets."""
        return without_secrets(self._service.base_url) or "the client"

    def __repr__(self) -> str:
        return f"<ServiceStore {self.name}>"

    @property
    def service(self) -> Service:
        """Service that has the images."""
        return self._service

    def through(self, service: Service) -> "ServiceStore":
        """Make a store that asks another service for metadata, and the same one for frames."""
        return ServiceStore(service, self._find_frames, self._study, self._series)

    def transfer_syntax_of(self, dataset: Dataset) -> str:
        """Return the Transfer Syntax UID of an instance; empty where it is not known yet."""
        storage = self._storage.get(str(dataset.get("SOPInstanceUID")))
        return "" if storage is None else storage.transfer_syntax_uid

    def images(self, query: ImageQuery) -> list[Dataset]:
        """Retrieve the metadata of the images of slides; see `ImageStore.images`.

        Raises
        ------
        SourceError
            When the service does not deliver, or cannot be searched
        InvalidImageError
            When metadata cannot be parsed

        Warns
        -----
        UserWarning
            When the service does not deliver ICC profiles
        """
        items = [
            item
            for found in self._service.each(
                lambda uids: self._retrieve(uids, query), self._find_series(query)
            )
            for item in found
        ]
        bulk_data = self._bulk_data(items, query.correct_color)
        datasets = []
        for item in items:
            uid = text_of_json(item, _SOP_INSTANCE)
            marks = Marks(*(text_of_json(item, tag) for tag in (_SERIES, _CONTAINER, _REFERENCE)))
            with collecting(query.failures, f"image {uid}", marks):
                dataset = dataset_of_json(
                    item, _delivered(item, bulk_data), f"image {uid}", self._deferred
                )
                if accompanies_images(dataset):
                    datasets.append(dataset)
                elif belongs_to_slide(dataset):
                    self._storage[uid] = InstanceStorage.of_json(item)
                    datasets.append(dataset)
        return datasets

    def frame_sources(self, datasets: Sequence[Dataset]) -> list[FrameSource]:
        """Make the frame sources of images; see `ImageStore.frame_sources`.

        One frame is retrieved of each image whose transfer syntax is not known.
        """
        return self._service.each(self._frame_source, datasets)

    def _deferred(self, url: str) -> ServiceValue:
        return ServiceValue(self._service, url)

    def _frame_source(self, dataset: Dataset) -> FrameSource:
        uids = InstanceUids.of(dataset)
        known = self._storage.get(uids.instance) or InstanceStorage.of_metadata(dataset)
        source = self._find_frames(uids, dataset, known)
        # The transfer syntax is remembered, as several slides may have the same LABEL image
        found = InstanceStorage(source.transfer_syntax_uid, known.pixel_data_url)
        self._storage[uids.instance] = found
        return source

    def _find_series(self, query: ImageQuery) -> list[tuple[str, str]]:
        study = query.study_instance_uid or self._study
        series = query.series_instance_uid or self._series
        if study and series:
            return [(study, series)]
        if series:
            wanted = {**query.filters, "SeriesInstanceUID": series}
            return find_series(self._service, study, wanted, False, query.failures)
        return find_series(
            self._service, study, query.filters, query.include_derived, query.failures
        )

    def _retrieve(self, uids: tuple[str, str], query: ImageQuery) -> list[Json]:
        """Retrieve the metadata of the images of a series that match a query."""
        with collecting(query.failures, f"series {uids[1]}", Marks(series=uids[1])):
            items = self._service.retrieve_series_metadata(*uids)
            return [item for item in self._completed(uids, items) if _is_wanted(item, query)]
        return []

    def _completed(self, uids: tuple[str, str], items: list[Json]) -> list[Json]:
        """Retrieve the metadata of each instance where those of the series are incomplete.

        Some services deliver only the main attributes for a series, or those that all its instances
        share.
        """
        known = [item for item in items if text_of_json(item, _SOP_INSTANCE)]
        lacking = next((item for item in known if not _is_whole(item)), None)
        if lacking is None:
            return items

        def ask(item: Json) -> Json:
            instance = InstanceUids(*uids, text_of_json(item, _SOP_INSTANCE))
            return self._service.retrieve_instance_metadata(instance)

        whole = ask(lacking)
        if whole.keys() <= lacking.keys():
            # Single instances have no more attributes than the series: the service has no others
            return items
        others = [item for item in known if item is not lacking]
        return [whole, *self._service.each(ask, others)]

    def _bulk_data(
        self, items: Iterable[Json], correct_color: bool
    ) -> dict[str, bytes | SourceError]:
        """Retrieve the bulk data that the pixels need by URL, or the error of each that fails.

        Warns
        -----
        UserWarning
            When ICC profiles are not delivered, which are left out of the result
        """
        urls: dict[str, str] = {}
        for item in items:
            urls |= {
                url: tag for tag, url in bulk_data_urls(item) if correct_color or tag != ICC_PROFILE
            }

        def retrieve(url: str) -> bytes | SourceError:
            try:
                return self._service.retrieve_bulkdata(url)
            except SourceError as error:
                return error

        found = dict(zip(urls, self._service.each(retrieve, list(urls)), strict=True))
        profiles = {url for url, tag in urls.items() if tag == ICC_PROFILE}
        lost = {url: found[url] for url in profiles if isinstance(found[url], SourceError)}
        if lost:
            warnings.warn(
                "ICC profiles were not delivered, colours are not corrected: "
                f"{next(iter(lost.values()))!s}",
                stacklevel=2,
            )
        return {url: result for url, result in found.items() if url not in lost}


def _is_wanted(item: Json, query: ImageQuery) -> bool:
    sop_class = text_of_json(item, _SOP_CLASS)
    if sop_class in SLIDE_MICROSCOPY:
        return matches(item, query.filters)
    # Derived images are part of their study, and may lack attributes of the patient
    return sop_class in PRESENTATION_STATES or (query.include_derived and sop_class in RESULTS)


def _is_whole(item: Json) -> bool:
    """Whether a data set has attributes that all images of its SOP Class have."""
    sop_class = text_of_json(item, _SOP_CLASS)
    if not sop_class:
        return False
    needed = {"00280010", "00280011", "52009229"} if sop_class in SLIDE_CLASSES else set()
    if sop_class == BULK_ANNOTATIONS:
        needed = {"006A0002"}
    if sop_class in STRUCTURED_REPORTS:
        needed = {"0040A730"}
    if sop_class in SLIDE_MICROSCOPY:
        # Image Type, size and origin of the total pixel matrix, optical paths
        needed |= {"00080008", "00480006", "00480007", "00480008", "00480105"}
    if _CONCATENATION in item:
        needed.add("00209228")
    return needed <= item.keys()


def _delivered(item: Json, bulk_data: Mapping[str, bytes | SourceError]) -> dict[str, bytes]:
    """Select the bulk data of a data set, and raise the error of those that were not delivered."""
    values = {}
    for _, url in bulk_data_urls(item):
        value = bulk_data.get(url)
        if isinstance(value, SourceError):
            raise value
        if value is not None:
            values[url] = value
    return values
