"""Parser of the frames in an answer of a DICOMweb service (PS3.18 10.4.1.1.6)."""

import re

from dicomslide.metadata.words import counted
from dicomslide.sources.http import DamagedAnswerError, Reply
from dicomslide.sources.multipart import Part, parse_content_type, read_parts

__all__ = ["read_frames"]

_NUMBER = re.compile(r"/frames/([0-9]{1,9})(?:[?#]|$)")


def read_frames(reply: Reply, numbers: list[int]) -> tuple[list[bytes], str]:
    """Read the frames of an answer.

    Parameters
    ----------
    reply : Reply
        Answer of the service
    numbers : list of int
        Frame numbers that were requested, from 1 on

    Returns
    -------
    frames : list of bytes
        Encoded frames, in the order of `numbers`
    transfer_syntax_uid : str
        Transfer Syntax UID of the frames; empty where the service does not tell

    Raises
    ------
    DamagedAnswerError
        When the answer holds other frames, or frames that differ in their transfer syntax
    """
    parts = read_parts(reply, len(numbers))
    if len(parts) != len(numbers):
        raise DamagedAnswerError(
            f"{counted(len(parts), 'frame')} came, {len(numbers)} were requested"
        )
    ordered = _in_order(parts, numbers)
    syntaxes = {_transfer_syntax(part, reply) for part in ordered}
    if len(syntaxes) > 1:
        raise DamagedAnswerError(f"frames of different transfer syntaxes: {sorted(syntaxes)}")
    for number, part in zip(numbers, ordered, strict=True):
        if not part.content:
            raise DamagedAnswerError(f"frame {number} is empty")
    return [part.content for part in ordered], syntaxes.pop()


def _in_order(parts: list[Part], numbers: list[int]) -> list[Part]:
    """Sort parts into the order of the requested frames, by their header Content-Location."""
    found = [_frame_number(part.location) for part in parts]
    if None in found or found == numbers:
        return parts
    by_number = dict(zip(found, parts, strict=True))
    if by_number.keys() != set(numbers):
        raise DamagedAnswerError("other frames were sent than those requested")
    return [by_number[number] for number in numbers]


def _frame_number(location: str) -> int | None:
    """Read the frame number at the end of a URL such as ``…/frames/7``."""
    match = _NUMBER.search(location)
    return int(match[1]) if match else None


def _transfer_syntax(part: Part, reply: Reply) -> str:
    """Read the transfer syntax from the Content-Type of a part, else of the whole message."""
    _, parameters = parse_content_type(part.content_type)
    syntax = parameters.get("transfer-syntax", "")
    if not syntax:
        _, outer = parse_content_type(reply.content_type)
        syntax = outer.get("transfer-syntax", "")
        # Some servers write the transfer syntax into the parameter `type` of the message
        syntax = syntax or parse_content_type(outer.get("type", ""))[1].get("transfer-syntax", "")
    return "" if syntax == "*" else syntax.strip()
