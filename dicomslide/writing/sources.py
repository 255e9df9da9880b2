"""Source images of results, in the form from which highdicom makes their data sets.

highdicom encodes whole arrays. It is given an image of one frame instead, which has the identity of
the source and the position of the result: all of the data set that does not depend on the pixels.
"""

from typing import Any

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.valuerep import format_number_as_ds

from dicomslide.writing.placing import PlacedPixels

__all__ = ["PATTERN", "complete_source", "further_sources", "make_pattern"]

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
    stated = placed.stated
    pattern.ImageOrientationSlide = [format_number_as_ds(value) for value in stated.orientation]
    x, y, z = stated.origin
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = format_number_as_ds(x)
    origin.YOffsetInSlideCoordinateSystem = format_number_as_ds(y)
    # Z alone is in micrometres (PS3.3 C.8.12.6.1)
    origin.ZOffsetInSlideCoordinateSystem = format_number_as_ds(z * 1000)
    pattern.TotalPixelMatrixOriginSequence = [origin]
    measures = Dataset()
    measures.PixelSpacing = [format_number_as_ds(value) for value in stated.spacing]
    measures.SliceThickness = _thickness(source)
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    pattern.SharedFunctionalGroupsSequence = [shared]
    return pattern


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
    shared.DerivationImageSequence = [_derivation(placed, code)]
    return dataset


def _derivation(placed: PlacedPixels, code: Any) -> Dataset:
    """Make the item of the Derivation Image Sequence of all frames (PS3.3 C.7.6.16.2.6)."""
    item = Dataset()
    item.DerivationCodeSequence = [hd.sr.CodedConcept.from_code(code)]
    source = placed.sources[0]
    same = placed.place.level is not None and placed.size == source.size
    references = []
    for dataset in (source.metadata, *further_sources(placed)):
        reference = Dataset()
        reference.ReferencedSOPClassUID = dataset.SOPClassUID
        reference.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
        reference.PurposeOfReferenceCodeSequence = [
            hd.sr.CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
        ]
        reference.SpatialLocationsPreserved = "YES" if same else "NO"
        references.append(reference)
    item.SourceImageSequence = references
    return item


def _thickness(source: Dataset) -> Any:
    shared = source.get("SharedFunctionalGroupsSequence")
    measures = shared[0].get("PixelMeasuresSequence") if shared else None
    return (measures[0].get("SliceThickness") if measures else None) or _THICKNESS
