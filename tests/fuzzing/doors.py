"""The ways into the package that every damaged slide is sent through.

A door opens a slide at a place and uses what it gives. Sizes that a slide may well state are no
damage, so that what is made of all its pixels is made of small ones only.
"""

import shutil
from collections.abc import Callable
from contextlib import closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pydicom
import requests
import xarray as xr
from dicomweb_client.api import DICOMwebClient

from dicomslide import OpenSlide, Slide, TiledImage, find_slides, open_slides, to_ome_zarr
from dicomslide.cli import main

__all__ = ["DOORS", "Place"]

# Larger slides are not exported
MOST_PIXELS = 1 << 14


@dataclass(frozen=True)
class Place:
    """Where a slide is.

    Parameters
    ----------
    source : path, str or list of str
        What it is opened from
    service : str
        URL of a DICOMweb service of the slide
    files : list of pathlib.Path
        Its files; none where it is at the service only
    folder : pathlib.Path
        Where results may be written
    """

    source: Any
    service: str
    files: list[Path]
    folder: Path

    @property
    def name(self) -> str:
        """The place as the command takes it."""
        return str(self.source if not isinstance(self.source, list) else self.source[0])


def through_open_slides(place: Place) -> None:
    for slide in open_slides(place.source, errors="skip"):
        with slide:
            _look_at(slide)


def through_find_slides(place: Place) -> None:
    if place.files:
        return
    for slide in find_slides(DICOMwebClient(place.service), fail_on_error=False):
        with slide:
            _look_at(slide)


def through_engine(place: Place) -> None:
    with xr.open_datatree(place.source, engine="dicomslide") as tree:
        for node in tree.subtree:
            for name, variable in node.to_dataset().data_vars.items():
                if variable.dtype != object:
                    corner = dict.fromkeys(variable.dims, slice(0, 24))
                    assert node[name].isel(corner).load().size >= 0


def through_openslide(place: Place) -> None:
    with OpenSlide(place.source) as slide:
        dict(slide.properties)
        assert slide.level_count == len(slide.level_dimensions) == len(slide.level_downsamples)
        for level in range(min(slide.level_count, 3)):
            slide.read_region((0, 0), level, (30, 20))
        dict(slide.associated_images)
        if slide.dimensions[0] * slide.dimensions[1] < MOST_PIXELS:
            slide.get_thumbnail((10, 10))
        assert slide.color_profile is None or slide.color_profile.tobytes()


def through_info(place: Place) -> None:
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert main(["info", place.name]) in (0, 2)


def through_thumbnail(place: Place) -> None:
    picture = str(place.folder / "thumbnail.png")
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert main(["thumbnail", place.name, picture, "--size", "16"]) in (0, 2)


def through_image(place: Place) -> None:
    """Metadata of the files, read by pydicom or by a client, and frames of the service."""
    client = DICOMwebClient(place.service)
    for dataset in _metadata(place):
        image = TiledImage(client, dataset)
        geometry = [image.size, image.physical_offset, image.physical_size, image.get_rotation()]
        assert len(geometry) == len([image.get_slide_offset((0, 0)), *geometry[:3]])
        image.get_references()
        assert repr(image)
        for channel in range(min(image.num_channels, 3)):
            image.get_channel_index(image.get_channel_identifier(channel))
            for plane in range(min(image.num_focal_planes, 3)):
                image.get_focal_plane_index(image.get_focal_plane_offset(plane))
                matrix = image.get_total_pixel_matrix(channel, plane)
                assert matrix[:20, :30].shape[2] == matrix.shape[2]
                assert matrix.to_dask("auto")[:3, :3].compute().shape[2] == matrix.shape[2]
                if len(matrix):
                    matrix.get_tile_bounding_box(0)


def _metadata(place: Place) -> list[pydicom.Dataset]:
    # What others cannot read is not for the package to judge
    try:
        if place.files:
            files = [pydicom.dcmread(path, stop_before_pixels=True) for path in place.files]
            return [file for file in files if len(file)]
        answer = requests.get(f"{place.service}/metadata", timeout=60)
        return [pydicom.Dataset.from_json(instance) for instance in answer.json()]
    except Exception:
        return []


def through_export(place: Place) -> None:
    for slide in open_slides(place.source, errors="skip"):
        with closing(slide):
            images = [*slide.label_images, *slide.overview_images, *slide.derived_images]
            sizes = [*slide.total_pixel_matrix_dimensions, *(image.size for image in images)]
            planes = slide.num_channels * slide.num_focal_planes
            if max(rows * columns * planes for rows, columns in sizes) > MOST_PIXELS:
                continue
            target = place.folder / "export.ome.zarr"
            try:
                to_ome_zarr(slide, target, compressor="none")
            finally:
                shutil.rmtree(target, ignore_errors=True)


def _look_at(slide: Slide) -> None:
    """Ask for what a slide says of itself, and for some of its pixels."""
    assert repr(slide)
    for channel in range(min(slide.num_channels, 3)):
        kind = slide.get_channel_type(channel)
        slide.get_channel_index(slide.get_channel_identifier(channel), kind)
    slide.get_focal_plane_index(slide.get_focal_plane_offset(0))
    left, top = slide.physical_offset
    width, height = slide.physical_size
    level = slide.num_levels - 1
    spacing = slide.pixel_spacings[level][0]
    slide.get_slide_region((left, top), level, (min(width, 9 * spacing), min(height, 9 * spacing)))
    slide.get_pixel_indices(slide.get_slide_offset((0, 0), level), level)
    assert slide.get_total_pixel_matrix(level)[:5, :5].size


DOORS: dict[str, Callable[[Place], None]] = {
    "open_slides": through_open_slides,
    "find_slides": through_find_slides,
    "engine": through_engine,
    "openslide": through_openslide,
    "info": through_info,
    "thumbnail": through_thumbnail,
    "image": through_image,
    "export": through_export,
}
