"""Slides in notebooks: a small picture, and tables of what there is."""

import base64
import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from html import escape

from dicomslide.errors import SelectionError
from dicomslide.matrix import TotalPixelMatrix
from dicomslide.metadata.channel_kind import ChannelKind
from dicomslide.metadata.kinds import KINDS
from dicomslide.slide import Slide

__all__ = ["describe_slide"]

_TIMES = "\N{MULTIPLICATION SIGN}"
_SIZE = 200
# A slide without a small level is shown without a picture
_MOST_FRAMES = 16
_MOST_LISTED = 24
_TABLE = "border-collapse:collapse;margin:0 0 .6em"
_CELL = "text-align:left;padding:.1em .9em .1em 0;vertical-align:top"
_COLOR = (
    "display:inline-block;width:.8em;height:.8em;margin-right:.4em;border:1px solid #8888;"
    "vertical-align:-.05em;background:#"
)


def describe_slide(slide: Slide) -> str:
    """Describe a slide in HTML.

    Labels show patient data, and associated images are named only.

    Parameters
    ----------
    slide : Slide
        Slide

    Returns
    -------
    str
        HTML with its styles and its picture in it. The picture is upright where the image is
        parallel to the axes of the slide, and is left out where the smallest level has many frames
        or cannot be read
    """
    name = slide.container_identifier or slide.frame_of_reference_uid
    width, height = slide.physical_size
    parts = [
        f"<div><strong>Slide {escape(name)}</strong> {width:.3g} {_TIMES} {height:.3g} mm"
        f"{_planes(slide)}</div>",
        _levels(slide),
        *map(partial(_channels, slide), KINDS.values()),
        _annotations(slide),
        _associated(slide),
    ]
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start">'
        f"{_picture(slide)}<div>{''.join(parts)}</div></div>"
    )


def _picture(slide: Slide) -> str:
    # Reading fails in as many ways as files are damaged, and the tables are still of use
    with suppress(Exception):
        sizes = [
            max(size)
            for level, size in enumerate(slide.total_pixel_matrix_dimensions)
            if _num_frames(slide, level) <= _MOST_FRAMES
        ]
        if not sizes:
            return ""
        # The smallest level that is large enough is read
        enough = any(size >= _SIZE for size in sizes)
        upright = slide._arrangement.levels[0].geometry.is_axis_aligned
        size = _SIZE if enough else max(sizes)
        picture = slide.get_thumbnail(size, upright=upright).convert("RGB")
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=75)
        encoded = base64.b64encode(data.getvalue()).decode()
        return (
            f'<img alt="the slide" width="{picture.width}" height="{picture.height}" '
            f'src="data:image/jpeg;base64,{encoded}">'
        )
    return ""


def _num_frames(slide: Slide, level: int) -> int:
    """Count the frames of a level of one channel."""
    rows, columns = slide.total_pixel_matrix_dimensions[level]
    high, wide = _any_matrix(slide, level).tile_shape[:2]
    return -(-rows // high) * -(-columns // wide)


def _any_matrix(slide: Slide, level: int) -> TotalPixelMatrix:
    for plane in range(slide.num_focal_planes):
        with suppress(SelectionError):
            return slide.get_total_pixel_matrix(level, 0, plane)
    return slide.get_total_pixel_matrix(level)


def _planes(slide: Slide) -> str:
    count = slide.num_focal_planes
    if count == 1:
        return ""
    first, last = (slide.get_focal_plane_offset(index) for index in (0, count - 1))
    return f", {count} focal planes from {first:g} to {last:g} µm"


def _levels(slide: Slide) -> str:
    rows = []
    for level, (size, spacing) in enumerate(
        zip(slide.total_pixel_matrix_dimensions, slide.pixel_spacings, strict=True)
    ):
        steps = dict.fromkeys(f"{step * 1000:.4g}" for step in spacing)
        # The rule of thumb that a scan at 40x has pixels of 0.25 micrometres
        magnification = 10 / (1000 * spacing[0])
        rows.append(
            (
                str(level),
                f"{size[0]:,} {_TIMES} {size[1]:,}",
                f" {_TIMES} ".join(steps),
                f"{magnification:.3g}{_TIMES}",
            )
        )
    return _table(("level", f"rows {_TIMES} columns", "µm per pixel", "magnification"), rows)


def _annotations(slide: Slide) -> str:
    groups = slide.annotations
    if not groups:
        return ""
    rows = [
        (group.label or group.property_type.meaning, f"{len(group)} {_TIMES} {group.graphic_type}")
        for group in groups
    ]
    return _list("Annotations", rows)


def _channels(slide: Slide, kind: ChannelKind) -> str:
    channels = [channel for channel in slide.channels if channel.type is kind.type]
    if not any(channel.label or channel.color or channel.markers for channel in channels):
        # One optical path that has nothing but a number
        return ""
    rows = []
    for channel in channels:
        color = f'<span style="{_COLOR}{channel.color}"></span>' if channel.color else ""
        markers = ", ".join(code.meaning for code in channel.markers)
        label = escape(channel.label or channel.identifier)
        about = escape(channel.unit or (markers if markers != channel.label else ""))
        rows.append((f"{color}{label}", about))
    return _list(kind.heading, rows, is_safe=True)


def _associated(slide: Slide) -> str:
    names = {
        "label": slide.label_images,
        "overview": slide.overview_images,
        "thumbnail": slide.thumbnail_images,
    }
    found = [name for name, images in names.items() if images]
    return f"<div>Associated images: {', '.join(found)}</div>" if found else ""


def _list(heading: str, rows: Sequence[Sequence[str]], is_safe: bool = False) -> str:
    """Write a table of two columns, of which the first rows are shown."""
    shown = list(rows[:_MOST_LISTED])
    if len(rows) > len(shown):
        shown.append((f"… and {len(rows) - len(shown)} more", ""))
    return _table((heading, ""), shown, is_safe)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], is_safe: bool = False) -> str:
    """Write a table; cells are escaped unless they are HTML already."""

    def line(tag: str, cells: Sequence[str]) -> str:
        return "".join(f'<{tag} style="{_CELL}">{cell}</{tag}>' for cell in cells)

    body = "".join(
        f"<tr>{line('td', cells if is_safe else list(map(escape, cells)))}</tr>" for cells in rows
    )
    return (
        f'<table style="{_TABLE}"><tr>{line("th", list(map(escape, headings)))}</tr>{body}</table>'
    )
