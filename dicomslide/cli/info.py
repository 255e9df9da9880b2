"""What a slide consists of, as tables for people."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from pydicom.uid import UID
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dicomslide.cli.terminal import printable
from dicomslide.enum import ChannelTypes
from dicomslide.errors import SelectionError
from dicomslide.image import TiledImage
from dicomslide.metadata.channels import Channel
from dicomslide.metadata.codes import CodeItem
from dicomslide.metadata.flavors import read_image_type
from dicomslide.metadata.transfer_syntaxes import TRANSFER_SYNTAXES
from dicomslide.slide import Slide

__all__ = ["print_report"]

_HEADINGS = {
    ChannelTypes.OPTICAL_PATH: "Optical paths",
    ChannelTypes.SEGMENT: "Segments",
    ChannelTypes.PARAMETER: "Parameters",
}
# Headings of columns to what they say of a channel
_PROPERTIES: dict[str, Callable[[Channel], str]] = {
    "description": lambda channel: channel.label,
    "marker": lambda channel: _codes(channel.markers),
    "stain": lambda channel: _codes(channel.stains) if channel.stains != channel.markers else "",
    "category": lambda channel: _codes(channel.categories),
    "type": lambda channel: _codes(channel.property_types),
    "unit": lambda channel: channel.unit,
    "nm": lambda channel: _light(channel),
    "color": lambda channel: channel.color,
}


def _rotation(degrees: float) -> str:
    """Say how an image is turned to stand upright, from the counterclockwise angle."""
    if degrees == 0:
        return "none, the image stands upright"
    direction = "counterclockwise" if degrees > 0 else "clockwise"
    return f"{abs(degrees):g} degrees {direction} to stand upright"


def print_report(slide: Slide, console: Console) -> None:
    """Print levels, channels, focal planes, associated and derived images of a slide."""
    base = _any_image(slide, 0)
    name = printable(slide.container_identifier)
    console.print(Text(f"Slide {name or '(no container identifier)'}"))
    facts = {
        "frame of reference": slide.frame_of_reference_uid,
        "manufacturer": _join(base, "Manufacturer", "ManufacturerModelName"),
        "acquired": _join(base, "AcquisitionDateTime"),
        "size": "{:.3f} x {:.3f} mm (along X and Y of the slide)".format(*slide.physical_size),
        "rotation": _rotation(base.get_rotation()),
        "focal planes": _focal_planes(slide),
    }
    for name, value in facts.items():
        if value:
            console.print(Text(f"  {name:20}{printable(value)}"))
    console.print()
    console.print(_levels(slide))
    for kind, heading in _HEADINGS.items():
        channels = [(i, c) for i, c in enumerate(slide.channels) if c.type is kind]
        if channels:
            console.print()
            bits = {i: _bits(slide, i) for i, _ in channels}
            console.print(_channels(heading, channels, bits))
    associated = [("label", i) for i in slide.label_images]
    associated += [("overview", i) for i in slide.overview_images]
    levels = [_any_image(slide, level) for level in range(slide.num_levels)]
    associated += [("thumbnail", i) for i in slide.thumbnail_images if i not in levels]
    associated += [("derived", i) for i in slide.derived_images]
    if associated:
        console.print()
        console.print(_associated(associated))


def _levels(slide: Slide) -> Table:
    table = _table("Levels", "level", "rows", "columns", "mm per pixel", "factor", "tile", "kind")
    table.add_column("transfer syntax", overflow="fold")
    for level, (rows, columns) in enumerate(slide.total_pixel_matrix_dimensions):
        image = _any_image(slide, level)
        tile = _attribute(image, "Rows"), _attribute(image, "Columns")
        along_row, along_column = slide.pixel_spacings[level]
        spacing = f"{along_column:.6g}"
        if along_row != along_column:
            spacing += f" x {along_row:.6g}"
        _add_row(
            table,
            str(level),
            str(rows),
            str(columns),
            spacing,
            f"{slide.downsampling_factors[level]:.4g}",
            f"{tile[0]} x {tile[1]}",
            _kind(image),
            _transfer_syntax(image),
        )
    return table


def _any_image(slide: Slide, level: int) -> TiledImage:
    for channel in range(slide.num_channels):
        for plane in range(slide.num_focal_planes):
            with suppress(SelectionError):
                return slide.get_image(level, channel, plane)
    raise AssertionError("a level has at least one image")


def _kind(image: TiledImage) -> str:
    values = read_image_type(image.metadata)
    flavor = values[2] if len(values) > 2 else image.channel_type.value
    return f"{flavor}, {_attribute(image, 'PhotometricInterpretation')}"


def _channels(
    heading: str, channels: Sequence[tuple[int, Channel]], bits: Mapping[int, str]
) -> Table:
    """List channels, each in a line, with those of their properties that some have."""
    columns: dict[str, list[str]] = {
        "channel": [str(index) for index, _ in channels],
        "identifier": [channel.identifier for _, channel in channels],
    }
    for name, read in _PROPERTIES.items():
        values = [read(channel) for _, channel in channels]
        if any(values):
            columns[name] = values
    columns["bits"] = [bits[index] for index, _ in channels]
    table = _table(heading, *columns)
    for row in zip(*columns.values(), strict=True):
        _add_row(table, *row)
    return table


def _bits(slide: Slide, channel: int) -> str:
    """Read the number of bits that the pixels of a channel have."""
    for plane in range(slide.num_focal_planes):
        with suppress(SelectionError):
            for image in slide.get_volume_images(channel, plane):
                return _attribute(image, "BitsStored") or _attribute(image, "BitsAllocated")
    return ""


def _codes(codes: Sequence[CodeItem]) -> str:
    return ", ".join(code.meaning for code in codes)


def _light(channel: Channel) -> str:
    """Write the wavelengths of the illumination and of what it makes the specimen emit."""
    lengths = channel.wavelength, channel.emission
    if not any(lengths):
        return ""
    return " to ".join(f"{length:g}" if length else "?" for length in lengths)


def _associated(images: Iterable[tuple[str, TiledImage]]) -> Table:
    table = _table("Associated images", "name", "rows", "columns", "kind", "transfer syntax")
    for name, image in images:
        rows, columns = image.size
        _add_row(table, name, str(rows), str(columns), _kind(image), _transfer_syntax(image))
    return table


def _add_row(table: Table, *cells: str) -> None:
    # rich reads a plain str as markup, which values of attributes are not
    table.add_row(*(Text(printable(cell)) for cell in cells))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    numeric = {"level", "rows", "columns", "mm per pixel", "factor", "channel", "bits"}
    for column in columns:
        table.add_column(column, justify="right" if column in numeric else "left", no_wrap=True)
    return table


def _focal_planes(slide: Slide) -> str:
    offsets = [slide.get_focal_plane_offset(i) for i in range(slide.num_focal_planes)]
    return f"{len(offsets)} (at {', '.join(f'{offset:g}' for offset in offsets)} µm)"


def _transfer_syntax(image: TiledImage) -> str:
    uid = image.transfer_syntax_uid
    if uid in TRANSFER_SYNTAXES:
        return TRANSFER_SYNTAXES[uid].short_name
    return UID(uid).name if uid else "not stated"


def _join(image: TiledImage, *keywords: str) -> str:
    values = [_attribute(image, keyword) for keyword in keywords]
    return " ".join(dict.fromkeys(filter(None, values)))


def _attribute(image: TiledImage, keyword: str) -> str:
    """Read an attribute that nothing depends on; empty where there is none."""
    try:
        return str(image.metadata.get(keyword) or "")
    # pydicom fails on a damaged value in many ways
    except Exception:
        return "(cannot be read)"
