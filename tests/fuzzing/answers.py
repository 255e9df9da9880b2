"""Damage to what a DICOMweb service answers: DICOM JSON (PS3.18 F), frames and bulk data."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydicom.datadict import tag_for_keyword

from tests.fuzzing.files import TEXTS, VRS
from tests.fuzzing.oracle import DESCRIPTION
from tests.servers.messages import Answer, Fault, Part, Request

__all__ = ["damage_answer"]

_TAGS = tuple(f"{tag_for_keyword(keyword):08X}" for keyword in DESCRIPTION)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**64,
    10**400,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "1",
    "abc",
    "\ud800",
    "\0",
    "é€",
    [],
    [None],
    [[1]],
    {},
    {"Alphabetic": "A"},
    {"Alphabetic": 5},
    {"00280010": {"vr": "US", "Value": [5]}},
    {"vr": "SQ"},
)
_URIS = ("", "file:///etc/passwd", "http://127.0.0.1:1/x", "ftp://127.0.0.1:1")
_URIS += ("../..", "//", "http://[", 5, None)
_BODIES = (b"", b" ", b"\0", b"<html>", b"\xff\xfe", b"NaN", b"[NaN]", b"-", b"1" * 9000)


def damage_answer(rng: random.Random, origin: str) -> tuple[Fault, str, str]:
    """Make a fault, say what it does, and give a part of the targets of the requests it is for."""
    kind = rng.random()
    seed = rng.random()
    if kind < 0.7:
        change = rng.choice(_DOCUMENT_CHANGES)
        where = rng.choice(("/metadata", "/metadata", "/metadata", "/series", "/studies?"))
    elif kind < 0.9:
        change, where = rng.choice(_PART_CHANGES), rng.choice(("/frames/", "/frames/", "/bulkdata"))
    else:
        change = rng.choice(_ANSWER_CHANGES)
        where = rng.choice(("/metadata", "/series", "/frames/", "/bulkdata", ""))

    def fault(request: Request, answer: Answer) -> Answer:
        # The same damage whenever it is asked for
        return change(answer, random.Random(f"{seed} {request.path}"), origin)

    return fault, f"{change.__name__.strip('_')} of {where}", where


# Documents


def _elements(answer: Answer, rng: random.Random, origin: str) -> Answer:
    """Change elements of data sets, at any depth."""
    document = _document(answer)
    for _ in range(rng.choice((1, 1, 2, 3))):
        place = _choose_dataset(document, rng)
        if place:
            described = [tag for tag in place if tag in _TAGS]
            wanted = described if described and rng.random() < 0.7 else list(place)
            _change_element(place, rng.choice(wanted), rng, origin)
    return _with_document(answer, document)


def _choose_dataset(document: Any, rng: random.Random) -> dict[str, Any]:
    place = rng.choice(document) if isinstance(document, list) and document else {}
    while isinstance(place, dict):
        inner = [
            item
            for element in place.values()
            if isinstance(element, dict) and isinstance(element.get("Value"), list)
            for item in element["Value"]
            if isinstance(item, dict) and element.get("vr") == "SQ"
        ]
        if not inner or rng.random() < 0.5:
            return place
        place = rng.choice(inner)
    return {}


def _change_element(place: dict[str, Any], tag: str, rng: random.Random, origin: str) -> None:
    element = place[tag]
    kind = rng.randrange(16)
    if kind < 2:
        del place[tag]
    elif kind == 2:
        place[tag] = rng.choice(_VALUES)
    elif kind == 3:
        name = rng.choice(("", "abc", "0028001", "002800100", "0028001G", tag.lower(), "Rows"))
        place[name or rng.choice(_TAGS)] = element
    elif not isinstance(element, dict):
        return
    elif kind == 4:
        vr = rng.choice(VRS).decode("latin-1")
        element["vr"] = rng.choice((vr, vr, vr, None, 5, "", "SQX", ["US"]))
    elif kind == 5:
        element.pop("vr", None)
    elif kind == 6:
        element["Value"] = rng.choice(_VALUES)
    elif kind == 7:
        values = element.get("Value")
        values = values if isinstance(values, list) else [values]
        element["Value"] = values * rng.choice((0, 2, 3, 300))
    elif kind == 8:
        value = rng.choice(("", "A", "AAAA", "====", "ÄÖ", "A" * 100_001, "!!", None, 5, ["AA=="]))
        element["InlineBinary"] = value
    elif kind == 9:
        there = (origin, f"{origin}/nothing", f"{origin}:99999/")
        element["BulkDataURI"] = rng.choice((*_URIS, *there))
        if rng.random() < 0.5:
            element.pop("Value", None)
            element.pop("InlineBinary", None)
    elif kind == 10:
        other = place[rng.choice(list(place))]
        place[tag] = other
    else:
        text = rng.choice(TEXTS).decode("latin-1")
        value = rng.choice((text, *_VALUES, *_VALUES))
        values = element.get("Value")
        if isinstance(values, list) and values and rng.random() < 0.5:
            values[rng.randrange(len(values))] = value
        else:
            element["Value"] = [value]


def _other_document(answer: Answer, rng: random.Random, origin: str) -> Answer:
    document = _document(answer)
    others = [*_VALUES, [*document, None], [*document, *document], [document], document[:1], [{}]]
    return _with_document(answer, rng.choice(others))


def _deep_document(answer: Answer, rng: random.Random, origin: str) -> Answer:
    """Nest lists or sequences deeper than a parser may follow."""
    depth = rng.choice((10, 200, 900, 20_000))
    if rng.random() < 0.3:
        return replace(answer, body=b"[" * depth + b"]" * rng.choice((depth, 0)))
    start = b'{"00081140":{"vr":"SQ","Value":['
    deep = start * depth + b"]}}" * depth
    body = answer.body
    assert isinstance(body, bytes)
    inner = body.strip().removeprefix(b"[{")
    return replace(answer, body=b'[{"00081140":{"vr":"SQ","Value":[' + deep + b"]}," + inner)


def _other_bytes(answer: Answer, rng: random.Random, origin: str) -> Answer:
    body = answer.body
    assert isinstance(body, bytes)
    kind = rng.randrange(6)
    if kind == 0:
        body = body[: rng.randrange(len(body) + 1)]
    elif kind == 1:
        body = b"\xef\xbb\xbf" + body
    elif kind == 2:
        body = body.decode().encode("utf-16")
    elif kind == 3:
        body = rng.choice(_BODIES)
    else:
        changed = bytearray(body)
        for _ in range(rng.choice((1, 3))):
            if changed:
                changed[rng.randrange(len(changed))] = rng.choice(b'"[]{},:\\0 \xff\n')
        body = bytes(changed)
    return replace(answer, body=body)


def _document(answer: Answer) -> Any:
    assert isinstance(answer.body, bytes)
    return json.loads(answer.body or b"[]")


def _with_document(answer: Answer, document: Any) -> Answer:
    return replace(answer, body=json.dumps(document).encode())


# Bodies of frames and bulk data


def _part_bytes(answer: Answer, rng: random.Random, origin: str) -> Answer:
    def change(part: Part) -> Part:
        content = bytearray(part.content)
        kind = rng.randrange(4)
        if kind == 0:
            content = content[: rng.randrange(len(content) + 1)]
        elif kind == 1:
            content += rng.randbytes(rng.choice((1, 1000, 2**17)))
        else:
            for _ in range(rng.choice((1, 3, 9))):
                if content:
                    content[rng.randrange(min(len(content), 600))] = rng.randrange(256)
        return replace(part, content=bytes(content))

    return replace(
        answer, parts=tuple(change(p) if rng.random() < 0.5 else p for p in answer.parts or ())
    )


def _part_list(answer: Answer, rng: random.Random, origin: str) -> Answer:
    parts = list(answer.parts or ())
    kind = rng.randrange(5)
    if kind == 0:
        parts = []
    elif kind == 1 and parts:
        del parts[rng.randrange(len(parts))]
    elif kind == 2:
        parts = parts * rng.choice((2, 50))
    elif kind == 3:
        parts.reverse()
    else:
        parts = [replace(part, content=b"") for part in parts]
    return replace(answer, parts=tuple(parts))


def _part_headers(answer: Answer, rng: random.Random, origin: str) -> Answer:
    headers = rng.choice(
        (
            {},
            {"Content-Type": "text/html"},
            {"Content-Type": "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.90"},
            {"Content-Type": 'application/octet-stream; transfer-syntax="*'},
            {"Content-Type": ""},
            {"X": "y" * 70_000},
            {"Content-Type": "image/jp2", "Content-Length": "-5"},
        )
    )
    return replace(
        answer, parts=tuple(replace(p, headers=dict(headers)) for p in answer.parts or ())
    )


def _boundary(answer: Answer, rng: random.Random, origin: str) -> Answer:
    return replace(
        answer, boundary=rng.choice(("", "x", "a-slide-7f3b\r\n--a-slide-7f3b", " " * 80))
    )


def _content_type(answer: Answer, rng: random.Random, origin: str) -> Answer:
    kind = rng.choice(
        (
            "",
            "text/plain",
            "multipart/related",
            "multipart/related; boundary=",
            'multipart/related; boundary="',
            "multipart/related; boundary=\u00e4",
            'multipart/related; type="a/b"; boundary=' + "x" * 5000,
            "application/octet-stream",
            "application/json; charset=nonsense",
            "application/dicom+xml",
        )
    )
    return replace(answer, headers={**answer.headers, "Content-Type": kind})


def _encoding(answer: Answer, rng: random.Random, origin: str) -> Answer:
    encoding = rng.choice(("gzip", "deflate", "br", "nonsense", "identity, gzip"))
    return replace(answer, headers={**answer.headers, "Content-Encoding": encoding})


def _status(answer: Answer, rng: random.Random, origin: str) -> Answer:
    return replace(
        answer, status=rng.choice((200, 201, 204, 206, 299, 304, 400, 404, 406, 501, 599))
    )


def _empty(answer: Answer, rng: random.Random, origin: str) -> Answer:
    return Answer(rng.choice((200, 204, 404)), {}, b"")


def _elsewhere(answer: Answer, rng: random.Random, origin: str) -> Answer:
    places = ("", "/", origin, "http://[", "file:///etc/passwd", "//127.0.0.1:1/", "é", "?")
    return Answer(
        rng.choice((301, 302, 307)), {"Location": rng.choice(places).encode().decode("latin-1")}
    )


Change = Callable[[Answer, random.Random, str], Answer]
_DOCUMENT_CHANGES: tuple[Change, ...] = (
    *(_elements,) * 12,
    _other_document,
    _deep_document,
    _other_bytes,
)
_PART_CHANGES: tuple[Change, ...] = (
    _part_bytes,
    _part_bytes,
    _part_bytes,
    _part_list,
    _part_headers,
    _boundary,
)
_ANSWER_CHANGES: tuple[Change, ...] = (_content_type, _encoding, _status, _empty, _elsewhere)
