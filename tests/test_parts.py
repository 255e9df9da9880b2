"""The command takes some of the channels, and one focal plane."""

import numpy as np
import pytest
import zarr

from dicomslide import make_thumbnail, open_slide
from dicomslide.cli import main
from dicomslide.cli.parts import find_channels
from dicomslide.errors import SelectionError
from dicomslide.testing import OpticalPath
from tests.uneven import APART, paths_of

PATHS = OpticalPath("1", "Nuclei", 385, "DAPI"), OpticalPath("b", "Fibres", 475, "vimentin")


@pytest.fixture(scope="module")
def written(make_slide):
    return make_slide(
        samples=1, optical_paths=PATHS, focal_planes=3, factors=(1, 2), segmentations=("BINARY",)
    )


@pytest.fixture
def export(written, tmp_path):
    """Exports a part of the slide by the command; gives the store."""

    def run(*arguments):
        store = tmp_path / "slide.zarr"
        assert main(["export", str(written.folder), str(store), "--no-labels", *arguments]) == 0
        return zarr.open_group(store)

    return run


def pixels(written, level, channels, planes):
    found = [[written.levels[level].pixels(c, z)[..., 0] for z in planes] for c in channels]
    return np.array(found)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["0"], [0]),
        (["1", "0"], [1, 0]),
        (["dapi"], [0]),
        (["Fibres"], [1]),
        (["b"], [1]),
        (["vimentin", "1"], [1]),
        ([], []),
    ],
)
def test_channels_are_found_by_number_and_name(written, names, expected):
    assert find_channels(open_slide(written.folder), names) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CD3", "no 'CD3', only 0 to 4, Nuclei, DAPI, Fibres, vimentin"),
        ("7", "no '7', only 0 to 4, Nuclei, DAPI, Fibres, vimentin"),
    ],
)
def test_unknown_channel_is_an_error(written, name, message):
    with pytest.raises(SelectionError, match=message):
        find_channels(open_slide(written.folder), [name])


def test_one_channel_is_exported(written, export):
    group = export("--channel", "vimentin")
    for level in (0, 1):
        np.testing.assert_array_equal(group[str(level)], pixels(written, level, [1], range(3)))
    (channel,) = group.attrs["ome"]["omero"]["channels"]
    assert channel["label"] == "Fibres"


def test_one_focal_plane_is_exported(written, export):
    group = export("--focal-plane", "1")
    for level in (0, 1):
        np.testing.assert_array_equal(group[str(level)], pixels(written, level, [0, 1], [1]))


def test_brightest_pixels_of_all_focal_planes_are_exported(written, export):
    group = export("--max-projection")
    for level in (0, 1):
        stack = pixels(written, level, [0, 1], range(3))
        np.testing.assert_array_equal(group[str(level)], stack.max(axis=1, keepdims=True))
    assert len(group.attrs["ome"]["omero"]["channels"]) == 2


def test_unknown_focal_plane_is_an_error(written, tmp_path, capsys):
    arguments = ["export", str(written.folder), str(tmp_path / "slide.zarr"), "--focal-plane", "3"]
    assert main(arguments) == 2
    assert "no focal plane 3, only 3 from 0 on" in capsys.readouterr().err
    assert not (tmp_path / "slide.zarr").exists()


@pytest.mark.filterwarnings("always")
def test_channel_that_lacks_a_focal_plane_is_not_exported_in_another(make_slide, tmp_path, capsys):
    written = make_slide(**APART)
    lower = paths_of(written, lambda _, path, plane: path == 0 or plane < 2)
    folder = tmp_path / "slide"
    folder.mkdir()
    for path in lower:
        (folder / path.name).symlink_to(path)
    arguments = ["export", str(folder), str(tmp_path / "slide.zarr"), "--focal-plane", "2"]
    assert main(arguments) == 0
    told = capsys.readouterr().err
    assert "left out, as not in the focal plane at 3 micrometres: image_2 of level_0" in told
    group = zarr.open_group(tmp_path / "slide.zarr")
    np.testing.assert_array_equal(group["0"], pixels(written, 0, [0], [2]))
    assert "image_2" not in group


def test_numbers_beyond_the_channels_are_names(make_slide):
    paths = OpticalPath("405"), OpticalPath("488"), OpticalPath("561")
    slide = open_slide(make_slide(samples=1, optical_paths=paths).folder)
    assert find_channels(slide, ["488", "0"]) == [1, 0]


@pytest.mark.filterwarnings("always")
def test_projection_has_the_levels_of_all_focal_planes(make_slide, tmp_path, capsys):
    written = make_slide(**APART | {"optical_paths": 1, "factors": (1, 2)})
    folder = tmp_path / "slide"
    folder.mkdir()
    for path in written.paths:
        if path.name.startswith("level-0") or "plane-1" in path.name:
            (folder / path.name).symlink_to(path)
    store = tmp_path / "slide.zarr"
    assert main(["export", str(folder), str(store), "--max-projection"]) == 0
    told = capsys.readouterr().err
    assert "left out, as it lacks focal planes of the largest level: image of level_1" in told
    group = zarr.open_group(store)
    stack = pixels(written, 0, [0], range(3))
    np.testing.assert_array_equal(group["0"], stack.max(axis=1, keepdims=True))
    assert "1" not in group
    picture = make_thumbnail(open_slide(folder), 20, max_projection=True)
    whole = make_thumbnail(open_slide(folder), 56, max_projection=True)
    assert picture.size == (20, 14)
    assert whole.size == (56, 40)
    with pytest.raises(ValueError, match="a projection is of all"):
        make_thumbnail(open_slide(folder), 20, focal_plane_index=1, max_projection=True)


def test_projection_has_the_segments_of_all_focal_planes(make_slide, tmp_path):
    written = make_slide(samples=1, focal_planes=3, segmentations=("LABELMAP", "BINARY"))
    store = tmp_path / "slide.zarr"
    assert main(["export", str(written.folder), str(store), "--max-projection"]) == 0
    group = zarr.open_group(store)
    masks = [written.segmentations[0].mask(0, number) for number in (1, 2, 3)]
    expected = sum(n * mask.astype(int) for n, mask in enumerate(masks, 1))
    np.testing.assert_array_equal(group["labels/label_map/0"][0], expected)
    np.testing.assert_array_equal(group["labels/nucleus/0"][0], masks[0])


def test_focal_plane_and_projection_exclude_each_other(written, tmp_path, capsys):
    arguments = [str(written.folder), str(tmp_path / "slide.zarr"), "--focal-plane", "1"]
    assert main(["export", *arguments, "--max-projection"]) == 2
    assert "a projection is of all focal planes" in capsys.readouterr().err
