"""Descriptions of segments (PS3.3 C.8.20.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from dicomslide.arguments import require_type
from dicomslide.errors import ArgumentTypeError, ArgumentValueError
from dicomslide.metadata.colors import distinct_color
from dicomslide.writing.forms import SegmentationType

__all__ = ["as_code", "choose_type", "describe_segments"]


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
