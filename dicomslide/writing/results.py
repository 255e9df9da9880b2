"""Results at one level, or as a pyramid: files that get their names when all are whole."""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import dask
import dask.array as da
from pydicom.dataset import Dataset

from dicomslide.errors import ArgumentValueError
from dicomslide.image import TiledImage
from dicomslide.instance import ImageInstance
from dicomslide.pyramid import LevelGrid
from dicomslide.slide import Slide
from dicomslide.sources.files import open_image_file
from dicomslide.writing.identity import Identity, WrittenInstance
from dicomslide.writing.instance import Content, MakeDataset, write_instance
from dicomslide.writing.outputs import open_output
from dicomslide.writing.placing import PlacedPixels, place_on_level
from dicomslide.writing.reduction import Reduction, reduce_level

__all__ = ["Levels", "write_results"]

Levels = Literal["given", "all"]


def write_results(
    placed: PlacedPixels,
    content: Content,
    make_dataset: MakeDataset,
    path: str | os.PathLike[str],
    *,
    slide: Slide,
    levels: Levels,
    reduction: Reduction,
    attributes: Mapping[str, Any],
    overwrite: bool,
    storage_options: Mapping[str, Any] | None,
) -> tuple[WrittenInstance, ...]:
    """Write pixels at their level, or at that and all smaller levels.

    Each smaller level is computed from the one before as it was written, so that the pixels are
    computed once; and in this process, which has the file.
    """
    chosen = _levels(placed, slide, levels)
    identity = Identity.of(slide, attributes, many=len(chosen) > 1)
    written: list[Dataset] = []
    files: list[Path] = []
    with open_output(path, storage_options, overwrite=overwrite, many=len(chosen) > 1) as output:
        for index, level in enumerate(chosen):
            keywords = identity.numbered(index)
            if index:
                pixels = _reduced(files[-1], placed, content, reduction, _grid(slide, level))
                placed = place_on_level(pixels, placed, level, slide)
                content = content.read_back()
            files.append(output.add(f"{keywords['sop_instance_uid']}.dcm"))
            with dask.config.set(scheduler="threads") if index else nullcontext():
                dataset = write_instance(files[-1], placed, content, make_dataset, keywords)
                written.append(dataset)
        paths = output.finish()
    return tuple(
        WrittenInstance(
            name,
            str(dataset.SOPClassUID),
            str(dataset.SOPInstanceUID),
            str(dataset.SeriesInstanceUID),
            level,
        )
        for name, dataset, level in zip(paths, written, chosen, strict=True)
    )


def _levels(placed: PlacedPixels, slide: Slide, levels: str) -> list[Any]:
    """Choose the levels that get an instance, the one that the pixels lie on first."""
    if levels not in ("given", "all"):
        raise ArgumentValueError(f"levels: expected 'given' or 'all', got {levels!r}")
    level = placed.place.level
    if levels == "given":
        return [level]
    if level is None:
        raise ArgumentValueError(
            "levels: the pixels lie on those of no level, so that there are no smaller levels"
        )
    return list(range(level, slide.num_levels))


def _grid(slide: Slide, level: int) -> LevelGrid:
    return slide._arrangement.levels[level]


def _reduced(
    file: Path, placed: PlacedPixels, content: Content, reduction: Reduction, there: LevelGrid
) -> da.Array:
    """Compute a smaller level of the pixels in a file, with background around these."""
    dataset, source = open_image_file(file)
    image = TiledImage._of(ImageInstance(source, dataset, None), correct_color=False)
    if content.is_label_map:
        matrices = [image.get_label_map()]
    else:
        matrices = [image.get_total_pixel_matrix(index) for index in range(image.num_channels)]
    place = placed.place
    layers = [
        da.moveaxis(matrix.array.placed(place.offset, place.grid.size).to_dask("auto"), -1, 0)
        for matrix in matrices
    ]
    return reduce_level(da.concatenate(layers), reduction, place.grid, there)
