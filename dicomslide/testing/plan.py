"""Plans the instances of a synthetic slide: levels, label, overview and thumbnail."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from dicomslide.testing import associated
from dicomslide.testing.geometry import locate_pixel
from dicomslide.testing.instance import Flavor, Instance, Part
from dicomslide.testing.layout import Frame, lay_out_frames
from dicomslide.testing.level import SyntheticLevel, paint_level
from dicomslide.testing.options import SlideOptions

__all__ = ["draw_associated_images", "plan_level"]

_THUMBNAIL_SIDE = 512


def plan_level(options: SlideOptions, index: int, folder: Path) -> SyntheticLevel:
    """Plan the instances of a level."""
    factor = options.factors[index]
    shift = (factor - 1) / 2 if options.level_origins == "centres" else 0.0
    level = SyntheticLevel(
        index=index,
        factor=factor,
        size=options.get_level_size(factor),
        spacing=_scale(options.spacing, factor),
        origin=locate_pixel(
            shift, shift, options.base_origin, options.orientation, options.spacing
        ),
        instances=(),
        folder=folder,
        options=options,
    )
    parts = options.concatenation if index == 0 else None
    instances = [part for group in _plan_groups(level) for part in _split(group, parts)]
    return replace(level, instances=tuple(instances))


def _scale(spacing: tuple[float, float], factor: float) -> tuple[float, float]:
    """Multiply, without more digits than a Decimal String holds."""
    return (float(f"{spacing[0] * factor:.10g}"), float(f"{spacing[1] * factor:.10g}"))


def _plan_groups(level: SyntheticLevel) -> Iterator[Instance]:
    """Plan one instance, or one for each optical path or focal plane."""
    options = level.options
    all_paths, all_planes = (
        tuple(range(len(options.optical_path_items))),
        tuple(range(options.focal_planes)),
    )
    path_groups = [all_paths] if options.optical_paths_in == "one" else [(i,) for i in all_paths]
    plane_groups = [all_planes] if options.focal_planes_in == "one" else [(i,) for i in all_planes]
    for paths in path_groups:
        for planes in plane_groups:
            name = f"level-{level.index}"
            name += f"-path-{paths[0]}" if len(path_groups) > 1 else ""
            name += f"-plane-{planes[0]}" if len(plane_groups) > 1 else ""
            seed = (options.seed, level.index, paths[0], planes[0])
            yield Instance(
                name=name,
                flavor="VOLUME",
                size=level.size,
                tile=options.tile,
                spacing=level.spacing,
                origin=level.origin,
                orientation=options.orientation,
                pixel_format=options.pixel_format,
                frames=lay_out_frames(
                    level.size, options.tile, paths, planes, options.sparse, seed
                ),
                optical_paths=paths,
                focal_planes=planes,
                resampled=level.factor != 1,
            )


def _split(instance: Instance, parts: int | None) -> Iterator[Instance]:
    """Split the frames of an instance evenly over the parts of a concatenation."""
    if parts is None:
        yield instance
        return
    count = len(instance.frames)
    if parts > count:
        raise ValueError(f"concatenation is {parts}, but {instance.name} has {count} frames")
    bounds = [count * i // parts for i in range(parts + 1)]
    for i in range(parts):
        frames = instance.frames[bounds[i] : bounds[i + 1]]
        yield replace(instance, frames=frames, part=Part(i + 1, parts, bounds[i]))


def draw_associated_images(options: SlideOptions) -> list[tuple[Instance, npt.NDArray[Any]]]:
    """Draw the LABEL, OVERVIEW and THUMBNAIL images that are asked for."""
    images = []
    if options.label:
        pixels = associated.draw_label(options)
        images.append(
            (
                _plan_drawing(
                    options, "LABEL", pixels, associated.LABEL_SPACING, associated.LABEL_ORIGIN
                ),
                pixels,
            )
        )
    if options.overview:
        pixels = associated.draw_overview(options)
        spacing, origin = associated.OVERVIEW_SPACING, associated.OVERVIEW_ORIGIN
        images.append((_plan_drawing(options, "OVERVIEW", pixels, spacing, origin), pixels))
    if options.thumbnail:
        images.append(_draw_thumbnail(options))
    return images


def _plan_drawing(
    options: SlideOptions,
    flavor: Flavor,
    pixels: npt.NDArray[Any],
    spacing: float,
    origin: tuple[float, float],
) -> Instance:
    return Instance(
        name=flavor.lower(),
        flavor=flavor,
        size=pixels.shape[:2],
        tile=pixels.shape[:2],
        spacing=(spacing, spacing),
        origin=origin,
        orientation=associated.ORIENTATION,
        pixel_format=options.color_format,
        frames=(Frame(0, 0),),
    )


def _draw_thumbnail(options: SlideOptions) -> tuple[Instance, npt.NDArray[Any]]:
    factor = max(1.0, max(options.size) / _THUMBNAIL_SIDE)
    size = options.get_level_size(factor)
    shift = (factor - 1) / 2
    instance = Instance(
        name="thumbnail",
        flavor="THUMBNAIL",
        size=size,
        tile=size,
        spacing=_scale(options.spacing, factor),
        origin=locate_pixel(
            shift, shift, options.base_origin, options.orientation, options.spacing
        ),
        orientation=options.orientation,
        pixel_format=options.pixel_format,
        frames=(Frame(0, 0),),
        resampled=True,
    )
    return instance, paint_level(options, factor, (0, 0), size)
