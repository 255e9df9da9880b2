"""A small DICOMweb service of the slides in Part 10 files, which can also misbehave.

It searches for studies, series and instances, and sends metadata, frames, bulk data and whole
instances (PS3.18 10.4 and 10.6). What it reads the files with is pydicom.

>>> with DicomwebServer(Archive(slide.paths)) as server:
...     open_slide(f"dicomweb+{server.url}")
...     server.matching("/frames/")  # requests for frames
"""

import fnmatch
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from tests.servers.archive import Archive, Instance
from tests.servers.messages import Answer, Part, Request
from tests.servers.serving import HttpServer

__all__ = ["DicomwebServer"]

_JSON = "application/dicom+json"
_OCTETS = "application/octet-stream"
# Media types of frames by transfer syntax (PS3.18 8.7.3.3); the first of each is its default
_MEDIA_TYPES = {
    _OCTETS: ("1.2.840.10008.1.2.1",),
    "image/dicom-rle": ("1.2.840.10008.1.2.5",),
    "image/jpeg": tuple(f"1.2.840.10008.1.2.4.{n}" for n in (70, 50, 51, 57)),
    "image/jls": tuple(f"1.2.840.10008.1.2.4.{n}" for n in (80, 81)),
    "image/jp2": tuple(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91)),
    "image/jphc": tuple(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203)),
    "image/jxl": tuple(f"1.2.840.10008.1.2.4.{n}" for n in (110, 111, 112)),
}
_STUDY_KEYS = (
    "StudyDate",
    "AccessionNumber",
    "PatientName",
    "PatientID",
    "StudyInstanceUID",
    "StudyID",
)
_SERIES_KEYS = ("Modality", "SeriesInstanceUID", "SeriesNumber")
_INSTANCE_KEYS = ("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "Rows", "Columns")
# For each level of a search: what makes a result, and which of its attributes are sent
_LEVELS: dict[str, tuple[Callable[[Instance], str], tuple[str, ...]]] = {
    "studies": (lambda i: i.study, _STUDY_KEYS),
    "series": (lambda i: i.series, _STUDY_KEYS + _SERIES_KEYS),
    "instances": (lambda i: i.uid, _STUDY_KEYS + _SERIES_KEYS + _INSTANCE_KEYS),
}
_UID = r"[\d.]+"
_SCOPE = rf"(?:/studies/(?P<study>{_UID}))?(?:/series/(?P<series>{_UID}))?"
_PLACE = rf"{_SCOPE}(?:/instances/(?P<uid>{_UID}))?"
_SEARCH = re.compile(rf"{_SCOPE}/(?P<level>studies|series|instances)")
_METADATA = re.compile(rf"{_PLACE}/metadata")
_FRAMES = re.compile(rf"{_PLACE}/frames/(?P<numbers>\d+(?:,\d+)*)")
_BULK = re.compile(rf"{_PLACE}/bulkdata/(?P<name>[-\w]+)")
_WHOLE = re.compile(_PLACE)


class DicomwebServer(HttpServer):
    """A DICOMweb service at a free port of the loopback interface.

    Parameters
    ----------
    archive : Archive
        Its instances
    prefix : str
        Path of its root
    authorization : str, optional
        Value of the header field Authorization that every request needs
    bulk_threshold : int
        Length of binary values from which on they are bulk data
    bulk_sequences : iterable of str
        Keywords of sequences that are bulk data, encoded in explicit little endian
    bulk_uri : callable
        Makes the BulkDataURI that is announced of the right one
    bulk_in_parts_only : bool
        Whether bulk data are refused to a client that does not take a multipart body
    tells_transfer_syntax : bool
        Whether metadata have Available Transfer Syntax UID
    float_frames : bool
        Whether frames of Float Pixel Data are sent
    compresses : bool
        Whether metadata are compressed for clients that take that
    page_size : int, optional
        Largest number of results of a search in one answer
    empty_status : int
        Status of an answer without results: 200 or 204
    refused_keys : dict
        Keywords of attributes that are not searched by, and the status of the answer
    ignored_keys : iterable of str
        Keywords of attributes that are passed over, with a warning
    untold : iterable of str
        Keywords of attributes that results of a search lack
    counts_series : bool
        Whether results of a search for studies have Number of Study Related Series
    frame_list_status : int
        Status of the answer to a request for several frames, where it is not 200
    """

    def __init__(
        self,
        archive: Archive,
        *,
        prefix: str = "/dicom-web",
        authorization: str | None = None,
        bulk_threshold: int = 256,
        bulk_sequences: Iterable[str] = (),
        bulk_uri: Callable[[str], str] = str,
        bulk_in_parts_only: bool = False,
        tells_transfer_syntax: bool = True,
        float_frames: bool = True,
        compresses: bool = True,
        page_size: int | None = None,
        empty_status: int = 200,
        refused_keys: Mapping[str, int] = MappingProxyType({}),
        ignored_keys: Iterable[str] = (),
        untold: Iterable[str] = (),
        counts_series: bool = False,
        frame_list_status: int = 200,
    ) -> None:
        super().__init__(self._route, authorization)
        self.archive = archive
        self.prefix = prefix
        self.bulk_threshold = bulk_threshold
        self.bulk_sequences = tuple(bulk_sequences)
        self.bulk_uri = bulk_uri
        self.bulk_in_parts_only = bulk_in_parts_only
        self.tells_transfer_syntax = tells_transfer_syntax
        self.float_frames = float_frames
        self.compresses = compresses
        self.page_size = page_size
        self.empty_status = empty_status
        self.refused_keys = refused_keys
        self.ignored_keys = tuple(ignored_keys)
        self.untold = tuple(untold)
        self.counts_series = counts_series
        self.frame_list_status = frame_list_status
        self._bulk: dict[str, bytes] = {}
        self._metadata: dict[str, dict[str, Any]] = {}

    @property
    def url(self) -> str:
        """URL of the service."""
        return self.origin + self.prefix

    def hold(self, archive: Archive, prefix: str) -> None:
        """Hold other instances, under another path."""
        self.archive, self.prefix = archive, prefix
        self._bulk.clear()
        self._metadata.clear()

    def _route(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            return Answer(405)
        if not request.path.startswith(self.prefix + "/"):
            return Answer(404)
        path = request.path.removeprefix(self.prefix)
        for pattern, answer in (
            (_SEARCH, self._search),
            (_METADATA, self._send_metadata),
            (_FRAMES, self._send_frames),
            (_BULK, self._send_bulk),
            (_WHOLE, self._send_instances),
        ):
            if match := pattern.fullmatch(path):
                return answer(request, match)
        return Answer(404)

    def _found(self, match: re.Match[str]) -> list[Instance]:
        names = ("study", "series", "uid")
        return self.archive.find(**{n: v for n, v in match.groupdict().items() if n in names})

    # Search (PS3.18 10.6)

    def _search(self, request: Request, match: re.Match[str]) -> Answer:
        identify, keywords = _LEVELS[match["level"]]
        query = dict(request.query)
        offset, limit = int(query.pop("offset", 0)), int(query.pop("limit", 2**31))
        for name in ("includefield", "fuzzymatching"):
            query.pop(name, None)
        for name in query:
            if name in self.refused_keys:
                return Answer(self.refused_keys[name], body=f"no search by {name}\n".encode())
        ignored = [name for name in self.ignored_keys if query.pop(name, None) is not None]
        found: dict[str, list[Instance]] = {}
        for instance in self._found(match):
            if all(_matches(instance.dataset, *condition) for condition in query.items()):
                found.setdefault(identify(instance), []).append(instance)
        page = list(found.values())[offset : offset + min(limit, self.page_size or limit)]
        if not page and self.empty_status == 204:
            return Answer(204)
        keywords = tuple(keyword for keyword in keywords if keyword not in self.untold)
        results = [self._result(match["level"], keywords, instances) for instances in page]
        answer = self._send_json(request, results)
        if ignored:
            answer.headers["Warning"] = f'299 {self.origin} "not searched by: {ignored}"'
        return answer

    def _result(
        self, level: str, keywords: tuple[str, ...], instances: list[Instance]
    ) -> dict[str, Any]:
        dataset = Dataset()
        for keyword in keywords:
            if keyword in instances[0].dataset:
                dataset[keyword] = instances[0].dataset[keyword]
        parts = instances[0].place.split("/")
        depth = 2 * (list(_LEVELS).index(level) + 1) + 1
        dataset.RetrieveURL = self.url + "/".join(parts[:depth])
        if level == "studies" and self.counts_series:
            dataset.NumberOfStudyRelatedSeries = len({instance.series for instance in instances})
        if level == "series":
            dataset.NumberOfSeriesRelatedInstances = len(instances)
        return dataset.to_json_dict()

    # Retrieval (PS3.18 10.4)

    def _send_metadata(self, request: Request, match: re.Match[str]) -> Answer:
        instances = self._found(match)
        if not instances:
            return Answer(404)
        return self._send_json(request, [self._metadata_of(instance) for instance in instances])

    def _metadata_of(self, instance: Instance) -> dict[str, Any]:
        if instance.uid not in self._metadata:
            found = instance.to_json(self.url, self._bulk, self.bulk_threshold, self.bulk_sequences)
            if self.tells_transfer_syntax:
                found["00083002"] = {"vr": "UI", "Value": [instance.transfer_syntax]}
            _replace_uris(found, self.bulk_uri)
            self._metadata[instance.uid] = found
        return self._metadata[instance.uid]

    def _send_json(self, request: Request, results: list[dict[str, Any]]) -> Answer:
        accepted = {media for media, _ in _accepted(request)}
        if accepted.isdisjoint({_JSON, "application/json", "*/*", "application/*"}):
            return Answer(406)
        body = json.dumps(results).encode()
        return Answer(200, {"Content-Type": _JSON}, body, compressible=self.compresses)

    def _send_frames(self, request: Request, match: re.Match[str]) -> Answer:
        instances = self._found(match)
        if len(instances) != 1:
            return Answer(404)
        (instance,) = instances
        numbers = [int(number) for number in match["numbers"].split(",")]
        if len(numbers) > 1 and self.frame_list_status != 200:
            return Answer(self.frame_list_status, body=b"one frame at a time\n")
        try:
            frames = instance.frames
        except ValueError as error:
            return Answer(500, body=f"{error}\n".encode())
        if not all(1 <= number <= len(frames) for number in numbers):
            return Answer(404, body=b"no such frame\n")
        if not self.float_frames and "PixelData" not in instance.dataset:
            return Answer(400, body=b"no Pixel Data\n")
        media_type = _choose(_accepted(request), instance.transfer_syntax)
        if media_type is None:
            return Answer(406, body=b"frames are only sent as they are stored\n")
        contents = [(f"{self.url}{instance.place}/frames/{n}", frames[n - 1]) for n in numbers]
        return _multipart(media_type, contents, f"; transfer-syntax={instance.transfer_syntax}")

    def _send_bulk(self, request: Request, match: re.Match[str]) -> Answer:
        for instance in self._found(match):
            self._metadata_of(instance)
        uri = self.url + request.path.removeprefix(self.prefix)
        if uri not in self._bulk:
            return Answer(404)
        value = self._bulk[uri]
        tag = f'"{hashlib.sha256(value).hexdigest()[:16]}"'
        if request.headers.get("If-None-Match") == tag:
            return Answer(304, {"ETag": tag})
        accepted = {media for media, _ in _accepted(request)}
        if not accepted.isdisjoint({f"multipart/related {_OCTETS}", "multipart/related *", "*/*"}):
            answer = _multipart(_OCTETS, [(uri, value)])
            answer.headers["ETag"] = tag
            return answer
        if _OCTETS in accepted and not self.bulk_in_parts_only:
            return Answer(200, {"Content-Type": _OCTETS, "ETag": tag}, value)
        return Answer(400 if self.bulk_in_parts_only else 406)

    def _send_instances(self, _: Request, match: re.Match[str]) -> Answer:
        contents = [(self.url + i.place, i.path.read_bytes()) for i in self._found(match)]
        return _multipart("application/dicom", contents) if contents else Answer(404)


def _multipart(media_type: str, contents: list[tuple[str, bytes]], suffix: str = "") -> Answer:
    """Put contents and their locations into the parts of a body (PS3.18 8.6.1.2)."""
    boundary = "a-slide-7f3b"
    parts = tuple(
        Part({"Content-Type": media_type + suffix, "Content-Location": location}, content)
        for location, content in contents
    )
    kind = f'multipart/related; type="{media_type}"; boundary={boundary}'
    return Answer(200, {"Content-Type": kind}, parts=parts, boundary=boundary)


def _accepted(request: Request) -> list[tuple[str, str | None]]:
    """Read the header field Accept: media types, those of parts behind "multipart/related ".

    With each goes its transfer syntax, if it names one.
    """
    accepted: list[tuple[str, str | None]] = []
    field = request.headers.get("Accept", "*/*")
    for item in re.findall(r'(?:[^,"]|"[^"]*")+', field):
        media, *rest = (piece.strip() for piece in re.findall(r'(?:[^;"]|"[^"]*")+', item))
        named = dict(piece.split("=", 1) for piece in rest if "=" in piece)
        parameters = {name.strip().lower(): value.strip('" ') for name, value in named.items()}
        if media.lower() == "multipart/related":
            media = f"multipart/related {parameters.get('type', '*')}"
        accepted.append((media, parameters.get("transfer-syntax")))
    return accepted


def _choose(accepted: list[tuple[str, str | None]], stored: str) -> str | None:
    """Choose the media type of frames; None where they are not accepted as they are stored."""
    kinds = (media for media, syntaxes in _MEDIA_TYPES.items() if stored in syntaxes)
    usual = next(kinds, _OCTETS)
    for media, syntax in accepted:
        kind = media.removeprefix("multipart/related ")
        if kind in ("*", "*/*") and syntax in (None, "*", stored):
            return usual
        if not media.startswith("multipart/related ") or kind not in (usual, _OCTETS):
            continue
        if (syntax or _MEDIA_TYPES[kind][0]) in ("*", stored):
            return kind
    return None


def _matches(dataset: Dataset, name: str, wanted: str) -> bool:
    keyword = keyword_for_tag(int(name, 16)) if re.fullmatch("[0-9A-Fa-f]{8}", name) else name
    value = str(dataset.get(keyword, ""))
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in re.split(r"[,\\]", wanted))


def _replace_uris(item: dict[str, Any], replace: Callable[[str], str]) -> None:
    for element in item.values():
        if "BulkDataURI" in element:
            element["BulkDataURI"] = replace(element["BulkDataURI"])
        if element["vr"] == "SQ":
            for inner in element.get("Value", ()):
                _replace_uris(inner, replace)
