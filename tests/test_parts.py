"""The command takes some of the channels, and one focal plane."""

import numpy as np
import pytest
import zarr

from dicomslide import open_slide
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
        ("CD3", "no 'CD3', only Nuclei, DAPI, Fibres, vimentin"),
        ("7", "no channel 7, only 5 from 0"),
    ],
)
def test_there_is_no_such_channel(written, name, message):
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


def test_there_is_no_such_focal_plane(written, tmp_path, capsys):
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
    assert "image_2 is left out: it is not in the focal plane at" in capsys.readouterr().err
    group = zarr.open_group(tmp_path / "slide.zarr")
    np.testing.assert_array_equal(group["0"], pixels(written, 0, [0], [2]))
    assert "image_2" not in group
