"""Images that are split into several instances (PS3.3 C.7.6.16.2.2.4)."""

import hashlib
from collections.abc import Iterable, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicomslide.damage import reads_image
from dicomslide.errors import FrameError, InvalidImageError
from dicomslide.metadata.frames import number_of_frames
from dicomslide.metadata.functional_groups import PER_FRAME_GROUPS, frame_groups
from dicomslide.sources.base import FrameSource
from dicomslide.sources.clients import frame_source

__all__ = ["ConcatenatedFrames", "JoiningStore", "join_concatenations"]

_SAME_IN_ALL_PARTS = (
    "Rows",
    "Columns",
    "TotalPixelMatrixRows",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixFocalPlanes",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PlanarConfiguration",
    "DimensionOrganizationType",
    "FrameOfReferenceUID",
    "SeriesInstanceUID",
)
_SAME_ITEMS_IN_ALL_PARTS = (
    "SharedFunctionalGroupsSequence",
    "OpticalPathSequence",
    "SegmentSequence",
)


@dataclass(frozen=True)
class ConcatenatedFrames:
    """The frames of the parts of a concatenation, one part after the other.

    Parameters
    ----------
    parts : tuple of FrameSource
        Frames of the parts, in the order of In-concatenation Number
    starts : tuple of int
        Index of the first frame of each part, and the number of all frames
    """

    parts: tuple[FrameSource, ...]
    starts: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the image in messages."""
        return f"{self.parts[0].name} and {len(self.parts) - 1} more parts"

    @property
    def token(self) -> str:
        """A name that is the same for the same bytes."""
        tokens = " ".join(part.token for part in self.parts)
        return hashlib.sha256(tokens.encode()).hexdigest()[:32]

    @property
    def transfer_syntax_uid(self) -> str:
        """Transfer Syntax UID of the frames."""
        return self.parts[0].transfer_syntax_uid

    @property
    def remote(self) -> bool:
        """Whether a request costs more than the frames that it brings."""
        return self.parts[0].remote

    @property
    def batch_size(self) -> int:
        """How many frames are best read with one call."""
        return self.parts[0].batch_size

    def close(self) -> None:
        """Let go of what is held for the parts."""
        for part in self.parts:
            close = getattr(part, "close", None)
            if callable(close):
                close()

    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames, with one call for each part; see `FrameSource.read`."""
        found: dict[int, bytes] = {}
        for index, part in enumerate(self.parts):
            start, stop = self.starts[index : index + 2]
            own = [frame for frame in frames if start <= frame < stop]
            if own:
                found.update(zip(own, part.read([frame - start for frame in own]), strict=True))
        missing = [frame + 1 for frame in frames if frame not in found]
        if missing:
            raise FrameError(f"{self.name}: frames {missing} are not among {self.starts[-1]}")
        return [found[frame] for frame in frames]


class JoiningStore:
    """A client whose concatenations have been joined.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient or FrameStore
        Where the frames of the instances are
    parts : dict
        SOP Instance UID of a joined image to the data sets of its parts
    """

    def __init__(self, client: Any, parts: dict[str, list[Dataset]]) -> None:
        self._client = client
        self._parts = parts

    def frame_source(self, dataset: Dataset) -> FrameSource:
        """Get the source of the frames of an image."""
        parts = self._parts.get(str(dataset.get("SOPInstanceUID")))
        if parts is None:
            return frame_source(self._client, dataset)
        sources = tuple(frame_source(self._client, part) for part in parts)
        syntaxes = {source.transfer_syntax_uid for source in sources}
        if len(syntaxes) > 1:
            raise InvalidImageError(
                f"{sources[0].name}: the parts of a concatenation have different transfer syntaxes"
            )
        counts = [number_of_frames(part) for part in parts]
        return ConcatenatedFrames(sources, (0, *accumulate(counts)))


def join_concatenations(client: Any, datasets: Iterable[Dataset]) -> tuple[Any, list[Dataset]]:
    """Make one image of the parts of each concatenation.

    Parameters
    ----------
    client : dicomweb_client.api.DICOMClient or FrameStore
        Where the frames are
    datasets : iterable of pydicom.dataset.Dataset
        Metadata of instances; the parts of a concatenation may be in any order

    Returns
    -------
    client : dicomweb_client.api.DICOMClient or FrameStore
        Where the frames of the images are: the same client if there is no concatenation
    datasets : list of pydicom.dataset.Dataset
        Metadata of images

    Raises
    ------
    InvalidImageError
        When a part is missing, is there twice, or contradicts another part
    """
    images: list[Dataset] = []
    concatenations: dict[str, list[Dataset]] = {}
    for dataset in datasets:
        uid = dataset.get("ConcatenationUID")
        if uid:
            concatenations.setdefault(str(uid), []).append(dataset)
        else:
            images.append(dataset)
    joined = {}
    for uid, parts in concatenations.items():
        ordered = _ordered(uid, parts)
        image = _join(ordered)
        joined[str(image.SOPInstanceUID)] = ordered
        images.append(image)
    return (JoiningStore(client, joined) if joined else client), images


def _ordered(uid: str, parts: list[Dataset]) -> list[Dataset]:
    """Check that all parts are there, and put them in order."""
    by_number: dict[int, Dataset] = {}
    for part in parts:
        number = _integer(part, "InConcatenationNumber") or 0
        if number in by_number:
            raise InvalidImageError(
                f"concatenation {uid}: images {_uid(by_number[number])} and {_uid(part)} are both "
                f"part {number}"
            )
        by_number[number] = part
    numbers = sorted(by_number)
    if numbers[0] < 1:
        raise InvalidImageError(
            f"concatenation {uid}: In-concatenation Number of image {_uid(by_number[numbers[0]])} "
            f"is {numbers[0]}, parts are counted from 1"
        )
    total = max(_integer(part, "InConcatenationTotalNumber") or 0 for part in parts)
    # The total is optional, but one part alone is no concatenation
    if len(numbers) != max(total or 2, numbers[-1]):
        missing = next(number for number in count(1) if number not in by_number)
        found = ", ".join(f"{number} (image {_uid(by_number[number])})" for number in numbers)
        raise InvalidImageError(
            f"concatenation {uid}: part {missing} of {total or 'several'} is missing, there is "
            f"only {found}"
        )
    ordered = [by_number[number] for number in numbers]
    start = 0
    for part in ordered:
        _check_same(uid, ordered[0], part)
        offset = _integer(part, "ConcatenationFrameOffsetNumber")
        if offset is not None and offset != start:
            raise InvalidImageError(
                f"concatenation {uid}: Concatenation Frame Offset Number of image {_uid(part)} is "
                f"{offset}, but {start} frames come before it"
            )
        start += number_of_frames(part)
    return ordered


def _check_same(uid: str, first: Dataset, part: Dataset) -> None:
    for keyword in _SAME_IN_ALL_PARTS:
        if part.get(keyword) != first.get(keyword):
            raise InvalidImageError(
                f"concatenation {uid}: {keyword} is {first.get(keyword)!r} in image {_uid(first)}, "
                f"but {part.get(keyword)!r} in image {_uid(part)}"
            )
    for keyword in _SAME_ITEMS_IN_ALL_PARTS:
        if part.get(keyword) != first.get(keyword):
            raise InvalidImageError(
                f"concatenation {uid}: images {_uid(first)} and {_uid(part)} differ in their "
                f"{keyword}"
            )


def _join(parts: list[Dataset]) -> Dataset:
    # A shallow copy would share its elements with the part
    image = deepcopy(parts[0])
    image.NumberOfFrames = sum(number_of_frames(part) for part in parts)
    image.SOPInstanceUID = parts[0].get("SOPInstanceUIDOfConcatenationSource") or _uid(parts[0])
    if all(PER_FRAME_GROUPS in part for part in parts):
        image[PER_FRAME_GROUPS] = _joined_groups(parts)
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in image:
            del image[keyword]
    return image


def _joined_groups(parts: list[Dataset]) -> Any:
    elements = [part.get_item(PER_FRAME_GROUPS) for part in parts]
    first = elements[0]
    alike = all(
        isinstance(element, RawDataElement) and element[5:] == first[5:] for element in elements
    )
    if alike:
        # Not parsed yet, and not to be parsed here
        value = b"".join(element.value for element in elements)
        return first._replace(length=len(value), value=value)
    items = [item for part in parts for item in frame_groups(part)]
    joined = copy(parts[0][PER_FRAME_GROUPS])
    joined.value = items
    return joined


@reads_image
def _integer(dataset: Dataset, keyword: str) -> int | None:
    value = dataset.get(keyword)
    return None if value is None else int(value)


def _uid(dataset: Dataset) -> str:
    return str(dataset.get("SOPInstanceUID"))
