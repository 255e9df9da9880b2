"""Parametric maps of slides: `write_parametric_map` (PS3.3 A.75)."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import RLELossless

from dicomslide.arguments import number_pair, require_type
from dicomslide.enum import ChannelTypes
from dicomslide.errors import ArgumentValueError
from dicomslide.slide import Slide
from dicomslide.tree.schema import KINDS
from dicomslide.writing.forms import MapForm
from dicomslide.writing.identity import WrittenInstance
from dicomslide.writing.instance import Content, check_tile, check_transfer_syntax
from dicomslide.writing.part10 import NativeElement
from dicomslide.writing.pixel_format import EXPLICIT_LITTLE_ENDIAN
from dicomslide.writing.placing import PlacedPixels, place_array
from dicomslide.writing.reduction import mean_of_areas
from dicomslide.writing.results import Levels, write_results
from dicomslide.writing.segments import as_code
from dicomslide.writing.sources import PATTERN, complete_source, further_sources, make_pattern

__all__ = ["write_parametric_map"]

_ELEMENTS: dict[str, NativeElement] = {
    "float32": "FloatPixelData",
    "float64": "DoubleFloatPixelData",
    "uint8": "PixelData",
    "uint16": "PixelData",
}
# Longest LUT Label, a Short String
_LONGEST_LABEL = 16


def write_parametric_map(
    values: Any,
    path: str | os.PathLike[str],
    *,
    slide: Slide,
    parameters: Any,
    window: tuple[float, float] = (0.0, 1.0),
    level: int | None = None,
    levels: Levels = "given",
    sparse: bool = False,
    tile: tuple[int, int] | None = None,
    transfer_syntax: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    **attributes: Any,
) -> tuple[WrittenInstance, ...]:
    """Write values that were computed for pixels as a Parametric Map.

    Values are computed and stored as those of `write_segmentation`, which explains the arguments
    that both have.

    Parameters
    ----------
    values : xarray.DataArray, numpy.ndarray or dask.array.Array
        Array of shape (y, x), or (parameter, y, x), of float32 or float64 with NaN where nothing is
        known, or of uint8 or uint16
    path : path or str
        File whose name ends with ``.dcm``, or folder
    slide : Slide
        Slide that the values were computed from
    parameters : mapping, or sequence of highdicom.pm.RealWorldValueMapping
        Unit of each parameter by its label, of up to 16 characters, a code or (value, scheme,
        meaning). Or mappings, which may also say how integers are scaled
    window : tuple of float, optional
        Values that are shown as black and as white
    level : int, optional
        Level whose pixels an array without coordinates has
    levels : {"given", "all"}, optional
        Whether only the level of the values is written, or all smaller ones too, by means
    sparse : bool, optional
        Whether frames that hold nothing but NaN are left out
    tile : tuple of int, optional
        Rows and columns of a frame
    transfer_syntax : str, optional
        Transfer Syntax UID; by default native for floats, which have no compression, and otherwise
        RLE
    overwrite : bool, optional
        Whether existing files are replaced
    storage_options : mapping, optional
        Options of the file system of a URL
    **attributes
        What the object is and who made it, as keywords of `highdicom.pm.ParametricMap`

    Returns
    -------
    tuple of WrittenInstance
        Path and UIDs of each instance, those of the largest level first

    Raises
    ------
    TypeError
        When an argument has the wrong type
    ValueError
        When values cannot be stored, or their place is not known
    OSError
        When a file exists already or cannot be written

    Examples
    --------
    >>> density = cells.rolling(y=64, x=64, center=True).mean()  # doctest: +SKIP
    >>> dicomslide.write_parametric_map(
    ...     density, "density.dcm", slide=slide, parameters={"Density": codes.UCUM.NoUnits}
    ... )  # doctest: +SKIP
    """
    placed = place_array(values, slide, level, KINDS[ChannelTypes.PARAMETER].dimension)
    dtype = str(placed.pixels.dtype)
    if dtype not in _ELEMENTS:
        raise ArgumentValueError(f"values: {dtype} is none of {', '.join(_ELEMENTS)}")
    is_float = dtype.startswith("f")
    if sparse and not is_float:
        raise ArgumentValueError("sparse: integers have no value for pixels without one")
    mappings = _mappings(parameters, dtype)
    count = placed.pixels.shape[0] if placed.is_layered else 1
    if len(mappings) != count:
        raise ArgumentValueError(f"parameters: {len(mappings)} are described, there are {count}")
    low, high = number_pair("window", window)
    if not low < high:
        raise ArgumentValueError(f"window: {low} is not below {high}")
    syntax = transfer_syntax or (EXPLICIT_LITTLE_ENDIAN if is_float else str(RLELossless))
    form = MapForm(dtype, count, syntax, placed.is_layered)
    check_transfer_syntax(form)
    content = Content(
        form,
        check_tile(tile),
        keep_empty=not sparse,
        # TILED_FULL has no order of parameters (PS3.3 C.7.6.17.3)
        is_full=not sparse and count == 1,
        layers=tuple(_identify(mapping) for mapping in mappings) if count > 1 else (Dataset(),),
        element=_ELEMENTS[dtype],
    )
    return write_results(
        placed,
        content,
        partial(_make_dataset, np.dtype(dtype), mappings, (low, high)),
        path,
        slide=slide,
        levels=levels,
        reduction=mean_of_areas,
        attributes=attributes,
        overwrite=overwrite,
        storage_options=storage_options,
    )


def _mappings(parameters: Any, dtype: str) -> list[hd.pm.RealWorldValueMapping]:
    """Make the mappings of stored values to those of the real world (PS3.3 C.7.6.16.2.11)."""
    if not isinstance(parameters, Mapping):
        require_type("parameters", parameters, Sequence, Mapping)
        for item in parameters:
            require_type("parameters", item, hd.pm.RealWorldValueMapping)
        return list(parameters)
    return [_mapping(label, unit, np.dtype(dtype)) for label, unit in parameters.items()]


def _mapping(label: Any, unit: Any, dtype: np.dtype) -> hd.pm.RealWorldValueMapping:
    require_type("parameters", label, str)
    if not 0 < len(label) <= _LONGEST_LABEL:
        raise ArgumentValueError(
            f"parameters: {label!r} has {len(label)} characters, expected up to {_LONGEST_LABEL}"
        )
    info = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    convert = float if dtype.kind == "f" else int
    return hd.pm.RealWorldValueMapping(
        lut_label=label,
        lut_explanation=label,
        unit=as_code("parameters", unit),
        value_range=(convert(info.min), convert(info.max)),
        slope=1,
        intercept=0,
    )


def _identify(mapping: hd.pm.RealWorldValueMapping) -> Dataset:
    group = Dataset()
    group.RealWorldValueMappingSequence = [mapping]
    return group


def _make_dataset(
    dtype: np.dtype,
    mappings: list[hd.pm.RealWorldValueMapping],
    window: tuple[float, float],
    placed: PlacedPixels,
    is_full: bool,
    keywords: Mapping[str, Any],
) -> Dataset:
    """Make the data set of one frame."""
    low, high = window
    dataset: Dataset = hd.pm.ParametricMap(
        source_images=[make_pattern(placed)],
        further_source_images=further_sources(placed),
        pixel_array=np.zeros((1, *PATTERN, len(mappings)), dtype),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[[mapping] for mapping in mappings],
        voi_lut_transformations=[
            hd.VOILUTTransformation(window_center=(low + high) / 2, window_width=high - low)
        ],
        transfer_syntax_uid=EXPLICIT_LITTLE_ENDIAN,
        tile_pixel_array=True,
        tile_size=PATTERN,
        dimension_organization_type="TILED_FULL" if is_full else "TILED_SPARSE",
        **keywords,
    )
    return complete_source(dataset, placed, codes.DCM.UnspecifiedMethodOfCalculation)
