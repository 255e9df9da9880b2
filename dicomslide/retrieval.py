"""Metadata of the images of slides, from a client."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydicom.dataset import Dataset

from dicomslide.damage import reading
from dicomslide.errors import SourceError
from dicomslide.failures import Failures, Marks, collecting, marks_of
from dicomslide.metadata.flavors import (
    DERIVED,
    SLIDE_CLASSES,
    SLIDE_MICROSCOPY,
    belongs_to_slide,
)
from dicomslide.metadata.json_model import (
    ICC_PROFILE,
    bulk_data_urls,
    dataset_of_json,
    text_of_json,
)
from dicomslide.series import find_series, matches
from dicomslide.sources.clients import ask_each, asking, frame_source
from dicomslide.sources.dicomweb import WebService
from dicomslide.sources.webframes import WebFrames

__all__ = ["DERIVED", "retrieve_images", "supply_transfer_syntax"]

Json = dict[str, Any]
Uids = tuple[str, str]

_SOP_CLASS, _SOP_INSTANCE = "00080016", "00080018"
_SERIES, _CONTAINER, _REFERENCE = "0020000E", "00400512", "00200052"
_CONCATENATION = "00209161"


def retrieve_images(
    client: Any,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    filters: dict[str, str] | None = None,
    *,
    include_derived: bool = True,
    correct_color: bool = True,
    failures: Failures = None,
) -> list[Dataset]:
    """Retrieve the metadata of the images of slides, and of what was derived from them.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient or WebService
        Client
    study_instance_uid, series_instance_uid : str, optional
        Study, and one series of it: the others are not looked at
    filters : dict, optional
        Keywords of attributes to their values, for the search for slides
    include_derived : bool
        Whether Segmentation and Parametric Map instances are looked for
    correct_color : bool
        Whether ICC profiles are retrieved that the metadata only refer to
    failures : list of Failure, optional
        Takes up series that are not delivered, and images that cannot be parsed

    Raises
    ------
    SourceError
        When the service does not deliver, or cannot be searched
    InvalidImageError
        When metadata cannot be parsed
    """
    filters = filters or {}
    if study_instance_uid and series_instance_uid:
        series = [(study_instance_uid, series_instance_uid)]
    elif series_instance_uid:
        wanted = {**filters, "SeriesInstanceUID": series_instance_uid}
        series = find_series(client, study_instance_uid, wanted, False, failures)
    else:
        series = find_series(client, study_instance_uid, filters, include_derived, failures)

    def belongs(item: Json) -> bool:
        sop_class = text_of_json(item, _SOP_CLASS)
        # What was derived belongs to its study, whatever it says of the patient
        is_slide = sop_class in SLIDE_MICROSCOPY and matches(item, filters)
        return is_slide or (include_derived and sop_class in DERIVED)

    def retrieve(uids: Uids) -> list[Json]:
        with collecting(failures, f"series {uids[1]}", Marks(series=uids[1])), asking(client):
            items = client.retrieve_series_metadata(
                study_instance_uid=uids[0], series_instance_uid=uids[1]
            )
            return [item for item in _completed(client, uids, items) if belongs(item)]
        return []

    items = [item for found in ask_each(client, retrieve, series) for item in found]
    bulk_data = _bulk_data(client, items, correct_color)
    datasets = []
    for item in items:
        name = f"image {text_of_json(item, _SOP_INSTANCE)}"
        marks = Marks(*(text_of_json(item, tag) for tag in (_SERIES, _CONTAINER, _REFERENCE)))
        with collecting(failures, name, marks):
            dataset = dataset_of_json(item, _delivered(item, bulk_data), name)
            if belongs_to_slide(dataset):
                datasets.append(dataset)
    return datasets


def _completed(client: Any, uids: Uids, items: list[Json]) -> list[Json]:
    """Retrieve the metadata of each instance where those of the series lack what instances have.

    Some services have only the main attributes for a series, or those that all its instances share.
    """
    known = [item for item in items if text_of_json(item, _SOP_INSTANCE)]
    lacking = next((item for item in known if not _is_whole(item)), None)
    if lacking is None:
        return items

    def ask(item: Json) -> Json:
        return client.retrieve_instance_metadata(
            study_instance_uid=uids[0],
            series_instance_uid=uids[1],
            sop_instance_uid=text_of_json(item, _SOP_INSTANCE),
        )

    whole = ask(lacking)
    if whole.keys() <= lacking.keys():
        # The image itself has not more
        return items
    others = [item for item in known if item is not lacking]
    return [whole, *ask_each(client, ask, others)]


def _is_whole(item: Json) -> bool:
    """Whether a data set has what an image of a slide, or one derived from it, has in any case."""
    sop_class = text_of_json(item, _SOP_CLASS)
    if not sop_class:
        return False
    needed = {"00280010", "00280011", "52009229"} if sop_class in SLIDE_CLASSES else set()
    if sop_class in SLIDE_MICROSCOPY:
        # Image Type, size and origin of the total pixel matrix, optical paths
        needed |= {"00080008", "00480006", "00480007", "00480008", "00480105"}
    if _CONCATENATION in item:
        needed.add("00209228")
    return needed <= item.keys()


def _bulk_data(
    client: Any, items: Iterable[Json], correct_color: bool
) -> dict[str, bytes | SourceError]:
    """Retrieve the bulk data that the pixels need, or find out why they cannot be had."""
    urls: dict[str, str] = {}
    for item in items:
        urls |= {
            url: tag for tag, url in bulk_data_urls(item) if correct_color or tag != ICC_PROFILE
        }

    def retrieve(url: str) -> bytes | SourceError:
        try:
            with asking(client):
                if isinstance(client, WebService):
                    return b"".join(client.retrieve_bulkdata(url))
                return b"".join(client.retrieve_bulkdata(url=url))
        except SourceError as error:
            return error

    found = dict(zip(urls, ask_each(client, retrieve, list(urls)), strict=True))
    profiles = {url for url, tag in urls.items() if tag == ICC_PROFILE}
    lost = {url: found[url] for url in profiles if isinstance(found[url], SourceError)}
    if lost:
        warnings.warn(
            "ICC profiles were not delivered, colours are not corrected: "
            f"{next(iter(lost.values()))!s}",
            stacklevel=2,
        )
    return {url: result for url, result in found.items() if url not in lost}


def _delivered(item: Json, bulk_data: Mapping[str, bytes | SourceError]) -> dict[str, bytes]:
    """Take the bulk data of a data set; those that were not delivered are raised."""
    values = {}
    for _, url in bulk_data_urls(item):
        value = bulk_data.get(url)
        if isinstance(value, SourceError):
            raise value
        if value is not None:
            values[url] = value
    return values


def supply_transfer_syntax(
    client: Any, datasets: Sequence[Dataset], failures: Failures = None
) -> None:
    """Ask for the transfer syntax of images whose metadata do not tell, of all at once.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient or FrameStore
        Nothing is asked of those that are no web services
    datasets : sequence of pydicom.dataset.Dataset
        Metadata of images, which are changed
    failures : list of Failure, optional
        Takes up images of which that is not delivered
    """
    if not isinstance(client, WebService):
        return
    # LABEL and OVERVIEW images may be of several slides
    unique = {id(dataset): dataset for dataset in datasets}.values()
    lacking = [dataset for dataset in unique if "AvailableTransferSyntaxUID" not in dataset]

    def ask(dataset: Dataset) -> str:
        name = f"image {dataset.get('SOPInstanceUID')}"
        with collecting(failures, name, marks_of(dataset)), reading(name):
            frames = frame_source(client, dataset)
            # Where there are no frames, whoever reads pixels has to find that out, too
            has_frames = isinstance(frames, WebFrames) and not frames.bulk_url
            return frames.transfer_syntax_uid if has_frames else ""
        return ""

    for dataset, syntax in zip(lacking, ask_each(client, ask, lacking), strict=True):
        if syntax:
            dataset.AvailableTransferSyntaxUID = syntax
