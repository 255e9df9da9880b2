"""Segmentations of slides: `write_segmentation` (PS3.3 A.51 and A.101)."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless

from dicomslide.errors import ArgumentValueError
from dicomslide.slide import Slide
from dicomslide.tree.schema import SEGMENTATION
from dicomslide.writing.forms import SegmentationType, SegmentForm
from dicomslide.writing.identity import WrittenInstance
from dicomslide.writing.instance import Content, check_tile, check_transfer_syntax
from dicomslide.writing.pixel_format import EXPLICIT_LITTLE_ENDIAN
from dicomslide.writing.placing import PlacedPixels, place_array
from dicomslide.writing.reduction import mean_of_areas, mode_of_areas
from dicomslide.writing.results import Levels, write_results
from dicomslide.writing.segments import choose_type, describe_segments
from dicomslide.writing.sources import PATTERN, complete_source, further_sources, make_pattern

__all__ = ["write_segmentation"]


def write_segmentation(
    mask: Any,
    path: str | os.PathLike[str],
    *,
    slide: Slide,
    segments: Any,
    algorithm: Any = None,
    segmentation_type: SegmentationType | None = None,
    fractional_type: str = "PROBABILITY",
    level: int | None = None,
    levels: Levels = "given",
    sparse: bool = True,
    tile: tuple[int, int] | None = None,
    transfer_syntax: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> tuple[WrittenInstance, ...]:
    """Write a mask as a Segmentation.

    The mask is computed by dask, a part at a time, and its frames are kept in a temporary file
    until all are there: memory does not grow with the slide. The file gets its name when it is
    whole.

    Parameters
    ----------
    mask : xarray.DataArray, numpy.ndarray or dask.array.Array
        Array of shape (y, x): segment numbers, or where the only segment is, as booleans or as
        fractions from 0 to 1; or of shape (segment, y, x), booleans or fractions. Its coordinates,
        those of a level or of a part of it, also coarser or upright ones, tell where it lies
    path : path or str
        File whose name ends with ``.dcm``, or folder in which files are named by their SOP Instance
        UID; local, or a URL that fsspec knows
    slide : Slide
        Slide that the mask was made from
    segments : mapping, or sequence of highdicom.seg.SegmentDescription
        Category and type of each segment by its label, in the order of segment numbers 1, 2, …: two
        codes, each a `pydicom.sr.coding.Code` or (value, scheme, meaning). Or descriptions
    algorithm : tuple of str, or highdicom.AlgorithmIdentificationSequence, optional
        Name and version of the algorithm that found the segments of a mapping
    segmentation_type : {"BINARY", "FRACTIONAL", "LABELMAP"}, optional
        By default BINARY for booleans, LABELMAP for segment numbers, and FRACTIONAL for fractions,
        which are stored as multiples of 1 / 255
    fractional_type : {"PROBABILITY", "OCCUPANCY"}, optional
        What fractions mean
    level : int, optional
        Level whose pixels an array without coordinates has
    levels : {"given", "all"}, optional
        Whether only the level of the mask is written, or all smaller levels of the slide too, as a
        pyramid: the most frequent label, or the mean of fractions
    sparse : bool, optional
        Whether frames without segments are left out (TILED_SPARSE), or all are kept (TILED_FULL)
    tile : tuple of int, optional
        Rows and columns of a frame; by default those of the source
    transfer_syntax : str, optional
        Transfer Syntax UID, of those without loss; by default native for BINARY and otherwise RLE
    overwrite : bool, optional
        Whether existing files are replaced
    storage_options : mapping, optional
        Options of the file system of a URL
    **attributes
        What the object is and who made it, as keywords of `highdicom.seg.Segmentation`:
        ``series_description``, ``series_number``, ``content_label``, ``manufacturer``, …

    Returns
    -------
    tuple of WrittenInstance
        Path and UIDs of each instance, those of the largest level first

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When the mask has values that cannot be stored, or its place is not known
    OSError
        When a file exists already or cannot be written

    Examples
    --------
    >>> image = slide.to_datatree()["level_1/image"]  # doctest: +SKIP
    >>> dark = image.isel(channel=0, focal_plane=0).mean("sample") < 120  # doctest: +SKIP
    >>> nuclei = {"Nucleus": (codes.SCT.BodyPart, codes.SCT.Nucleus)}  # doctest: +SKIP
    >>> dicomslide.write_segmentation(
    ...     dark, "nuclei.dcm", slide=slide, segments=nuclei, algorithm=("threshold", "1")
    ... )  # doctest: +SKIP
    """
    placed = place_array(mask, slide, level, SEGMENTATION.dimension)
    described = describe_segments(segments, algorithm)
    form = _choose_form(placed, described, segmentation_type, transfer_syntax)
    check_transfer_syntax(form)
    content = Content(
        form,
        check_tile(tile),
        keep_empty=not sparse,
        is_full=not sparse,
        layers=tuple(_identify(number) for number in form.numbers)
        if form.count > 1
        else (Dataset(),),
        is_label_map=form.kind == "LABELMAP",
    )
    return write_results(
        placed,
        content,
        partial(_make_dataset, form, described, fractional_type),
        path,
        slide=slide,
        levels=levels,
        reduction=mean_of_areas if form.kind == "FRACTIONAL" else mode_of_areas,
        attributes=attributes,
        overwrite=overwrite,
        storage_options=storage_options,
    )


def _choose_form(
    placed: PlacedPixels,
    described: list[hd.seg.SegmentDescription],
    kind: SegmentationType | None,
    transfer_syntax: str | None,
) -> SegmentForm:
    """Choose how a mask is stored.

    Raises
    ------
    ArgumentValueError
        When the segments do not match the array
    """
    dtype = placed.pixels.dtype
    chosen = choose_type(kind, dtype)
    is_label = dtype.kind in "iu"
    numbers = tuple(int(item.segment_number) for item in described)
    layers = placed.pixels.shape[0] if placed.is_layered else 1
    if is_label and placed.is_layered:
        raise ArgumentValueError(
            "mask: segment numbers have no dimension of segments; booleans and fractions may"
        )
    if not is_label and layers != len(numbers):
        raise ArgumentValueError(f"segments: {len(numbers)} are described, the mask has {layers}")
    stated = placed.layers
    if stated is not None and stated.dtype.kind in "iu" and stated.tolist() != list(numbers):
        raise ArgumentValueError(
            f"segments: numbers are {list(numbers)}, those of the mask {stated.tolist()}"
        )
    syntax = transfer_syntax or (EXPLICIT_LITTLE_ENDIAN if chosen == "BINARY" else str(RLELossless))
    return SegmentForm(chosen, numbers, not is_label, is_label, syntax)


def _identify(number: int) -> Dataset:
    identification = Dataset()
    identification.ReferencedSegmentNumber = number
    group = Dataset()
    group.SegmentIdentificationSequence = [identification]
    return group


def _make_dataset(
    form: SegmentForm,
    described: list[hd.seg.SegmentDescription],
    fractional_type: str,
    placed: PlacedPixels,
    is_full: bool,
    keywords: Mapping[str, Any],
) -> Dataset:
    """Make the data set of one frame."""
    pixels = np.zeros((1, *PATTERN), np.uint8)
    if form.kind == "FRACTIONAL":
        pixels = np.zeros((1, *PATTERN, len(described)), np.float32)
    dataset: Dataset = hd.seg.Segmentation(
        source_images=[make_pattern(placed)],
        further_source_images=further_sources(placed),
        pixel_array=pixels,
        segmentation_type=form.kind,
        segment_descriptions=described,
        fractional_type=fractional_type,
        max_fractional_value=255,
        transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN,
        omit_empty_frames=False,
        tile_pixel_array=True,
        tile_size=PATTERN,
        dimension_organization_type="TILED_FULL" if is_full else "TILED_SPARSE",
        **keywords,
    )
    # Whether layers overlap is not known before they are computed
    if len(form.numbers) > 1 and form.kind != "LABELMAP" and not form.is_label:
        dataset.SegmentsOverlap = "UNDEFINED"
    dataset.PatientOrientation = None
    return complete_source(dataset, placed, codes.cid7203.SegmentationImageDerivation)
