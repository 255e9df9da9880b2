"""Search for the series of slides and of derived images at DICOMweb services.

A service may refuse to match an attribute, or ignore it. Searches therefore use few attributes: all
series of a study are searched for, and chosen by the attributes that they state.
"""

import re
import warnings
from collections.abc import Mapping
from functools import partial

from pydicom.datadict import tag_for_keyword

from dicomslide.errors import SourceError
from dicomslide.errors.failures import Failures, Marks, collecting
from dicomslide.metadata.flavors import SLIDE_MICROSCOPY
from dicomslide.metadata.json_model import text_of_json
from dicomslide.metadata.kinds import RESULTS
from dicomslide.sources.refusals import is_refused, remember_refusal, status_of
from dicomslide.sources.service import InstanceUids, Json, Service
from dicomslide.sources.urls import without_secrets

__all__ = ["find_series", "is_like", "matches"]

Uids = tuple[str, str]
"""Study and Series Instance UID."""

_SOP_CLASS, _SOP_INSTANCE, _MODALITY = "00080016", "00080018", "00080060"
_STUDY, _SERIES = "0020000D", "0020000E"
# Status codes of services that cannot search by an attribute
_REFUSED = (400, 501)
# Status codes of services that can search in single studies only
_ABSENT = (404, 405)
_ALL_SERIES = "search for series of all studies"


def find_series(
    service: Service,
    study_uid: str | None,
    filters: Mapping[str, str],
    include_derived: bool,
    failures: Failures = None,
) -> list[Uids]:
    """Find the series of slides, and of images derived from them.

    Parameters
    ----------
    service : Service
        Service that is searched
    study_uid : str, optional
        Study Instance UID; without it all studies with slides are searched
    filters : mapping
        Values of attributes by keyword. Series that do not state them are found, too
    include_derived : bool
        Whether series of derived images are searched in the studies of slides
    failures : list of Failure, optional
        List that failed searches in studies and series are added to; without it they are raised

    Returns
    -------
    list of tuple of str
        Study and Series Instance UIDs, those of slides first
    """
    if study_uid:
        found = _search_in_study(service, study_uid, filters)
    else:
        if "SeriesInstanceUID" in filters:
            # The series was chosen by the caller, whatever its Modality
            return list(_search(service, filters, failures))
        found = _search(service, {**filters, "Modality": "SM"}, failures)
        if include_derived:
            studies = list(dict.fromkeys(study for study, _ in found))
            found |= _search_in_studies(service, studies, {}, failures)
    # Presentation States (PR) are found only where all series of a study were searched
    modalities = ("SM", "PR", "SEG", "ANN", "SR") if include_derived else ("SM", "PR")
    chosen = [uids for uids, modality in found.items() if modality in modalities]
    # Derived images may have any Modality, so their series are recognized by their SOP Class
    others = [
        uids
        for uids, modality in found.items()
        if modality not in modalities and (include_derived or not modality)
    ]
    classes = SLIDE_MICROSCOPY | RESULTS if include_derived else SLIDE_MICROSCOPY
    sop_classes = service.each(partial(_sop_class, service, failures), others)
    chosen += [uids for uids, uid in zip(others, sop_classes, strict=True) if uid in classes]
    return sorted(chosen, key=lambda uids: found[uids] != "SM")


def _search(service: Service, filters: Mapping[str, str], failures: Failures) -> dict[Uids, str]:
    """Search for series in all studies by as many attributes as the service can match.

    Returns
    -------
    dict
        Modality of each series by its UIDs
    """
    name = service.base_url
    asked = [keyword for keyword in filters if not is_refused(name, keyword)]
    refused = None
    while not is_refused(name, _ALL_SERIES):
        try:
            found = service.search_for_series(
                None, {keyword: filters[keyword] for keyword in asked}
            )
        except SourceError as error:
            status = status_of(error)
            if status in _REFUSED and asked:
                refused = asked.pop()
                continue
            if status not in _ABSENT:
                raise
            try:
                studies = _find_studies(service, filters)
            except SourceError:
                # Neither search works; the error of the first one tells more
                raise error from None
            remember_refusal(name, _ALL_SERIES)
            return _search_in_studies(service, studies, filters, failures)
        if refused:
            # The search works without the attribute that was left out last: it is the refused one
            remember_refusal(name, refused)
        return _by_uids(service, found, None, filters)
    return _search_in_studies(service, _find_studies(service, filters), filters, failures)


def _find_studies(service: Service, filters: Mapping[str, str]) -> list[str]:
    """Find all studies of a service that cannot search for the series of all studies."""
    found = service.search_for_studies()
    uids = [text_of_json(item, _STUDY) for item in found if matches(item, filters)]
    return [uid for uid in uids if uid]


def _search_in_studies(
    service: Service, studies: list[str], filters: Mapping[str, str], failures: Failures
) -> dict[Uids, str]:
    def search(study: str) -> dict[Uids, str]:
        with collecting(failures, f"study {study}"):
            return _search_in_study(service, study, filters)
        return {}

    series: dict[Uids, str] = {}
    for found in service.each(search, studies):
        series |= found
    return series


def _search_in_study(
    service: Service, study_uid: str, filters: Mapping[str, str] | None = None
) -> dict[Uids, str]:
    """Search for the series of a study that match attributes; return their Modality by UIDs."""
    found, count = service.search_in_study(study_uid)
    if count is not None and count > len(found):
        # Services may limit the number of results
        warnings.warn(
            f"{_name_of(service)}: a search found only {len(found)} of the {count} series of study "
            f"{study_uid}: images may be missing. Raise the limit of the service for results, such "
            "as LimitFindResults of Orthanc",
            stacklevel=2,
        )
    return _by_uids(service, found, study_uid, filters or {})


def _by_uids(
    service: Service, found: list[Json], study_uid: str | None, filters: Mapping[str, str]
) -> dict[Uids, str]:
    """Read the UIDs of series and their Modality, which is empty where it is not stated."""
    series = {}
    for item in found:
        # Services need not repeat the Study Instance UID that was searched for
        study, uid = text_of_json(item, _STUDY) or study_uid, text_of_json(item, _SERIES)
        if not (study and uid):
            raise SourceError(
                f"{_name_of(service)}: found a series without Study or Series Instance UID"
            )
        if matches(item, filters):
            series[study, uid] = text_of_json(item, _MODALITY)
    return series


def _sop_class(service: Service, failures: Failures, uids: Uids) -> str:
    """Retrieve the SOP Class UID of the first instance of a series; empty where there is none."""
    with collecting(failures, f"series {uids[1]}", Marks(series=uids[1])):
        found = service.search_for_instance(*uids)
        if found is None:
            return ""
        # Some services leave SOP Class UID out of their results
        return text_of_json(found, _SOP_CLASS) or text_of_json(
            service.retrieve_instance_metadata(
                InstanceUids(*uids, text_of_json(found, _SOP_INSTANCE))
            ),
            _SOP_CLASS,
        )
    return ""


def _name_of(service: Service) -> str:
    return without_secrets(str(getattr(service, "base_url", "")))


def matches(item: Json, filters: Mapping[str, str]) -> bool:
    """Whether a data set has values of attributes; those that it does not state match.

    Parameters
    ----------
    item : dict
        Data set in the DICOM JSON Model
    filters : mapping
        Values by keyword, which may have wild cards (PS3.4 C.2.2.2.4). Upper and lower case are
        the same, as for some services
    """
    return all(
        is_like(text_of_json(item, f"{tag_for_keyword(keyword):08X}"), wanted)
        for keyword, wanted in filters.items()
    )


def is_like(text: str, wanted: str) -> bool:
    """Whether a value matches a wanted one with wild cards (PS3.4 C.2.2.2.4); empty ones match."""
    if not text or not wanted:
        return True
    pattern = re.escape(wanted.strip()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(pattern, text.strip(), re.IGNORECASE | re.DOTALL) is not None
