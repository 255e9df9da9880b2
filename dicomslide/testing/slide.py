"""Writes a synthetic slide and tells what it shows."""

import os
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy.typing as npt

from dicomslide.testing.geometry import Orientation
from dicomslide.testing.layout import Frame
from dicomslide.testing.level import SyntheticLevel, paint_frame
from dicomslide.testing.options import OpticalPath, SlideOptions
from dicomslide.testing.parametric_map import SyntheticParametricMap, write_parametric_map
from dicomslide.testing.plan import draw_associated_images, plan_level
from dicomslide.testing.segmentation import SyntheticSegmentation, write_segmentation
from dicomslide.testing.writer import write_instance

__all__ = ["SyntheticSlide", "write_slide"]


@dataclass(frozen=True)
class SyntheticSlide:
    """A synthetic slide on disk and what it shows.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of its files
    options : SlideOptions
        What was asked for
    levels : tuple of SyntheticLevel
        Its levels, the base level first
    segmentations : tuple of SyntheticSegmentation
        Its segmentations
    parametric_maps : tuple of SyntheticParametricMap
        Its parametric maps
    label, overview, thumbnail : numpy.ndarray, optional
        Pixels of the associated images before encoding, of shape (rows, columns, samples); None
        where there is none
    paths : tuple of pathlib.Path
        All files
    """

    folder: Path
    options: SlideOptions = field(repr=False)
    levels: tuple[SyntheticLevel, ...]
    segmentations: tuple[SyntheticSegmentation, ...]
    parametric_maps: tuple[SyntheticParametricMap, ...]
    label: npt.NDArray[Any] | None = field(repr=False)
    overview: npt.NDArray[Any] | None = field(repr=False)
    thumbnail: npt.NDArray[Any] | None = field(repr=False)
    paths: tuple[Path, ...] = field(repr=False)

    @property
    def orientation(self) -> Orientation:
        """Image Orientation (Slide) of the levels."""
        return self.options.orientation

    @property
    def origin(self) -> tuple[float, float]:
        """X and Y in mm of the centre of the top-left pixel of the base level."""
        return self.options.base_origin

    @property
    def optical_paths(self) -> tuple[OpticalPath, ...]:
        """The optical paths."""
        return self.options.optical_path_items

    @property
    def container_identifier(self) -> str:
        """Container Identifier."""
        return self.options.container

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID."""
        return self.options.study

    @property
    def series_instance_uid(self) -> str:
        """Series Instance UID of the microscopy images."""
        return self.options.series

    @property
    def frame_of_reference_uid(self) -> str:
        """Frame of Reference UID of all images."""
        return self.options.frame_of_reference


def write_slide(
    folder: str | os.PathLike[str], options: SlideOptions | None = None, /, **changes: Any
) -> SyntheticSlide:
    """Write a synthetic slide: one or more levels, associated images and images derived from them.

    The same arguments give the same bytes.

    Parameters
    ----------
    folder : str or os.PathLike
        Folder to write into; it is made if it does not exist
    options : SlideOptions, optional
        What to write
    **changes
        Attributes of `SlideOptions`, which replace those of `options`

    Returns
    -------
    SyntheticSlide
        The files and what they show

    Raises
    ------
    TypeError
        When there is no option of a name
    ValueError
        When the options cannot be met
    """
    options = replace(options or SlideOptions(), **changes)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    levels = tuple(plan_level(options, index, folder) for index in range(len(options.factors)))
    associated = draw_associated_images(options)
    numbers = count(1)
    paths = []
    for level in levels:
        sources = levels[0].instances if level.index else ()
        for instance in level.instances:
            render = partial(paint_frame, options, level.factor, level.size, options.tile)
            write_instance(folder, options, instance, next(numbers), render, sources)
            paths.append(folder / instance.file_name)
    for instance, pixels in associated:
        sources = levels[0].instances if instance.resampled else ()
        write_instance(
            folder, options, instance, next(numbers), partial(_get_whole, pixels), sources
        )
        paths.append(folder / instance.file_name)
    segmentations = tuple(
        write_segmentation(folder, options, levels, index, item, series_number=2 + index)
        for index, item in enumerate(options.segmentations)
    )
    parametric_maps = tuple(
        write_parametric_map(folder, options, levels, index, item, 2 + len(segmentations) + index)
        for index, item in enumerate(options.parametric_maps)
    )
    paths += [path for segmentation in segmentations for path in segmentation.paths]
    paths += [path for parametric_map in parametric_maps for path in parametric_map.paths]
    drawn = {instance.flavor: pixels for instance, pixels in associated}
    return SyntheticSlide(
        folder=folder,
        options=options,
        levels=levels,
        segmentations=segmentations,
        parametric_maps=parametric_maps,
        label=drawn.get("LABEL"),
        overview=drawn.get("OVERVIEW"),
        thumbnail=drawn.get("THUMBNAIL"),
        paths=tuple(paths),
    )


def _get_whole(pixels: npt.NDArray[Any], frame: Frame) -> npt.NDArray[Any]:
    return pixels
