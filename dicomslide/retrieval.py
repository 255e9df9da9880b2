"""Metadata of the images of slides, from a client."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from inspect import signature
from typing import Any, TypeVar

from pydicom.dataset import Dataset

from dicomslide.errors import SourceError
from dicomslide.metadata.flavors import (
    LABEL_MAP_SEGMENTATION,
    PARAMETRIC_MAP,
    SEGMENTATION,
    SLIDE_MICROSCOPY,
    belongs_to_slide,
)
from dicomslide.metadata.json_model import (
    ICC_PROFILE,
    bulk_data_urls,
    dataset_of_json,
    text_of_json,
)
from dicomslide.sources.clients import frame_source
from dicomslide.sources.dicomweb import WebService
from dicomslide.sources.webframes import WebFrames

__all__ = ["DERIVED", "retrieve_images"]

T = TypeVar("T")
R = TypeVar("R")
Json = dict[str, Any]

DERIVED = (SEGMENTATION, LABEL_MAP_SEGMENTATION, PARAMETRIC_MAP)

_SOP_CLASS, _SOP_INSTANCE = "00080016", "00080018"
_STUDY, _SERIES = "0020000D", "0020000E"
# Requests at once to a service
_REQUESTS = 8


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
    if study_instance_uid and series_instance_uid:
        series = [(study_instance_uid, series_instance_uid)]
    else:
        filters = dict(filters or {})
        if series_instance_uid:
            filters["SeriesInstanceUID"] = series_instance_uid
        derived = include_derived and not series_instance_uid
        series = _search(client, study_instance_uid, filters, derived)
    classes = SLIDE_MICROSCOPY | frozenset(DERIVED if include_derived else ())

    def retrieve(uids: tuple[str, str]) -> list[Json]:
        items = client.retrieve_series_metadata(
            study_instance_uid=uids[0], series_instance_uid=uids[1]
        )
        return [item for item in items if text_of_json(item, _SOP_CLASS) in classes]

    items = [item for found in _each(client, retrieve, series) for item in found]
    bulk_data = _bulk_data(client, items, correct_color)
    datasets = []
    for item in items:
        dataset = dataset_of_json(item, bulk_data, f"image {text_of_json(item, _SOP_INSTANCE)}")
        if belongs_to_slide(dataset):
            datasets.append(dataset)
    _supply_transfer_syntax(client, datasets)
    return datasets


def _search(
    client: Any, study_uid: str | None, filters: dict[str, str], include_derived: bool
) -> list[tuple[str, str]]:
    """Find the Study and Series Instance UIDs of slides and of what was derived from them."""
    search_series = _all_results(client.search_for_series)
    search_instances = _all_results(client.search_for_instances)
    found = search_series(
        study_instance_uid=study_uid, search_filters={**filters, "Modality": "SM"}
    )
    series = dict.fromkeys(_uids(item, study_uid) for item in found)
    if include_derived:
        # Another application may have put any Modality into what it derived
        queries = [
            (study, sop_class)
            for study in dict.fromkeys(study for study, _ in series)
            for sop_class in DERIVED
        ]

        def search(query: tuple[str, str]) -> list[tuple[str, str]]:
            study, sop_class = query
            found = search_instances(
                study_instance_uid=study, search_filters={"SOPClassUID": sop_class}
            )
            return [_uids(item, study) for item in found]

        for uids in _each(client, search, queries):
            series.update(dict.fromkeys(uids))
    return list(series)


def _all_results(search: Callable[..., list[Json]]) -> Callable[..., list[Json]]:
    """Let a client ask again for what a server left out, if that is not what it does anyway."""
    if "get_remaining" in signature(search).parameters:
        return partial(search, get_remaining=True)
    return search


def _uids(item: Json, study_uid: str | None) -> tuple[str, str]:
    """Read the UIDs of study and series; what was asked for may not be repeated in an answer."""
    return text_of_json(item, _STUDY) or str(study_uid), text_of_json(item, _SERIES)


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

    found = dict(zip(urls, _each(client, retrieve, list(urls)), strict=True))
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

    for dataset, syntax in zip(lacking, _each(client, ask, lacking), strict=True):
        if syntax:
            dataset.AvailableTransferSyntaxUID = syntax


def _each(client: Any, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Call a function that makes a request for each item, several at once where possible."""
    # Other clients may belong to one thread
    if len(items) < 2 or not isinstance(client, WebService):
        return [function(item) for item in items]
    with ThreadPoolExecutor(min(_REQUESTS, len(items))) as pool:
        return list(pool.map(function, items))
