"""What slides consist of: tables for people, and a document for programs."""

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from dicomslide.cli.facts import (
    AnnotationFacts,
    ChannelFacts,
    Code,
    ImageFacts,
    LevelFacts,
    SlideFacts,
)
from dicomslide.cli.table import Column, cut, lines_of_table
from dicomslide.cli.terminal import printable
from dicomslide.enum import ChannelTypes
from dicomslide.metadata.kinds import KINDS

__all__ = ["describe_slide", "list_slides", "print_annotations", "print_slides"]

# Number of focal planes of which each offset is shown
_MOST_OFFSETS = 5
_WIDTH_WITHOUT_TERMINAL = 80


def print_slides(slides: Sequence[SlideFacts], errors: Sequence[str], *, as_json: bool) -> None:
    """Print one slide with all that is known of it, or a line for each of several.

    Parameters
    ----------
    slides : sequence of SlideFacts
        Slides
    errors : sequence of str
        What is wrong with others, which the document has
    as_json : bool
        Whether a JSON document is printed, which has all facts of all slides
    """
    if as_json:
        document = {"slides": [asdict(facts) for facts in slides], "errors": list(errors)}
        print(json.dumps(document, indent=2))
        return
    width = _width()
    if len(slides) > 1:
        lines = list_slides(slides, width)
    else:
        lines = (line for facts in slides for line in describe_slide(facts, width))
    for line in lines:
        print(line)


def print_annotations(groups: Sequence[AnnotationFacts]) -> None:
    """Print a line for each group of annotations."""
    for line in lines_of_table(_annotations(groups), _width()) if groups else ["no annotations"]:
        print(line)


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL


def describe_slide(facts: SlideFacts, width: int) -> Iterator[str]:
    """Yield lines that tell all of one slide, as far as the width allows."""
    yield cut(
        f"Slide {printable(facts.container_identifier) or '(no container identifier)'}", width
    )
    for name, value in _properties(facts).items():
        if value:
            yield cut(f"  {name:14}{printable(value)}", width)
    tables = {"Levels": _levels(facts.levels)}
    for kind in KINDS.values():
        shown = [channel for channel in facts.channels if channel.type == kind.type.value]
        tables[kind.heading] = _channels(shown)
    tables["Associated images"] = _images(facts.associated_images)
    tables["Derived images"] = _images(facts.derived_images)
    tables["Annotations"] = _annotations(facts.annotations)
    for heading, columns in tables.items():
        if columns[0].cells:
            yield ""
            yield heading
            yield from lines_of_table(columns, width)
    yield ""
    yield "UIDs"
    for name, uid in _uids(facts):
        yield f"{name:15}{printable(uid)}"


def list_slides(slides: Sequence[SlideFacts], width: int) -> Iterator[str]:
    """Yield a table with one line for each slide."""
    containers = [facts.container_identifier for facts in slides]
    images = [facts.levels[0].images[0].name for facts in slides]
    # Containers are no names where several slides are in one, or in none
    are_names = all(containers) and len(set(containers)) == len(containers)
    planes = [len(facts.focal_plane_offsets_um) for facts in slides]
    spacings = [_spacing(facts.pixel_spacing_um) for facts in slides]
    counts = {
        kind: [_count(facts, kind) for facts in slides]
        for kind in (ChannelTypes.OPTICAL_PATH, ChannelTypes.SEGMENT)
    }
    annotated = [sum(group.count for group in facts.annotations) for facts in slides]
    return lines_of_table(
        [
            Column("slide", containers, "text"),
            Column("image", [] if are_names else images, "text"),
            Column("rows", [facts.rows for facts in slides], "number"),
            Column("columns", [facts.columns for facts in slides], "number"),
            Column("mm", [_size_mm(facts) for facts in slides], "number", rank=2),
            Column("µm/pixel", spacings, "number"),
            Column("power", [_power(facts) for facts in slides], "number"),
            Column("paths", counts[ChannelTypes.OPTICAL_PATH], "number"),
            Column("planes", planes if max(planes) > 1 else [], "number", rank=3),
            Column("levels", [len(facts.levels) for facts in slides], "number", rank=4),
            Column("segments", counts[ChannelTypes.SEGMENT], "number", rank=1),
            Column("annotations", annotated, "number", rank=1),
        ],
        width,
    )


def _properties(facts: SlideFacts) -> dict[str, str]:
    makers = (facts.manufacturer, facts.manufacturer_model_name)
    return {
        "size": f"{facts.rows} x {facts.columns} pixels",
        "on the slide": f"{_size_mm(facts)} mm (along X and Y)",
        "pixel": f"{_spacing(facts.pixel_spacing_um)} µm",
        "objective": _power(facts),
        "rotation": _rotation(facts.rotation_degrees),
        "focal planes": _focal_planes(facts.focal_plane_offsets_um),
        "manufacturer": " ".join(dict.fromkeys(filter(None, makers))),
        "acquired": facts.acquisition_date_time,
    }


def _levels(levels: Sequence[LevelFacts]) -> list[Column]:
    images = [level.images[0] for level in levels]
    return [
        Column("level", [str(level.level) for level in levels], "number"),
        Column("rows", [str(level.rows) for level in levels], "number"),
        Column("columns", [str(level.columns) for level in levels], "number"),
        Column("µm/pixel", [_spacing(level.pixel_spacing_um) for level in levels], "number"),
        Column(
            "factor", [f"{level.downsampling_factor:.4g}" for level in levels], "number", rank=2
        ),
        Column("tile", [_tile(image) for image in images], rank=1),
        Column("kind", [image.kind for image in images]),
        *_storage(images),
    ]


def _images(images: Sequence[ImageFacts]) -> list[Column]:
    return [
        Column("kind", [image.kind for image in images]),
        Column("rows", [str(image.rows) for image in images], "number"),
        Column("columns", [str(image.columns) for image in images], "number"),
        Column(
            "µm/pixel", [_spacing(image.pixel_spacing_um) for image in images], "number", rank=1
        ),
        *_storage(images),
    ]


def _annotations(groups: Sequence[AnnotationFacts]) -> list[Column]:
    return [
        Column("number", [str(group.count) for group in groups], "number"),
        Column("graphic", [group.graphic_type for group in groups]),
        Column("label", [group.label for group in groups], "text"),
        Column("type", [_meanings(group.property_types) for group in groups], "text", rank=1),
        Column("category", [_meanings(group.categories) for group in groups], "text", rank=2),
        Column("by", [group.algorithm for group in groups], rank=3),
        Column("measured", [", ".join(group.measurements) for group in groups], "text"),
    ]


def _storage(images: Sequence[ImageFacts]) -> list[Column]:
    return [
        Column("pixels", [image.photometric_interpretation for image in images], rank=3),
        Column("transfer syntax", [image.transfer_syntax for image in images]),
        Column("image", [image.name for image in images], "text", rank=4),
    ]


def _channels(channels: Sequence[ChannelFacts]) -> list[Column]:
    return [
        Column("channel", [str(c.channel) for c in channels], "number"),
        Column("identifier", [c.identifier for c in channels], "text"),
        Column("description", [c.description for c in channels], "text"),
        Column("marker", [_meanings(c.markers) for c in channels], "text"),
        Column("stain", [_stains(c) for c in channels], "text"),
        Column("category", [_meanings(c.categories) for c in channels], "text", rank=1),
        Column("type", [_meanings(c.property_types) for c in channels], "text", rank=1),
        Column("unit", [c.unit for c in channels], "text"),
        Column("nm", [_light(c) for c in channels]),
        Column("color", [c.color for c in channels]),
        Column("bits", [c.bits_stored for c in channels], "number", rank=2),
    ]


def _uids(facts: SlideFacts) -> list[tuple[str, str]]:
    # The longest name leaves room for the 64 characters of a UID
    uids = {
        "study": facts.study_instance_uids,
        "series": facts.series_instance_uids,
        "pyramid": facts.pyramid_uids,
        "frame of ref.": [facts.frame_of_reference_uid],
    }
    return [(name, uid) for name, found in uids.items() for uid in found]


def _count(facts: SlideFacts, kind: ChannelTypes) -> int:
    return sum(channel.type == kind.value for channel in facts.channels)


def _size_mm(facts: SlideFacts) -> str:
    return " x ".join(f"{length:.4g}" for length in facts.physical_size_mm)


def _spacing(pixel_spacing_um: tuple[float, float] | None) -> str:
    """Write the distances between rows and between columns, as one where they are alike."""
    return " x ".join(dict.fromkeys(f"{length:.4g}" for length in pixel_spacing_um or ()))


def _power(facts: SlideFacts) -> str:
    power = facts.objective_lens_power
    return "" if power is None else f"{power:g}x"


def _rotation(degrees: float) -> str:
    """Say how an image is turned to stand upright, from the counterclockwise angle."""
    if degrees == 0:
        return "none, the image stands upright"
    direction = "counterclockwise" if degrees > 0 else "clockwise"
    return f"{abs(degrees):g} degrees {direction} to stand upright"


def _focal_planes(offsets: Sequence[float]) -> str:
    if len(offsets) > _MOST_OFFSETS:
        return f"{len(offsets)} (from {offsets[0]:g} to {offsets[-1]:g} µm)"
    return f"{len(offsets)} (at {', '.join(f'{offset:g}' for offset in offsets)} µm)"


def _tile(image: ImageFacts) -> str:
    return f"{image.tile_rows or '?'} x {image.tile_columns or '?'}"


def _meanings(codes: Iterable[Code]) -> str:
    return ", ".join(code.meaning for code in codes)


def _stains(channel: ChannelFacts) -> str:
    """Write stains that are not the markers, without the word that the heading says already."""
    if channel.stains == channel.markers:
        return ""
    return ", ".join(code.meaning.removesuffix(" stain") for code in channel.stains)


def _light(channel: ChannelFacts) -> str:
    """Write the wavelengths of the illumination and of what it makes the specimen emit."""
    lengths = channel.illumination_wavelength_nm, channel.emission_wavelength_nm
    if not any(lengths):
        return ""
    return " to ".join(f"{length:g}" if length else "?" for length in lengths)
