"""Writes synthetic Parametric Map images (PS3.3 A.75) on the levels of a slide."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import highdicom as hd
import numpy as np
import numpy.typing as npt
from pydicom.sr.coding import Code

from dicomslide.testing.derived import PRODUCER, finish, read_sources, stain_level
from dicomslide.testing.level import SyntheticLevel
from dicomslide.testing.options import SlideOptions

__all__ = ["ParametricMapOptions", "SyntheticParametricMap", "write_parametric_map"]

_DTYPES = {"float": np.float32, "double": np.float64, "integer": np.uint16}
# Optical density at full stain density
_MAXIMUM = 1.5


@dataclass(frozen=True)
class Parameter:
    """A parameter: LUT label and explanation, and how stored integers map to real values."""

    label: str
    explanation: str
    slope: float
    intercept: float


PARAMETERS: dict[str, Parameter] = {
    "haematoxylin": Parameter("HAEMATOXYLIN", "Optical density of haematoxylin", 2.0**-15, 0.0),
    "eosin": Parameter("EOSIN", "Optical density of eosin", 2.0**-14, -0.5),
}


@dataclass(frozen=True)
class ParametricMapOptions:
    """A parametric map of a synthetic slide.

    Parameters
    ----------
    kind : str
        "float" (Float Pixel Data), "double" (Double Float Pixel Data) or "integer" (16 bits with a
        real-world value mapping that scales)
    parameters : tuple of str
        Its parameters, each a channel with a real-world value mapping: "haematoxylin", "eosin"
    levels : tuple of int
        Indices of the levels that have an instance; those that the slide does not have are left
        out
    organization : str
        Dimension Organization Type: "TILED_FULL" or "TILED_SPARSE"
    tile : tuple of int, optional
        Rows and columns of a frame; by default those of the slide
    transfer_syntax : str
        Transfer Syntax UID

    Raises
    ------
    ValueError
        When kind or a parameter is not known, or several parameters are to be TILED_FULL, which has
        no order for them
    """

    kind: Literal["float", "double", "integer"] = "float"
    parameters: tuple[str, ...] = ("haematoxylin", "eosin")
    levels: tuple[int, ...] = (0, 1)
    organization: Literal["TILED_FULL", "TILED_SPARSE"] = "TILED_SPARSE"
    tile: tuple[int, int] | None = None
    transfer_syntax: str = "1.2.840.10008.1.2.1"

    def __post_init__(self) -> None:
        if self.kind not in _DTYPES:
            raise ValueError(f"kind is {self.kind!r}, must be one of {', '.join(_DTYPES)}")
        if not self.parameters or set(self.parameters) - set(PARAMETERS):
            raise ValueError(
                f"parameters are {self.parameters}, must be some of {', '.join(PARAMETERS)}"
            )
        if self.organization == "TILED_FULL" and len(self.parameters) > 1:
            raise ValueError("organization TILED_FULL needs one parameter")


@dataclass(frozen=True)
class SyntheticParametricMap:
    """A parametric map and what it shows.

    Parameters
    ----------
    kind : str
        "float", "double" or "integer"
    parameters : tuple of str
        LUT labels of its parameters
    paths : tuple of pathlib.Path
        Its files, one for each of `levels`
    levels : tuple of int
        Indices of the levels that it is on
    series_instance_uid : str
        Series Instance UID
    """

    kind: str
    parameters: tuple[str, ...]
    paths: tuple[Path, ...]
    levels: tuple[int, ...]
    series_instance_uid: str
    options: ParametricMapOptions = field(repr=False)
    slide_options: SlideOptions = field(repr=False)

    def stored(self, level: int, parameter: int) -> npt.NDArray[Any]:
        """Get the expected stored values of a parameter; arguments are those of `values`.

        Returns
        -------
        numpy.ndarray
            Array of shape (rows, columns) of float32, float64 or uint16
        """
        if level not in self.levels:
            raise IndexError(f"level {level} has no parametric map, but {self.levels}")
        haematoxylin, eosin = stain_level(self.slide_options, self.slide_options.factors[level])
        density = haematoxylin if self.options.parameters[parameter] == "haematoxylin" else eosin
        if self.kind == "integer":
            return density.astype(np.uint16) * np.uint16(257)
        return (density * (_MAXIMUM / 255)).astype(_DTYPES[self.kind])

    def values(self, level: int, parameter: int) -> npt.NDArray[np.float64]:
        """Get the expected real-world values of a parameter.

        Parameters
        ----------
        level : int
            Index of the level
        parameter : int
            Zero-based index of the parameter

        Returns
        -------
        numpy.ndarray
            Array of shape (rows, columns): optical densities
        """
        slope, intercept = self.mapping(parameter)
        return self.stored(level, parameter).astype(np.float64) * slope + intercept

    def mapping(self, parameter: int) -> tuple[float, float]:
        """Get Real World Value Slope and Intercept of a parameter."""
        if self.kind != "integer":
            return (1.0, 0.0)
        chosen = PARAMETERS[self.options.parameters[parameter]]
        return (chosen.slope, chosen.intercept)


def write_parametric_map(
    folder: Path,
    slide: SlideOptions,
    levels: Sequence[SyntheticLevel],
    index: int,
    parametric_map: ParametricMapOptions | str,
    series_number: int,
) -> SyntheticParametricMap:
    """Write one parametric map: an instance for each level that it is asked for on.

    Parameters
    ----------
    folder : pathlib.Path
        Folder to write into
    slide : SlideOptions
        The slide
    levels : sequence of SyntheticLevel
        The levels of the slide, already written
    index : int
        Number of the parametric map on the slide, from 0
    parametric_map : ParametricMapOptions or str
        What to write, or its kind
    series_number : int
        Series Number
    """
    if isinstance(parametric_map, str):
        parametric_map = ParametricMapOptions(parametric_map)  # type: ignore[arg-type]
    name = f"parametric-map-{index}"
    chosen = tuple(i for i in parametric_map.levels if i < len(levels))
    written = SyntheticParametricMap(
        kind=parametric_map.kind,
        parameters=tuple(PARAMETERS[parameter].label for parameter in parametric_map.parameters),
        paths=tuple(folder / f"{name}-level-{i}.dcm" for i in chosen),
        levels=chosen,
        series_instance_uid=slide.make_uid("series", name),
        options=parametric_map,
        slide_options=slide,
    )
    for number, (i, path) in enumerate(zip(chosen, written.paths, strict=True), start=1):
        stored = np.stack([written.stored(i, p) for p in range(len(written.parameters))], axis=-1)
        source, *further = read_sources(levels[i])
        dataset = hd.pm.ParametricMap(
            source_images=[source],
            further_source_images=further or None,
            pixel_array=stored[np.newaxis],
            series_instance_uid=written.series_instance_uid,
            series_number=series_number,
            sop_instance_uid=slide.make_uid("instance", path.name),
            instance_number=number,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[
                [_map_values(written, p)] for p in range(len(written.parameters))
            ],
            voi_lut_transformations=[hd.VOILUTTransformation(window_center=0.5, window_width=1.0)],
            tile_pixel_array=True,
            tile_size=parametric_map.tile or slide.tile,
            dimension_organization_type=parametric_map.organization,
            transfer_syntax_uid=parametric_map.transfer_syntax,
            content_label="PARAMETRIC_MAP",
            content_description="Synthetic stain densities",
            content_creator_name="Synthetic^Slide",
            pyramid_uid=slide.make_uid("pyramid", name),
            **PRODUCER,
        )
        finish(dataset, slide, name, i, path)
    return written


def _map_values(written: SyntheticParametricMap, parameter: int) -> hd.pm.RealWorldValueMapping:
    slope, intercept = written.mapping(parameter)
    chosen = PARAMETERS[written.options.parameters[parameter]]
    value_range = (0, 65535) if written.kind == "integer" else (0.0, _MAXIMUM)
    return hd.pm.RealWorldValueMapping(
        lut_label=chosen.label,
        lut_explanation=chosen.explanation,
        unit=Code("1", "UCUM", "no units"),
        value_range=value_range,
        slope=slope,
        intercept=intercept,
    )
