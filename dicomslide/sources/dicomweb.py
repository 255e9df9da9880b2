"""Searches and retrievals of a DICOMweb service over HTTP (PS3.18 8.3, 8.6 and 10)."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from dicomweb_client.api import DICOMwebClient
from pydicom.uid import ExplicitVRLittleEndian

from dicomslide.errors import ArgumentValueError, SourceError
from dicomslide.metadata.json_model import text_of_json
from dicomslide.metadata.transfer_syntaxes import OCTETS, TRANSFER_SYNTAXES, is_encapsulated
from dicomslide.sources.frameparts import read_frames
from dicomslide.sources.http import (
    DamagedAnswerError,
    HttpService,
    RefusedRequestError,
    Reply,
)
from dicomslide.sources.multipart import read_parts
from dicomslide.sources.refusals import FRAME_LISTS, UNAUTHORIZED, is_refused, remember_refusal
from dicomslide.sources.service import InstanceUids, Json
from dicomslide.sources.sidebyside import side_by_side
from dicomslide.sources.urls import SERVICE_PREFIX, join_url, name_of_url, without_secrets

__all__ = ["WebService", "service_of_client", "service_of_url"]

T = TypeVar("T")
R = TypeVar("R")

_STUDY, _SOP_INSTANCE = "0020000D", "00080018"
# Number of Study Related Series
_SERIES_COUNT = "00201206"
_JSON = "application/dicom+json"
_BULK_DATA = f'multipart/related; type="{OCTETS}"'
_NATIVE = f'multipart/related; type="{OCTETS}"; transfer-syntax={ExplicitVRLittleEndian}'
_IMAGES = dict.fromkeys(
    syntax.media_type for syntax in TRANSFER_SYNTAXES.values() if syntax.media_type != OCTETS
)
# Accept headers for frames as they are stored, first the one that most servers understand
# (PS3.18 8.7.3)
_AS_STORED = (
    f'multipart/related; type="{OCTETS}"; transfer-syntax=*',
    ", ".join(
        f'multipart/related; type="{media_type}"; transfer-syntax=*'
        for media_type in (*_IMAGES, OCTETS)
    ),
)
# Status codes of services that do not understand, or cannot deliver, what Accept asks for
_NOT_SO = (400, 406, 415, 500, 501)
_MAX_METADATA = 1 << 30
_MAX_BULK_DATA = 1 << 28
_MAX_PAGES, _MAX_RESULTS = 10_000, 1_000_000
# Bounds the memory of parsed JSON: Python needs at least 64 bytes for each object or array, while
# an attribute, with two brackets, takes about 30 bytes of JSON
_BYTES_PER_BRACKET, _SOME_BRACKETS = 8, 10_000
# Far more than the 64 characters that a UID may have, and few enough for a URL
_LONGEST_UID = 1024
# Escapes of lone surrogates are valid JSON, but cannot be encoded in a URL (RFC 8259 8.2)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Status codes of services that have no results at an offset, or do not know offsets
_NO_MORE = (400, 404, 416, 501)
# Status codes for URLs that are too long: half as many frames are then requested at once
_TOO_LONG = (413, 414, 431)
# Most bytes of the header of one part of a multipart answer
_PART_OVERHEAD = 1 << 14


@dataclass(frozen=True)
class WebService:
    """DICOMweb service that is reached over HTTP.

    Parameters
    ----------
    http : HttpService
        HTTP service at the base URL
    search_prefix, retrieve_prefix : str
        Paths below its URL for searches and for retrievals; empty or starting with a slash
    """

    http: HttpService
    search_prefix: str = ""
    retrieve_prefix: str = ""

    @property
    def base_url(self) -> str:
        """URL of the service, without credentials."""
        return self.http.url

    @property
    def identity(self) -> str:
        """Key that is equal in all processes for the same service and the same user."""
        # The user counts, as what one may see must not be shared with another
        return f"{self.http.sessions.key} {self.base_url}"

    def instance_url(self, uids: InstanceUids) -> str:
        """URL of an instance."""
        return f"{self.base_url}{self.retrieve_prefix}{_path(*uids)}"

    def each(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Call a function that asks the service for each item, several at once."""
        return side_by_side(function, items)

    def search_for_studies(self) -> list[Json]:
        """Search for all studies (PS3.18 10.6)."""
        return self._search("/studies")

    def search_for_series(
        self, study: str | None = None, filters: Mapping[str, str] | None = None
    ) -> list[Json]:
        """Search for series (PS3.18 10.6)."""
        return self._search(f"{_path(study)}/series", filters)

    def search_for_instance(self, study: str, series: str) -> Json | None:
        """Search for any instance of a series (PS3.18 10.6)."""
        return next(iter(self._search(f"{_path(study, series)}/instances", limit=1)), None)

    def search_in_study(self, study: str) -> tuple[list[Json], int | None]:
        """Search for the series of a study, and read Number of Study Related Series meanwhile.

        Returns
        -------
        found : list of dict
            Series
        count : int or None
            How many there are; None where the service does not tell
        """
        path = f"{_path(study)}/series"
        asks: list[Callable[[], Any]] = [
            partial(self._page, path, {}),
            partial(self._count_series, study),
        ]
        first, count = self.each(lambda ask: ask(), asks)
        # There is no need to ask for a second page if the first one has all of them
        return first if count == len(first) else self._search(path, known=first), count

    def _count_series(self, study: str) -> int | None:
        """Read Number of Study Related Series; None where the service does not tell it."""
        try:
            found = self._search("/studies", {"StudyInstanceUID": study}, limit=1)
        except SourceError:
            return None
        counts = [
            text_of_json(item, _SERIES_COUNT)
            for item in found
            if text_of_json(item, _STUDY) == study
        ]
        return int(counts[0][:18]) if counts and counts[0].isdecimal() else None

    def _search(
        self,
        path: str,
        filters: Mapping[str, str] | None = None,
        limit: int | None = None,
        known: Sequence[Json] = (),
    ) -> list[Json]:
        """Search for all results, page by page, after those that are known."""
        url = f"{self.base_url}{self.search_prefix}{path}"
        params: dict[str, Any] = {**(filters or {}), **({"limit": limit} if limit else {})}
        results = list(known)
        for _ in range(_MAX_PAGES):
            if results:
                params["offset"] = len(results)
            try:
                page = self._page(path, params)
            except RefusedRequestError as error:
                if not results or error.status not in _NO_MORE:
                    raise
                break
            # A server that ignores the offset sends the first page again
            if not page or page[0] in results[:1]:
                break
            results += page
            if limit and len(results) >= limit:
                break
            if len(results) > _MAX_RESULTS:
                raise SourceError(f"{without_secrets(url)}: has over {_MAX_RESULTS} results")
        else:
            raise SourceError(f"{without_secrets(url)}: has over {_MAX_PAGES} pages of results")
        return results

    def _page(self, path: str, params: dict[str, Any]) -> list[Json]:
        url = f"{self.base_url}{self.search_prefix}{path}"
        return self.http.get(url, _JSON, _MAX_METADATA, _read_json, params)

    def retrieve_series_metadata(self, study: str, series: str) -> list[Json]:
        """Retrieve the metadata of all instances of a series (PS3.18 10.4.1.1.2).

        They are retrieved one by one from services without metadata of whole series.
        """
        path = _path(study, series)
        try:
            return self._json(f"{self.base_url}{self.retrieve_prefix}{path}/metadata")
        except RefusedRequestError as error:
            if error.status in (401, 403):
                raise
            instances = self._search(f"{path}/instances")
            found = [text_of_json(item, _SOP_INSTANCE) for item in instances]
            if not any(found):
                raise
        uids = [InstanceUids(study, series, instance) for instance in found if instance]
        return self.each(self.retrieve_instance_metadata, uids)

    def retrieve_instance_metadata(self, uids: InstanceUids) -> Json:
        """Retrieve the metadata of an instance (PS3.18 10.4.1.1.2)."""
        url = self.instance_url(uids)
        items = self._json(f"{url}/metadata")
        if len(items) != 1:
            raise SourceError(f"{url}/metadata: has {len(items)} data sets, expected one")
        return items[0]

    def _json(self, url: str) -> list[Json]:
        return self.http.get(url, _JSON, _MAX_METADATA, _read_json)

    def retrieve_bulkdata(self, url: str, max_bytes: int = _MAX_BULK_DATA) -> bytes:
        """Retrieve bulk data of a limited size (PS3.18 10.4.1.1.5).

        Behind a proxy a service may name URLs of an origin that only the proxy reaches: these are
        mapped to the URL of the service, as are URLs of its own origin that it answers with 403 or
        404.
        """
        target, limit = self._own_url(url), max_bytes + _PART_OVERHEAD
        try:
            return self._bulk_data(target, limit)
        except RefusedRequestError as error:
            elsewhere = self._below_base(target)
            if error.status not in (403, 404) or elsewhere in ("", target):
                raise
            return self._bulk_data(elsewhere, limit)

    def _bulk_data(self, url: str, limit: int) -> bytes:
        try:
            return self.http.get(url, _BULK_DATA, limit, _read_contents)
        except RefusedRequestError as error:
            if error.status not in _NOT_SO:
                raise
            return self.http.get(url, "*/*", limit, _read_contents)

    def _own_url(self, url: str) -> str:
        """Map a BulkDataURI to a URL at the origin of the service."""
        if self.http.is_own(absolute := join_url(f"{self.base_url}/", url)):
            return absolute
        parts = urlsplit(absolute)
        if parts.scheme not in ("http", "https"):
            raise SourceError(f"{without_secrets(url)}: bulk data needs an http or https URL")
        if below := self._below_base(absolute):
            return below
        target = join_url(f"{self.base_url}/", parts.path)
        return f"{target}?{parts.query}" if parts.query else target

    def _below_base(self, url: str) -> str:
        """Put a path from ``/studies/`` on below the URL of the service; empty if it has none."""
        parts = urlsplit(url)
        _, below, path = parts.path.partition("/studies/")
        if not below:
            return ""
        target = f"{self.base_url}{self.retrieve_prefix}{below}{path}"
        return f"{target}?{parts.query}" if parts.query else target

    def retrieve_frames(
        self,
        instance_url: str,
        frames: Sequence[int],
        max_frame_bytes: int,
        transfer_syntax_uid: str = "",
    ) -> tuple[list[bytes], str]:
        """Retrieve frames as they are stored (PS3.18 10.4.1.1.6).

        Parameters
        ----------
        instance_url : str
            URL of the instance
        frames : sequence of int
            Frame indices from 0 on, each once
        max_frame_bytes : int
            Largest size of an encoded frame that is accepted
        transfer_syntax_uid : str
            Transfer Syntax UID of the stored frames; empty if it is not known

        Returns
        -------
        frames : list of bytes
            Encoded frames, in the order asked for
        transfer_syntax_uid : str
            Transfer Syntax UID of the frames; empty where the service does not tell

        Raises
        ------
        SourceError
            When the service does not deliver the frames
        """

        def retrieve(part: Sequence[int]) -> tuple[list[bytes], str]:
            return self.retrieve_frames(instance_url, part, max_frame_bytes, transfer_syntax_uid)

        def retrieve_alone(part: Sequence[int]) -> list[tuple[list[bytes], str]]:
            return side_by_side(lambda frame: retrieve([frame]), part)

        if len(frames) > 1 and self.refuses_frame_lists:
            return _joined(retrieve_alone(frames), instance_url)
        # If a request for one frame succeeds, the service refused the list, not the media type.
        # The last frame is tried, as it is the one that an image with too few frames lacks
        ways = [frames, frames[-1:]] if len(frames) > 1 else [frames]
        forms = _forms(transfer_syntax_uid, self.base_url)
        for form, asked in product(forms, ways):
            try:
                found = self._ask_for_frames(instance_url, asked, max_frame_bytes, form)
                break
            except RefusedRequestError as error:
                if error.status in _TOO_LONG and len(asked) > 1:
                    half = len(frames) // 2
                    halves = [retrieve(frames[:half]), retrieve(frames[half:])]
                    return _joined(halves, instance_url)
                may_be_list = len(asked) > 1 and error.status != UNAUTHORIZED
                may_be_form = form != forms[-1] and error.status in _NOT_SO
                if not (may_be_list or may_be_form):
                    raise
        if form != _NATIVE:
            # A service that sends uncompressed frames in the native form may still send compressed
            # ones in the forms before, so these are not noted as refused then
            for refused in forms[: forms.index(form)]:
                remember_refusal(self.base_url, refused)
        if len(asked) == len(frames):
            return found
        pieces = [*retrieve_alone(frames[:-1]), found]
        # The list was refused for being one: a missing frame, for which services refuse a list as
        # well, would have raised above
        remember_refusal(self.base_url, FRAME_LISTS)
        return _joined(pieces, instance_url)

    @property
    def refuses_frame_lists(self) -> bool:
        """Whether the service has refused requests for several frames at once."""
        return is_refused(self.base_url, FRAME_LISTS)

    def _ask_for_frames(
        self, instance_url: str, frames: Sequence[int], max_frame_bytes: int, form: str
    ) -> tuple[list[bytes], str]:
        """Retrieve frames with one request, with a value of the header Accept."""
        numbers = [frame + 1 for frame in frames]
        url = f"{instance_url}/frames/{','.join(map(str, numbers))}"
        limit = len(numbers) * (max_frame_bytes + _PART_OVERHEAD)
        return self.http.get(url, form, limit, lambda reply: read_frames(reply, numbers))


def _path(*uids: str | None) -> str:
    """Make the path of a study, series or instance from the UIDs down to it."""
    named = zip(("studies", "series", "instances"), uids, strict=False)
    image = f"image {uids[2][:_LONGEST_UID]}: " if len(uids) == 3 and uids[2] else ""
    for uid in uids:
        if uid is not None and len(uid) > _LONGEST_UID:
            raise SourceError(f"{image}'{uid[:20]}…' is no UID: it has {len(uid)} characters")
    try:
        return "".join(f"/{name}/{quote(uid, safe='')}" for name, uid in named if uid is not None)
    except UnicodeEncodeError as error:
        raise SourceError(f"{image}{error.object!r} is no UID: {error.reason}") from error


def _forms(transfer_syntax_uid: str, base_url: str) -> list[str]:
    """Choose the values of the header Accept to try, the best one first."""
    if transfer_syntax_uid and not is_encapsulated(transfer_syntax_uid):
        forms = [_NATIVE, _AS_STORED[0]]
    else:
        # Without a known transfer syntax the frames may be native, which some services deliver
        # only in the last form
        forms = [*_AS_STORED] if transfer_syntax_uid else [*_AS_STORED, _NATIVE]
    return sorted(forms, key=lambda form: is_refused(base_url, form))


def _joined(pieces: list[tuple[list[bytes], str]], instance_url: str) -> tuple[list[bytes], str]:
    """Join the frames of several answers, and their one transfer syntax."""
    syntaxes = {syntax for _, syntax in pieces}
    if len(syntaxes) > 1:
        raise SourceError(
            f"{instance_url}: frames of different transfer syntaxes: {', '.join(sorted(syntaxes))}"
        )
    return [frame for frames, _ in pieces for frame in frames], syntaxes.pop()


def service_of_url(
    url: str,
    session: Any = None,
    credentials: tuple[str, str] | str | None = None,
) -> tuple[WebService, str | None, str | None]:
    """Make the service of a URL that starts with ``dicomweb+``.

    Returns
    -------
    service : WebService
        Service at the part of the URL before ``/studies/``
    study_instance_uid, series_instance_uid : str or None
        Study and series where the URL ends with ``/studies/…`` and ``/series/…``

    Raises
    ------
    TypeError, ValueError
        When the URL, the session or the credentials cannot be used
    """
    plain = url.removeprefix(SERVICE_PREFIX)
    base, _, below = plain.partition("/studies/")
    study, *rest = below.rstrip("/").split("/")
    if rest and (len(rest) != 2 or rest[0] != "series"):
        raise ArgumentValueError(
            f"source: expected /studies/…/series/… at the end of {without_secrets(url)!r}"
        )
    http = HttpService.at(base, session, credentials)
    return WebService(http), study or None, rest[1] if rest else None


def service_of_client(client: object) -> WebService | None:
    """Make a service with the URL and the session of a ``DICOMwebClient``.

    Returns
    -------
    WebService or None
        None for other clients, and for subclasses that override the retrieval of frames
    """
    own_way = DICOMwebClient.retrieve_instance_frames
    if (
        not isinstance(client, DICOMwebClient)
        or type(client).retrieve_instance_frames is not own_way
    ):
        return None
    session = getattr(client, "_session", None)
    http = HttpService.at(client.base_url, session, None, getattr(client, "_timeout", None))
    search, retrieve = (
        f"/{prefix.strip('/')}" if prefix else ""
        for prefix in (client.qido_url_prefix, client.wado_url_prefix)
    )
    return WebService(http, search, retrieve)


def _read_json(reply: Reply) -> list[Json]:
    if not reply.body.strip():
        return []
    brackets = reply.body.count(b"{") + reply.body.count(b"[")
    if brackets > _SOME_BRACKETS + len(reply.body) // _BYTES_PER_BRACKET:
        raise SourceError(
            f"{name_of_url(reply.url)}: JSON of {len(reply.body)} bytes with {brackets} brackets "
            "cannot be metadata of images"
        )
    try:
        found = _parse(reply.body)
    except RecursionError:
        raise SourceError(f"{name_of_url(reply.url)}: JSON that is nested too deeply") from None
    except ValueError as error:
        raise DamagedAnswerError(f"no JSON: {error}") from error
    items = found if isinstance(found, list) else [found]
    if items and all(isinstance(item, str) for item in items):
        raise SourceError(
            f"{without_secrets(reply.url)}: names in JSON instead of data sets; is this the URL of "
            "the DICOMweb service? That of Orthanc ends with /dicom-web"
        )
    if not all(isinstance(item, dict) for item in items):
        raise DamagedAnswerError("the JSON holds something else than data sets")
    return items


def _parse(body: bytes) -> Any:
    """Parse JSON, and replace lone surrogates, which it may hold as escapes."""
    text = body.decode(json.detect_encoding(body))
    found = json.loads(text)
    if _SURROGATE.search(text):
        encoded = json.dumps(found, ensure_ascii=False).encode("utf-16", "surrogatepass")
        found = json.loads(encoded.decode("utf-16", "replace"))
    return found


def _read_contents(reply: Reply) -> bytes:
    parts = read_parts(reply, 1)
    if len(parts) != 1:
        raise DamagedAnswerError(f"{len(parts)} parts for one value asked for")
    return parts[0].content
