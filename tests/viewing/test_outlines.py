"""The viewer draws annotations where they lie on the slide, those in sight only."""

import numpy as np
import pytest

import dicomslide
from dicomslide.testing import ORIENTATIONS, AnnotationOptions, write_annotations
from dicomslide.viewing import outlines
from dicomslide.viewing.scene import TILE, Scene
from tests.viewing.test_scene import layer_pixels

SIZE = (300, 400)
SQUARE = np.array([[60.5, 80.5], [100.5, 80.5], [100.5, 120.5], [60.5, 120.5]])


@pytest.fixture
def make_scene(make_slide, tmp_path):
    """Make the scene of a slide with one group of annotations."""

    def make(graphic_type="POLYGON", graphics=(SQUARE,), measurements=None, **options):
        written = make_slide(size=SIZE, **options)
        group = AnnotationOptions(graphic_type, graphics, "Nucleus", measurements or {})
        path = write_annotations(tmp_path / "cells.dcm", written, [group])
        return Scene("slide", dicomslide.open_slide([written.folder, path]))

    return make


def rows_and_columns(tile):
    return np.argwhere(tile[..., 3] > 0)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_outlines_run_along_the_pixels_that_they_state(make_scene, orientation):
    scene = make_scene(orientation=orientation)
    tile = layer_pixels(scene, "Nucleus")
    found = rows_and_columns(tile)
    # The corner 60.5, 80.5 is the centre of row 80 and column 60; lines are two pixels wide
    assert np.abs(found.min(axis=0) - [80, 60]).max() <= 1
    assert np.abs(found.max(axis=0) - [120, 100]).max() <= 1
    assert all(tile[row, column, 3] for row, column in ((80, 80), (100, 60), (120, 80), (100, 100)))
    assert not tile[84:117, 64:97, 3].any()


def test_tiles_from_afar_show_the_same_place(make_scene):
    found = rows_and_columns(layer_pixels(make_scene(), "Nucleus", power=1))
    assert np.abs(found.min(axis=0) - [40, 30]).max() <= 1
    assert np.abs(found.max(axis=0) - [60, 50]).max() <= 1


def test_a_colour_is_chosen_by_the_page(make_scene):
    tile = layer_pixels(make_scene(), "Nucleus", color="00FF7f")
    assert np.unique(tile[tile[..., 3] > 0], axis=0).tolist() == [[0, 255, 127, 255]]


def test_points_are_dots_around_them(make_scene):
    scene = make_scene("POINT", [np.array([[10.5, 20.5]]), np.array([[300.5, 290.5]])])
    found = rows_and_columns(layer_pixels(scene, "Nucleus"))
    assert found.tolist() == [[row, column] for row in (19, 20, 21) for column in (9, 10, 11)]
    other = rows_and_columns(layer_pixels(scene, "Nucleus", row=1, column=1))
    assert other.mean(axis=0).tolist() == [290 - TILE, 300 - TILE]


def test_open_lines_are_not_closed(make_scene):
    tile = layer_pixels(make_scene("POLYLINE", [SQUARE]), "Nucleus")
    assert tile[80, 80, 3]
    assert not tile[90:110, 58:63, 3].any()


def test_of_many_outlines_each_nth_is_drawn(make_scene, monkeypatch):
    monkeypatch.setattr(outlines, "_MOST_DRAWN", 4)
    graphics = [np.array([[10.5 + 20 * k, 20.5]]) for k in range(10)]
    found = rows_and_columns(layer_pixels(make_scene("POINT", graphics), "Nucleus"))
    # Each third one of ten
    assert np.unique(found[:, 1]).tolist() == [
        c for k in (0, 3, 6, 9) for c in range(9 + 20 * k, 12 + 20 * k)
    ]


def test_the_annotation_under_the_pointer_is_told_with_what_was_measured(make_scene):
    other = SQUARE + np.array([150, 0])
    scene = make_scene(graphics=[SQUARE, other], measurements={"Area": np.array([1600.0, 2.5])})
    names = [layer["name"] for layer in scene.describe()["layers"]]
    index = names.index("Nucleus")
    assert scene.tell_values(0, 100, 80, 0, {index: {}}) == ["Nucleus 0, area 1600 um"]
    assert scene.tell_values(0, 100, 230, 0, {index: {}}) == ["Nucleus 1, area 2.5 um"]
    # Inside of no outline, and inside of a box only where that is the outline
    assert scene.tell_values(0, 100, 150, 0, {index: {}}) == []


def test_nothing_is_read_before_a_tile_is_drawn(make_scene, monkeypatch):
    scene = make_scene()
    layer = next(layer for layer in scene._layers if isinstance(layer, outlines.Outlines))
    assert "_shapes" not in vars(layer)
    scene.describe()
    assert "_shapes" not in vars(layer)
