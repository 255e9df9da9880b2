"""What a slide should offer of an image derived from it, checked pixel by pixel."""

import numpy as np
import pytest

from dicomslide import open_slide
from tests.slide.derived import level_positions, upright


def open_with(written, *paths, **options):
    return open_slide([*written.paths, *paths], **options)


def channel_of(slide, label):
    (index,) = slide.find_segments(label=label)
    return index


def box_of(places):
    """Offset and size in millimetres of a rectangle with all the centres, and none beyond."""
    low, high = places.min(axis=(0, 1)) - 1e-4, places.max(axis=(0, 1)) + 1e-4
    return tuple(low.tolist()), tuple((high - low).tolist())


def same(found, expected):
    return np.array_equal(found, expected, equal_nan=np.asarray(expected).dtype.kind == "f")


def tree_arrays(slide, level, variable):
    """The channels of a level of the tree, as NumPy and as dask have them."""
    for chunks in (None, "frames"):
        array = slide.to_datatree(chunks)[f"level_{level}"][variable]
        yield array.isel(focal_plane=0).values


def assert_shown_on_level(slide, written, level, channel, at, expected):
    """Check all that a slide offers of a channel that is a part of a level, pixel by pixel."""
    places = level_positions(written, level)
    offset, size = box_of(places)
    assert same(slide.get_total_pixel_matrix(level, channel)[...][..., 0], expected)
    region = slide.get_image_region((0, 0), level, expected.shape, channel)
    assert same(region[..., 0], expected)
    region = slide.get_slide_region(offset, level, size, channel)
    assert same(region[..., 0], upright(expected, places))
    image = slide.get_image(level, channel)
    rows, columns = expected.shape
    corner = np.clip(at, 0, (rows - 1, columns - 1)).tolist()
    x, y = places[tuple(corner)]
    assert slide.get_slide_offset(corner, level, channel) == pytest.approx((x, y), abs=1e-9)
    assert slide.get_pixel_indices((x, y), level, channel) == tuple(corner)
    own = np.subtract(corner, at)[np.newaxis]
    found = image.map_pixel_indices_to_slide_coordinates(own)
    assert found[0, :2] == pytest.approx((x, y), abs=1e-9)
    mapped = slide.map_pixel_indices_to_slide_coordinates(np.array([corner]), level, channel)
    assert mapped[0, :2] == pytest.approx((x, y), abs=1e-9)
    back = slide.map_slide_coordinates_to_pixel_indices(mapped, level, channel)
    assert back.tolist() == [corner]


def assert_levels_are_those_of_the_images(slide, written):
    assert slide.total_pixel_matrix_dimensions == tuple(level.size for level in written.levels)
    base = level_positions(written, 0)
    first, last = base[0, 0], base[-1, -1]
    spacing = np.array(written.options.spacing)
    assert slide.physical_offset == pytest.approx(tuple(first), abs=1e-9)
    assert sum(slide.physical_size) == pytest.approx(
        np.abs(last - first).sum() + spacing.sum(), abs=1e-9
    )
    assert len(slide.to_datatree().children) == len(written.levels) + bool(slide.derived_images)
