"""A DICOMweb service: what there is, metadata, bulk data and frames (PS3.18 8.3, 8.6 and 10)."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
# Frames as they are stored, first in the form that most servers understand (PS3.18 8.7.3)
_AS_STORED = (
    f'multipart/related; type="{OCTETS}"; transfer-syntax=*',
    ", ".join(
        f'multipart/related; type="{media_type}"; transfer-syntax=*'
        for media_type in (*_IMAGES, OCTETS)
    ),
)
# The service does not understand, or cannot deliver, what the header Accept asks for
_NOT_SO = (400, 406, 415, 500, 501)
_MAX_METADATA = 1 << 30
_MAX_BULK_DATA = 1 << 28
_MAX_PAGES, _MAX_RESULTS = 10_000, 1_000_000
# An attribute takes about 30 bytes, two of them brackets: Python needs 64 bytes for each bracket
_BYTES_PER_BRACKET, _SOME_BRACKETS = 8, 10_000
# The halves of a character are no text alone, and cannot be encoded in a URL (RFC 8259 8.2)
# Far more than the 64 characters that a UID may have, and few enough for a URL
_LONGEST_UID = 1024
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# There is nothing at this offset, or offsets are not known
_NO_MORE = (400, 404, 416, 501)
# The URL is too long: the frames are asked for in two requests
_TOO_LONG = (413, 414, 431)
# Bytes of headers around each frame of an answer
_PART_OVERHEAD = 1 << 14


@dataclass(frozen=True)
class WebService:
    """A DICOMweb service that is asked over HTTP.

    Parameters
    ----------
    http : HttpService
        The service
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

    def count_series(self, study: str, /) -> int | None:
        """Number of Study Related Series, for services that tell it."""
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
        self, path: str, filters: Mapping[str, str] | None = None, limit: int | None = None
    ) -> list[Json]:
        url = f"{self.base_url}{self.search_prefix}{path}"
        params: dict[str, Any] = {**(filters or {}), **({"limit": limit} if limit else {})}
        results: list[Json] = []
        for _ in range(_MAX_PAGES):
            if results:
                params["offset"] = len(results)
            try:
                page = self.http.get(url, _JSON, _MAX_METADATA, _read_json, params)
            except RefusedRequestError as error:
                if not results or error.status not in _NO_MORE:
                    raise
                break
            # A server that does not know the offset sends the first page again
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

    def retrieve_series_metadata(self, study: str, series: str) -> list[Json]:
        """Retrieve the metadata of all instances of a series (PS3.18 10.4.1.1.2).

        They are retrieved one by one from a service that does not have them for a series.
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

        A URL of another origin, such as one that a proxy hides, is looked for at the service; one
        of its own origin, too, where there is nothing or nothing that may be seen.
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
        """Map a BulkDataURI to the origin of the service."""
        if self.http.is_own(absolute := join_url(f"{self.base_url}/", url)):
            return absolute
        parts = urlsplit(absolute)
        if parts.scheme not in ("http", "https"):
            raise SourceError(f"{without_secrets(url)}: bulk data that is not at a web service")
        if below := self._below_base(absolute):
            return below
        target = join_url(f"{self.base_url}/", parts.path)
        return f"{target}?{parts.query}" if parts.query else target

    def _below_base(self, url: str) -> str:
        """Move what is behind ``/studies/`` to the URL of the service; empty without that."""
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
            Largest encoded frame that is taken
        transfer_syntax_uid : str
            How they are stored, if that is known

        Returns
        -------
        frames : list of bytes
            Encoded frames, in the order asked for
        transfer_syntax_uid : str
            Their transfer syntax; empty where the service does not tell

        Raises
        ------
        SourceError
            When the service does not deliver them
        """

        def retrieve(part: Sequence[int]) -> tuple[list[bytes], str]:
            return self.retrieve_frames(instance_url, part, max_frame_bytes, transfer_syntax_uid)

        def retrieve_alone(part: Sequence[int]) -> list[tuple[list[bytes], str]]:
            return side_by_side(lambda frame: retrieve([frame]), part)

        if len(frames) > 1 and self.refuses_frame_lists:
            return _joined(retrieve_alone(frames), instance_url)
        # One frame alone tells whether the form, the frame or the list was refused. Where an image
        # has fewer frames than it says, it is the last one that is missing
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
            # Octets without a transfer syntax are enough for native frames, not for compressed ones
            for refused in forms[: forms.index(form)]:
                remember_refusal(self.base_url, refused)
        if len(asked) == len(frames):
            return found
        pieces = [*retrieve_alone(frames[:-1]), found]
        # Not before all of them came: one that is missing spoils a list, too
        remember_refusal(self.base_url, FRAME_LISTS)
        return _joined(pieces, instance_url)

    @property
    def refuses_frame_lists(self) -> bool:
        """Whether the service was found to send only one frame with each answer."""
        return is_refused(self.base_url, FRAME_LISTS)

    def _ask_for_frames(
        self, instance_url: str, frames: Sequence[int], max_frame_bytes: int, form: str
    ) -> tuple[list[bytes], str]:
        """Ask for frames with one request, in a form of the header Accept."""
        numbers = [frame + 1 for frame in frames]
        url = f"{instance_url}/frames/{','.join(map(str, numbers))}"
        limit = len(numbers) * (max_frame_bytes + _PART_OVERHEAD)
        return self.http.get(url, form, limit, lambda reply: read_frames(reply, numbers))


def _path(*uids: str | None) -> str:
    """Path of a study, of a series of it, and of an instance of that, as far as they are known."""
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
    """Choose what the header Accept asks for, the best form first."""
    if transfer_syntax_uid and not is_encapsulated(transfer_syntax_uid):
        forms = [_NATIVE, _AS_STORED[0]]
    else:
        # Some services have the last form only for what is not compressed
        forms = [*_AS_STORED] if transfer_syntax_uid else [*_AS_STORED, _NATIVE]
    return sorted(forms, key=lambda form: is_refused(base_url, form))


def _joined(pieces: list[tuple[list[bytes], str]], instance_url: str) -> tuple[list[bytes], str]:
    """Put the frames of several answers together."""
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
        The service
    study_instance_uid, series_instance_uid : str or None
        Study and series where the URL ends with ``/studies/…`` and ``/series/…``

    Raises
    ------
    TypeError, ValueError
        When it is no such URL, or the session or the credentials are none
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
    """Make the service that a ``DICOMwebClient`` speaks to, with its session.

    Returns
    -------
    WebService or None
        None for a client that retrieves frames in a way of its own
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
            "is no metadata of images"
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
        raise DamagedAnswerError("no data sets in JSON")
    return items


def _parse(body: bytes) -> Any:
    """Parse JSON. Escapes may stand for halves of characters, which are replaced."""
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
