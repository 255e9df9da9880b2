"""Writes synthetic Segmentation images (PS3.3 A.51) on the levels of a slide."""

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
from dicomslide.testing.painting.structures import (
    STRUCTURES,
    find_structure,
    weigh_structure,
)

__all__ = ["SegmentationOptions", "SyntheticSegmentation", "write_segmentation"]


@dataclass(frozen=True)
class SegmentationOptions:
    """A segmentation of a synthetic slide.

    Parameters
    ----------
    kind : str
        Segmentation Type: "BINARY", "FRACTIONAL" or "LABELMAP"
    segments : tuple of str
        Its segments, numbered from 1: "nucleus", "epithelium", "stroma" (these exclude each other)
        or "tissue" (all of the others)
    levels : tuple of int
        Indices of the levels that have an instance; those that the slide does not have are left
        out
    organization : str
        Dimension Organization Type: "TILED_FULL" or "TILED_SPARSE"
    omit_empty_frames : bool
        Whether frames without segments are left out (only for TILED_SPARSE)
    tile : tuple of int, optional
        Rows and columns of a frame; by default those of the slide
    transfer_syntax : str
        Transfer Syntax UID

    Raises
    ------
    ValueError
        When kind or a segment is not known, or segments of a label map overlap
    """

    kind: Literal["BINARY", "FRACTIONAL", "LABELMAP"] = "BINARY"
    segments: tuple[str, ...] = ("nucleus", "epithelium", "stroma")
    levels: tuple[int, ...] = (0, 1)
    organization: Literal["TILED_FULL", "TILED_SPARSE"] = "TILED_FULL"
    omit_empty_frames: bool = False
    tile: tuple[int, int] | None = None
    transfer_syntax: str = "1.2.840.10008.1.2.1"

    def __post_init__(self) -> None:
        if self.kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
            raise ValueError(f"kind is {self.kind!r}, must be 'BINARY', 'FRACTIONAL' or 'LABELMAP'")
        unknown = set(self.segments) - set(STRUCTURES)
        if unknown or not self.segments:
            raise ValueError(
                f"segments are {self.segments}, must be some of {', '.join(STRUCTURES)}"
            )
        if self.kind == "LABELMAP" and "tissue" in self.segments and len(self.segments) > 1:
            raise ValueError("segment 'tissue' overlaps the others, which a LABELMAP cannot store")


@dataclass(frozen=True)
class SyntheticSegmentation:
    """A segmentation and what it shows.

    Parameters
    ----------
    kind : str
        Segmentation Type
    segments : tuple of str
        Labels of its segments; the first one has number 1
    paths : tuple of pathlib.Path
        Its files, one for each of `levels`
    levels : tuple of int
        Indices of the levels that it is on
    series_instance_uid : str
        Series Instance UID
    """

    kind: str
    segments: tuple[str, ...]
    paths: tuple[Path, ...]
    levels: tuple[int, ...]
    series_instance_uid: str
    options: SegmentationOptions = field(repr=False)
    slide_options: SlideOptions = field(repr=False)

    def mask(self, level: int, segment: int) -> npt.NDArray[Any]:
        """Get the expected values of a segment.

        Parameters
        ----------
        level : int
            Index of the level
        segment : int
            Segment number, from 1

        Returns
        -------
        numpy.ndarray
            Array of shape (rows, columns): bool, or for a FRACTIONAL segmentation the probability
            as stored, from 0 to 255 (uint8), which is 255 times the real value
        """
        if level not in self.levels:
            raise IndexError(f"level {level} has no segmentation, but {self.levels}")
        if not 1 <= segment <= len(self.segments):
            raise IndexError(f"segment is {segment}, must be from 1 to {len(self.segments)}")
        densities = stain_level(self.slide_options, self.slide_options.factors[level])
        find = weigh_structure if self.kind == "FRACTIONAL" else find_structure
        return find(self.options.segments[segment - 1], *densities)


def write_segmentation(
    folder: Path,
    slide: SlideOptions,
    levels: Sequence[SyntheticLevel],
    index: int,
    segmentation: SegmentationOptions | str,
    series_number: int,
) -> SyntheticSegmentation:
    """Write one segmentation: an instance for each level that it is asked for on.

    Parameters
    ----------
    folder : pathlib.Path
        Folder to write into
    slide : SlideOptions
        The slide
    levels : sequence of SyntheticLevel
        The levels of the slide, already written
    index : int
        Number of the segmentation on the slide, from 0
    segmentation : SegmentationOptions or str
        What to write, or its kind
    series_number : int
        Series Number
    """
    if isinstance(segmentation, str):
        segmentation = SegmentationOptions(segmentation)  # type: ignore[arg-type]
    name = f"segmentation-{index}"
    chosen = tuple(i for i in segmentation.levels if i < len(levels))
    written = SyntheticSegmentation(
        kind=segmentation.kind,
        segments=tuple(STRUCTURES[segment].label for segment in segmentation.segments),
        paths=tuple(folder / f"{name}-level-{i}.dcm" for i in chosen),
        levels=chosen,
        series_instance_uid=slide.make_uid("series", name),
        options=segmentation,
        slide_options=slide,
    )
    for number, (i, path) in enumerate(zip(chosen, written.paths, strict=True), start=1):
        stored = np.stack([written.mask(i, s + 1) for s in range(len(written.segments))], axis=-1)
        # A label map is given as one array of segment numbers, a fraction as a number from 0 to 1
        if segmentation.kind == "FRACTIONAL":
            stored = stored / np.float64(255)
        source, *further = read_sources(levels[i])
        dataset = hd.seg.Segmentation(
            source_images=[source],
            further_source_images=further or None,
            pixel_array=stored[np.newaxis],
            segmentation_type=segmentation.kind,
            segment_descriptions=_describe_segments(slide, name, segmentation),
            series_instance_uid=written.series_instance_uid,
            series_number=series_number,
            sop_instance_uid=slide.make_uid("instance", path.name),
            instance_number=number,
            omit_empty_frames=segmentation.omit_empty_frames,
            tile_pixel_array=True,
            tile_size=segmentation.tile or slide.tile,
            dimension_organization_type=segmentation.organization,
            transfer_syntax_uid=segmentation.transfer_syntax,
            content_label="SEGMENTATION",
            content_description=f"Synthetic {segmentation.kind.lower()} segmentation",
            content_creator_name="Synthetic^Slide",
            pyramid_uid=slide.make_uid("pyramid", name),
            **PRODUCER,
        )
        finish(dataset, slide, name, i, path)
    return written


def _describe_segments(
    slide: SlideOptions, name: str, segmentation: SegmentationOptions
) -> list[hd.seg.SegmentDescription]:
    algorithm = hd.AlgorithmIdentificationSequence(
        name="synthetic", version="1", family=Code("123110", "DCM", "Artificial Intelligence")
    )
    descriptions = []
    for number, segment in enumerate(segmentation.segments, start=1):
        structure = STRUCTURES[segment]
        descriptions.append(
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=structure.label,
                segmented_property_category=Code(*structure.category),
                segmented_property_type=Code(*structure.kind),
                algorithm_type="AUTOMATIC",
                algorithm_identification=algorithm,
                tracking_uid=slide.make_uid("tracking", name, segment),
                tracking_id=f"{name} {segment}",
                display_color=hd.color.CIELabColor.from_rgb(*structure.color),
            )
        )
    return descriptions
