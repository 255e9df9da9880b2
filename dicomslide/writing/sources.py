"""Source images of results: what results take over from them, and references to them.

highdicom encodes whole arrays. It is given an image of one frame instead, which has the identity of
the source and the position of the result: all of the data set that does not depend on the pixels.
"""

from collections.abc import Sequence
from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.valuerep import format_number_as_ds

from dicomslide.metadata.geometry import ImageGeometry
from dicomslide.writing.placing import PlacedPixels

__all__ = [
    "PATTERN",
    "add_position",
    "complete_source",
    "further_sources",
    "make_derivation",
    "make_measures",
    "make_pattern",
    "make_reference",
    "thickness_of",
    "values_of",
]

PATTERN = (4, 4)
"""Rows and columns of the image that stands for the source."""

_SHARED_GROUPS = 0x52009229
# Attributes of type 2 that highdicom copies, and that sources may lack
_COPIED = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientSex",
    "StudyDate",
    "StudyID",
    "StudyTime",
)
# highdicom warns of names that it takes for wrong, and that nobody can change here
_NAME = "Pattern^"
_REPLACED = (
    "Columns",
    "DimensionOrganizationType",
    "ImageOrientationSlide",
    "NumberOfFrames",
    "PatientName",
    "Rows",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixOriginSequence",
    "TotalPixelMatrixRows",
)
# Slice Thickness in millimetres of images that state none: that of a usual section
_THICKNESS = 0.004


def make_pattern(placed: PlacedPixels) -> Dataset:
    """Make the data set of an image of one frame with the identity of the source of some pixels."""
    source = placed.sources[0].metadata
    pattern = Dataset()
    pattern.update(source[:_SHARED_GROUPS])
    for keyword in _REPLACED:
        # Assigning to an element that both data sets have would change the source
        pattern.pop(keyword, None)
    for keyword in _COPIED:
        pattern.setdefault(keyword, "")
    pattern.PatientName = _NAME
    pattern.Rows, pattern.Columns = PATTERN
    pattern.TotalPixelMatrixRows, pattern.TotalPixelMatrixColumns = PATTERN
    pattern.NumberOfFrames = 1
    pattern.DimensionOrganizationType = "TILED_FULL"
    add_position(pattern, placed.stated)
    shared = Dataset()
    shared.PixelMeasuresSequence = [make_measures(placed)]
    pattern.SharedFunctionalGroupsSequence = [shared]
    return pattern


def add_position(dataset: Dataset, stated: ImageGeometry) -> None:
    """Add the position of an image on the slide (PS3.3 C.8.12.4)."""
    dataset.ImageOrientationSlide = [format_number_as_ds(value) for value in stated.orientation]
    x, y, z = stated.origin
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = format_number_as_ds(x)
    origin.YOffsetInSlideCoordinateSystem = format_number_as_ds(y)
    # Z alone is in micrometres (PS3.3 C.8.12.6.1)
    origin.ZOffsetInSlideCoordinateSystem = format_number_as_ds(z * 1000)
    dataset.TotalPixelMatrixOriginSequence = [origin]


def make_measures(placed: PlacedPixels) -> Dataset:
    """Make the item of the Pixel Measures Sequence (PS3.3 C.7.6.16.2.1)."""
    measures = Dataset()
    measures.PixelSpacing = [format_number_as_ds(value) for value in placed.stated.spacing]
    measures.SliceThickness = format_number_as_ds(thickness_of(placed.sources[0].metadata))
    return measures


def further_sources(placed: PlacedPixels) -> list[Dataset]:
    """Return the other sources of the same study, to which a result refers as well."""
    first, *others = (image.metadata for image in placed.sources)
    return [other for other in others if other.StudyInstanceUID == first.StudyInstanceUID]


def complete_source(dataset: Dataset, placed: PlacedPixels, code: Any) -> Dataset:
    """Add to a data set what its pattern did not have: the patient's name, and the derivation.

    Parameters
    ----------
    dataset : pydicom.Dataset
        Data set that highdicom made of the pattern
    placed : PlacedPixels
        Pixels
    code : pydicom.sr.coding.Code
        How frames were derived (CID 7203)
    """
    dataset.PatientName = placed.sources[0].metadata.get("PatientName", "")
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.DerivationImageSequence = [make_derivation(placed, [code])]
    return dataset


def make_derivation(placed: PlacedPixels, derivations: Sequence[Any]) -> Dataset:
    """Make the item of the Derivation Image Sequence of all frames (PS3.3 C.7.6.16.2.6).

    Parameters
    ----------
    placed : PlacedPixels
        Pixels
    derivations : sequence of pydicom.sr.coding.Code
        How frames were derived (CID 7203)
    """
    item = Dataset()
    item.DerivationCodeSequence = [hd.sr.CodedConcept.from_code(code) for code in derivations]
    source = placed.sources[0]
    same = placed.place.level is not None and placed.size == source.size
    references = []
    for dataset in (source.metadata, *further_sources(placed)):
        reference = make_reference(dataset)
        reference.PurposeOfReferenceCodeSequence = [
            hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
        ]
        reference.SpatialLocationsPreserved = "YES" if same else "NO"
        references.append(reference)
    item.SourceImageSequence = references
    return item


def make_reference(dataset: Dataset) -> Dataset:
    """Make a reference to an instance (PS3.3 10.3)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = dataset.SOPClassUID
    reference.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
    return reference


def thickness_of(source: Dataset) -> float:
    """Read the Slice Thickness of an image in millimetres, or else that of a usual section."""
    shared = source.get("SharedFunctionalGroupsSequence")
    measures = shared[0].get("PixelMeasuresSequence") if shared else None
    return float((measures[0].get("SliceThickness") if measures else None) or _THICKNESS)


def values_of(dataset: Dataset, keyword: str) -> list[Any]:
    """Read the values of an element, of which there may be none, one or several."""
    value = dataset.get(keyword)
    if isinstance(value, MultiValue):
        return list(value)
    return [] if value in (None, "") else [value]
