"""Metadata of the images of slides, from a client."""

import warnings
from collections.abc import Iterable
from typing import Any

from pydicom.dataset import Dataset

from dicomslide.errors import SourceError
from dicomslide.metadata.flavors import DERIVED, SLIDE_MICROSCOPY, belongs_to_slide
from dicomslide.metadata.json_model import (
    ICC_PROFILE,
    bulk_data_urls,
    dataset_of_json,
    text_of_json,
)
from dicomslide.series import find_series, matches
from dicomslide.sources.clients import ask_each, frame_source
from dicomslide.sources.dicomweb import WebService
from dicomslide.sources.webframes import WebFrames

__all__ = ["DERIVED", "retrieve_images"]

Json = dict[str, Any]

_SOP_CLASS, _SOP_INSTANCE = "00080016", "00080018"


def retrieve_images(
    client: Any,
    study_instance_uid: str | None = None,
    series_instance_uid: str | None = None,
    filters: dict[str, str] | None = None,
    *,
    include_derived: bool = True,
    correct_color: bool = True,
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

    Raises
    ------
    SourceError
        When the service does not deliver
    InvalidImageError
        When metadata cannot be parsed
    """
    filters = filters or {}
    if study_instance_uid and series_instance_uid:
        series = [(study_instance_uid, series_instance_uid)]
    elif series_instance_uid:
        wanted = {**filters, "SeriesInstanceUID": series_instance_uid}
        series = find_series(client, study_instance_uid, wanted, include_derived=False)
    else:
        series = find_series(client, study_instance_uid, filters, include_derived)

    def belongs(item: Json) -> bool:
        sop_class = text_of_json(item, _SOP_CLASS)
        # What was derived belongs to its study, whatever it says of the patient
        is_slide = sop_class in SLIDE_MICROSCOPY and matches(item, filters)
        return is_slide or (include_derived and sop_class in DERIVED)

    def retrieve(uids: tuple[str, str]) -> list[Json]:
        items = client.retrieve_series_metadata(
            study_instance_uid=uids[0], series_instance_uid=uids[1]
        )
        return [item for item in items if belongs(item)]

    items = [item for found in ask_each(client, retrieve, series) for item in found]
    bulk_data = _bulk_data(client, items, correct_color)
    datasets = []
    for item in items:
        dataset = dataset_of_json(item, bulk_data, f"image {text_of_json(item, _SOP_INSTANCE)}")
        if belongs_to_slide(dataset):
            datasets.append(dataset)
    _supply_transfer_syntax(client, datasets)
    return datasets


def _bulk_data(client: Any, items: Iterable[Json], correct_color: bool) -> dict[str, bytes]:
    """Retrieve the bulk data that the pixels need."""
    urls: dict[str, str] = {}
    for item in items:
        urls |= {
            url: tag for tag, url in bulk_data_urls(item) if correct_color or tag != ICC_PROFILE
        }

    def retrieve(url: str) -> bytes | SourceError:
        try:
            if isinstance(client, WebService):
                return b"".join(client.retrieve_bulkdata(url))
            return b"".join(client.retrieve_bulkdata(url=url))
        except SourceError as error:
            return error
        except (OSError, ValueError, NotImplementedError) as error:
            return SourceError(f"bulk data were not delivered: {error}")

    found = dict(zip(urls, ask_each(client, retrieve, list(urls)), strict=True))
    errors = {url: result for url, result in found.items() if isinstance(result, SourceError)}
    for url, error in errors.items():
        if urls[url] != ICC_PROFILE:
            raise error
    if errors:
        warnings.warn(
            f"ICC profiles were not delivered, colours are not corrected: "
            f"{next(iter(errors.values()))}",
            stacklevel=2,
        )
    return {url: result for url, result in found.items() if isinstance(result, bytes)}


def _supply_transfer_syntax(client: Any, datasets: list[Dataset]) -> None:
    """Ask for the transfer syntax of images whose metadata do not tell, of all at once."""
    if not isinstance(client, WebService):
        return
    lacking = [dataset for dataset in datasets if "AvailableTransferSyntaxUID" not in dataset]

    def ask(dataset: Dataset) -> str:
        frames = frame_source(client, dataset)
        # Where there are no frames, whoever reads pixels has to find that out, too
        has_frames = isinstance(frames, WebFrames) and not frames.bulk_url
        return frames.transfer_syntax_uid if has_frames else ""

    for dataset, syntax in zip(lacking, ask_each(client, ask, lacking), strict=True):
        if syntax:
            dataset.AvailableTransferSyntaxUID = syntax
