"""Descriptions of segments, and the forms in which their masks are stored (PS3.3 C.8.20.2)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicomslide.arguments import require_type
from dicomslide.errors import ArgumentTypeError, ArgumentValueError
from dicomslide.metadata.colors import distinct_color
from dicomslide.writing.pixel_format import PixelFormat

__all__ = ["SegmentForm", "SegmentationType", "as_code", "choose_type", "describe_segments"]

SegmentationType = Literal["BINARY", "FRACTIONAL", "LABELMAP"]

# Fractions are stored as multiples of the 255th part
_MOST = 255


def describe_segments(segments: Any, algorithm: Any) -> list[hd.seg.SegmentDescription]:
    """Make the descriptions of segments.

    Parameters
    ----------
    segments : sequence of highdicom.seg.SegmentDescription, or mapping
        Descriptions; or category and type of the property of each segment by its label
    algorithm : highdicom.AlgorithmIdentificationSequence, tuple of str or None
        Algorithm that found the segments of a mapping, or its name and version

    Raises
    ------
    ArgumentTypeError, ArgumentValueError
        When they are none of these, or there is no segment or no algorithm
    """
    if not isinstance(segments, Mapping):
        require_type("segments", segments, Sequence, Mapping)
        described = list(segments)
        for item in described:
            require_type("segments", item, hd.seg.SegmentDescription)
    else:
        found = _algorithm(algorithm)
        described = [
            _describe(number, label, concepts, found)
            for number, (label, concepts) in enumerate(segments.items(), 1)
        ]
    if not described:
        raise ArgumentValueError("segments: there is none")
    numbers = [int(item.segment_number) for item in described]
    if len({*numbers}) < len(numbers):
        raise ArgumentValueError(f"segments: several have the same number, of {numbers}")
    return described


def _describe(
    number: int, label: Any, concepts: Any, algorithm: hd.AlgorithmIdentificationSequence
) -> hd.seg.SegmentDescription:
    require_type("segments", label, str)
    if not isinstance(concepts, Sequence) or len(concepts) != 2:
        raise ArgumentTypeError(
            f"segments: expected the category and the type of {label!r} as two codes, got "
            f"{concepts!r}"
        )
    category, kind = (as_code("segments", concept) for concept in concepts)
    red, green, blue = bytes.fromhex(distinct_color(number))
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        display_color=hd.color.CIELabColor.from_rgb(red, green, blue),
    )


def as_code(name: str, concept: Any) -> Any:
    """Convert an argument that must be a code, or its value, scheme and meaning."""
    if isinstance(concept, Code | hd.sr.CodedConcept):
        return concept
    if isinstance(concept, tuple) and len(concept) == 3 and all(map(_is_text, concept)):
        return Code(*concept)
    raise ArgumentTypeError(
        f"{name}: expected a code, or its value, scheme and meaning, got {concept!r}"
    )


def _algorithm(algorithm: Any) -> hd.AlgorithmIdentificationSequence:
    if isinstance(algorithm, hd.AlgorithmIdentificationSequence):
        return algorithm
    if isinstance(algorithm, tuple) and len(algorithm) == 2 and all(map(_is_text, algorithm)):
        name, version = algorithm
        return hd.AlgorithmIdentificationSequence(
            name=name, version=version, family=codes.DCM.ArtificialIntelligence
        )
    raise ArgumentTypeError(
        "algorithm: segments that are described by codes need the name and the version of the "
        f"algorithm that found them, got {algorithm!r}"
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def choose_type(kind: Any, dtype: np.dtype) -> SegmentationType:
    """Choose the Segmentation Type of an array: by its data type where none is asked for.

    Raises
    ------
    ArgumentValueError
        When the array cannot be stored as the type
    """
    usual: dict[str, SegmentationType] = {
        "b": "BINARY",
        "u": "LABELMAP",
        "i": "LABELMAP",
        "f": "FRACTIONAL",
    }
    if dtype.kind not in usual:
        raise ArgumentValueError(f"mask: {dtype} is neither bool, nor integers, nor fractions")
    if kind is None:
        return usual[dtype.kind]
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise ArgumentValueError(
            f"segmentation_type: expected BINARY, FRACTIONAL or LABELMAP, got {kind!r}"
        )
    if (dtype.kind == "f") != (kind == "FRACTIONAL") and dtype.kind != "b":
        raise ArgumentValueError(f"segmentation_type: a mask of {dtype} cannot be {kind}")
    found: SegmentationType = kind
    return found


@dataclass(frozen=True)
class SegmentForm:
    """Form in which segments are stored.

    Parameters
    ----------
    kind : str
        Segmentation Type
    numbers : tuple of int
        Segment numbers, in the order of the layers of the array if it has layers
    is_layered : bool
        Whether each segment is a layer of the array; otherwise its values are segment numbers, or
        those of the only segment
    is_label : bool
        Whether values are segment numbers
    transfer_syntax : str
        Transfer Syntax UID
    """

    kind: SegmentationType
    numbers: tuple[int, ...]
    is_layered: bool
    is_label: bool
    transfer_syntax: str

    @property
    def count(self) -> int:
        """Number of layers that are stored."""
        return 1 if self.kind == "LABELMAP" else len(self.numbers)

    @property
    def is_joined(self) -> bool:
        """Whether a stored layer depends on all layers of the array, or the array has none."""
        return self.kind == "LABELMAP" or not self.is_layered

    @property
    def background(self) -> float:
        """Value around the array."""
        return 0

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of the stored pixels."""
        bits = 1 if self.kind == "BINARY" else 8
        if self.kind == "LABELMAP" and max(self.numbers) > np.iinfo(np.uint8).max:
            bits = 16
        return PixelFormat(self.transfer_syntax, 1, bits, bits, False, "MONOCHROME2")

    def read_back(self) -> "SegmentForm":
        """Return the form of arrays of what was stored: a layer for each segment, or labels."""
        is_label = self.kind == "LABELMAP"
        return replace(self, is_label=is_label, is_layered=not is_label)

    def stored(self, values: NDArray) -> Iterator[NDArray]:
        """Yield each stored layer of a part of the array, of shape (rows, columns)."""
        if self.is_label:
            _require_known(values, self.numbers)
        if self.kind == "LABELMAP":
            yield values[0] if self.is_label else self._joined(values)
        elif self.is_label:
            for number in self.numbers:
                yield values[0] == number
        elif self.kind == "FRACTIONAL":
            yield from (_stored_fraction(layer) for layer in values)
        else:
            yield from values

    def _joined(self, layers: NDArray) -> NDArray:
        if len(layers) > 1 and (layers.sum(axis=0, dtype=np.uint16) > 1).any():
            raise ArgumentValueError(
                "mask: segments overlap, which a LABELMAP cannot store; BINARY can"
            )
        joined = np.zeros(layers.shape[1:], self.pixel_format.dtype)
        for number, layer in zip(self.numbers, layers, strict=True):
            joined[layer] = number
        return joined


def _require_known(values: NDArray, numbers: tuple[int, ...]) -> None:
    """Check that an array holds no other values than 0 and the numbers of segments."""
    if not values.size:
        return
    low, high = int(values.min()), int(values.max())
    most = max(numbers)
    if low >= 0 and high <= most:
        known = np.zeros(most + 1, bool)
        known[[0, *numbers]] = True
        if known.all() or known[values].all():
            return
    others = sorted({*np.unique(values).tolist()} - {0, *numbers})
    raise ArgumentValueError(
        f"mask: has the values {others[:10]}, which are not numbers of segments: {list(numbers)}"
    )


def _stored_fraction(layer: NDArray) -> NDArray[np.uint8]:
    if layer.dtype == bool:
        return layer * np.uint8(_MOST)
    if layer.dtype == np.uint8:
        # As it was stored
        return layer
    # Comparisons with NaN are False
    if layer.size and not (layer.min() >= 0 and layer.max() <= 1):
        raise ArgumentValueError(
            f"mask: fractions are from {layer.min()} to {layer.max()}, expected from 0 to 1"
        )
    return np.rint(layer * np.float64(_MOST)).astype(np.uint8)
