"""What a damaged slide may show: right pixels, or other ones for a reason that can be named.

Pixels are other than before for a reason where bytes of frames were touched, or where pydicom finds
another value than before in an attribute that describes the pixels and where they lie. They have
the size that the attributes state, and unless these differ the shape and the type of before.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import (
    ParametricMapStorage,
    SegmentationStorage,
    VLWholeSlideMicroscopyImageStorage,
)

from dicomslide import Slide, open_slide

__all__ = ["DESCRIPTION", "Original", "explain", "load", "read_windows"]

# No more pixels than these are read of each level
WINDOW = 64

CLASSES = (
    VLWholeSlideMicroscopyImageStorage,
    SegmentationStorage,
    ParametricMapStorage,
    "1.2.840.10008.5.1.4.1.1.66.7",
)

# What decides which pixels there are: all else must not change them
DESCRIPTION = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ContainerIdentifier",
    "ImageType",
    "PyramidUID",
    "SeriesNumber",
    "InstanceNumber",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "TotalPixelMatrixRows",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixFocalPlanes",
    "TotalPixelMatrixOriginSequence",
    "NumberOfOpticalPaths",
    "OpticalPathSequence",
    "SegmentSequence",
    "SegmentationType",
    "DimensionOrganizationType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ConcatenationUID",
    "InConcatenationNumber",
    "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber",
)
_ROWS, _COLUMNS = (DESCRIPTION.index(f"TotalPixelMatrix{a}") + 1 for a in ("Rows", "Columns"))


@dataclass(frozen=True)
class Original:
    """A slide as it was written: its files, what describes them, and its pixels."""

    data: dict[str, bytes]
    description: list[list[str]]
    windows: list[NDArray]


def load(folder: Path) -> Original:
    """Read a slide that is right."""
    paths = sorted(folder.glob("*.dcm"))
    with open_slide(folder, correct_color=False) as slide:
        windows = read_windows(slide)
    data = {path.name: path.read_bytes() for path in paths}
    return Original(data, _describe(paths) or [], windows)


def read_windows(slide: Slide) -> list[NDArray]:
    """The top left of each level of each channel and focal plane that has pixels, and of labels."""
    windows = []
    for level, (rows, columns) in enumerate(slide.total_pixel_matrix_dimensions[:4]):
        size = min(rows, WINDOW), min(columns, WINDOW)
        for channel in range(min(slide.num_channels, 8)):
            for plane in range(min(slide.num_focal_planes, 8)):
                images = slide.get_volume_images(channel, plane)
                if any(image.size == (rows, columns) for image in images):
                    windows.append(slide.get_image_region((0, 0), level, size, channel, plane))
    labels = (image.get_total_pixel_matrix() for image in slide.label_images)
    return windows + [matrix[:WINDOW, :WINDOW] for matrix in labels]


def explain(
    original: Original,
    folder: Path,
    damaged: Path,
    frames: bool,
    windows: list[NDArray],
    sizes: tuple[tuple[int, int], ...],
) -> str:
    """Say why the pixels of a slide are as they are; empty where there is no reason.

    Parameters
    ----------
    original : Original
        The slide as it was
    folder : pathlib.Path
        Folder of its files
    damaged : pathlib.Path
        The one that is damaged
    frames : bool
        Whether bytes of its frames were touched
    windows : list of numpy.ndarray
        The pixels that were read
    sizes : tuple
        Rows and columns of the levels
    """
    if _same(windows, original.windows):
        return "right"
    if not damaged.exists() or _is_of_something_else(damaged):
        return "passed over"
    shapes = [[(w.shape, w.dtype) for w in each] for each in (windows, original.windows)]
    if frames and shapes[0] == shapes[1]:
        return "other frames"
    found = _describe(sorted(folder.glob("*.dcm")))
    if found is None or found == original.description:
        return ""
    stated = {(values[_ROWS], values[_COLUMNS]) for values in found}
    if not {tuple(map(str, size)) for size in sizes} <= stated:
        return ""
    return "other description"


def _describe(paths: list[Path]) -> list[list[str]] | None:
    """What pydicom finds in the attributes that describe the pixels; None where it cannot read."""
    try:
        datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
        return [
            [str(dataset.file_meta.get("TransferSyntaxUID"))]
            + [str(dataset.get(keyword)) for keyword in DESCRIPTION]
            + [_pixel_keyword(path)]
            for path, dataset in zip(paths, datasets, strict=True)
        ]
    except Exception:
        return None


def _pixel_keyword(path: Path) -> str:
    """Whether the pixels are integers, or floats of either size."""
    keywords = ("FloatPixelData", "DoubleFloatPixelData")
    try:
        dataset = pydicom.dcmread(path, defer_size=1024)
    except Exception:
        return "damaged"
    return next((keyword for keyword in keywords if keyword in dataset), "PixelData")


def _is_of_something_else(path: Path) -> bool:
    """Whether a file is no DICOM file, or says that it is one of another kind."""
    if path.read_bytes()[128:132] != b"DICM":
        return True
    try:
        uid = pydicom.filereader.read_file_meta_info(path).MediaStorageSOPClassUID
    except Exception:
        return False
    return uid.type == "SOP Class" and uid not in CLASSES


def _same(one: list[NDArray], other: list[NDArray]) -> bool:
    return len(one) == len(other) and all(
        a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(one, other, strict=True)
    )
