"""Images that are split into several instances (PS3.3 C.7.6.16.2.2.4)."""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Any, NamedTuple, TypeVar

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicomslide.errors import InvalidImageError
from dicomslide.errors.damage import reads_image
from dicomslide.metadata.frames import number_of_frames
from dicomslide.metadata.functional_groups import PER_FRAME_GROUPS, frame_groups
from dicomslide.metadata.words import counted
from dicomslide.sources.base import FrameLocation, FrameSource, check_frames, part_source

__all__ = ["ConcatenatedFrames", "JoinedImage", "join_concatenations", "join_frames"]

T = TypeVar("T")

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
    """Source of the frames of all parts of a concatenation, one part after the other.

    Parameters
    ----------
    parts : tuple of FrameSource
        Sources of the parts, in the order of In-concatenation Number
    starts : tuple of int
        Index of the first frame of each part, and the number of all frames
    """

    parts: tuple[FrameSource, ...]
    starts: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the image in messages."""
        return f"{self.parts[0].name} and {counted(len(self.parts) - 1, 'more part')}"

    @property
    def token(self) -> str:
        """Key that is equal for the same bytes."""
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
        """Number of frames that are best read with one call."""
        return self.parts[0].batch_size

    def close(self) -> None:
        """Release what is held for the frames of the parts."""
        for part in self.parts:
            part.close()

    def read(self, frames: Sequence[int]) -> list[bytes]:
        """Read encoded frames, with one call for each part; see `FrameSource.read`."""
        return self._of_parts(frames, lambda part, own: part.read(own))

    @property
    def reads_parts(self) -> bool:
        """Whether all parts of the concatenation read parts of frames."""
        return all(part_source(part) for part in self.parts)

    def read_part(self, frame: int, start: int, out: memoryview) -> None:
        """Read a part of a frame; see `PartSource.read_part`."""
        check_frames([frame], self.starts[-1], self.name)
        part = bisect_right(self.starts, frame) - 1
        source = part_source(self.parts[part])
        assert source is not None
        source.read_part(frame - self.starts[part], start, out)

    def locate(self, frames: Sequence[int]) -> list[FrameLocation | None]:
        """Find where encoded frames lie; see `FrameSource.locate`."""
        return self._of_parts(frames, lambda part, own: part.locate(own))

    def _of_parts(
        self, frames: Sequence[int], ask: Callable[[FrameSource, list[int]], list[T]]
    ) -> list[T]:
        """Ask each part for its frames, and put the answers in order."""
        check_frames(frames, self.starts[-1], self.name)
        found: dict[int, T] = {}
        for part, start, stop in zip(self.parts, self.starts, self.starts[1:], strict=False):
            own = [frame for frame in frames if start <= frame < stop]
            if own:
                found.update(zip(own, ask(part, [frame - start for frame in own]), strict=True))
        return [found[frame] for frame in frames]


class JoinedImage(NamedTuple):
    """Image with the instances that it is stored in.

    Parameters
    ----------
    dataset : pydicom.dataset.Dataset
        Metadata of the image
    parts : list of pydicom.dataset.Dataset
        Metadata of the instances; the one data set of the image where it is not split
    """

    dataset: Dataset
    parts: list[Dataset]


def join_concatenations(datasets: Iterable[Dataset]) -> list[JoinedImage]:
    """Join the parts of each concatenation into one image.

    Parameters
    ----------
    datasets : iterable of pydicom.dataset.Dataset
        Metadata of instances; the parts of a concatenation may be in any order

    Returns
    -------
    list of JoinedImage
        One item for each image: those that are not split first, then the concatenations

    Raises
    ------
    InvalidImageError
        When a part is missing, occurs twice, or contradicts another part
    """
    images: list[JoinedImage] = []
    concatenations: dict[str, list[Dataset]] = {}
    for dataset in datasets:
        uid = _value(dataset, "ConcatenationUID")
        if uid:
            concatenations.setdefault(str(uid), []).append(dataset)
        else:
            images.append(JoinedImage(dataset, [dataset]))
    for uid, parts in concatenations.items():
        ordered = _ordered(uid, parts)
        images.append(JoinedImage(_join(ordered), ordered))
    return images


def join_frames(image: JoinedImage, sources: Sequence[FrameSource]) -> FrameSource:
    """Join the sources of the parts of an image, in the order of `image.parts`, into one.

    Raises
    ------
    InvalidImageError
        When the parts have different transfer syntaxes
    """
    if len(sources) == 1:
        return sources[0]
    if len({source.transfer_syntax_uid for source in sources}) > 1:
        raise InvalidImageError(
            f"{sources[0].name}: the parts of a concatenation have different transfer syntaxes"
        )
    counts = [number_of_frames(part) for part in image.parts]
    return ConcatenatedFrames(tuple(sources), (0, *accumulate(counts)))


def _ordered(uid: str, parts: list[Dataset]) -> list[Dataset]:
    """Sort the parts of a concatenation by their number, and check that none is missing."""
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
    # In-concatenation Total Number is optional; a concatenation has at least two parts without it
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
                f"{offset}, but {counted(start, 'frame')} come before it"
            )
        start += number_of_frames(part)
    return ordered


def _check_same(uid: str, first: Dataset, part: Dataset) -> None:
    for keyword in _SAME_IN_ALL_PARTS:
        if _value(part, keyword) != _value(first, keyword):
            raise InvalidImageError(
                f"concatenation {uid}: {keyword} is {first.get(keyword)!r} in image {_uid(first)}, "
                f"but {part.get(keyword)!r} in image {_uid(part)}"
            )
    for keyword in _SAME_ITEMS_IN_ALL_PARTS:
        if _value(part, keyword) != _value(first, keyword):
            raise InvalidImageError(
                f"concatenation {uid}: images {_uid(first)} and {_uid(part)} differ in their "
                f"{keyword}"
            )


def _join(parts: list[Dataset]) -> Dataset:
    # The image is a deep copy: a shallow one would change elements of the first part
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
        # Unparsed values are joined as bytes: parsing tens of thousands of items takes seconds
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


@reads_image
def _value(dataset: Dataset, keyword: str) -> Any:
    return dataset.get(keyword)


def _uid(dataset: Dataset) -> str:
    return str(dataset.get("SOPInstanceUID"))
