"""Focal planes and levels that a channel lacks: never pixels, in the tree and in the classes."""

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomslide import Slide, TiledImage, TotalPixelMatrix, open_slide
from dicomslide.errors import SelectionError
from dicomslide.stores.files import FileStore
from dicomslide.testing import ParametricMapOptions, SegmentationOptions
from tests.uneven import APART, paths_of

MICROMETRE = 0.001  # In mm; the planes of these slides are 1.5 micrometres apart


def level_of(paths, number=0, chunks=None):
    return open_slide(paths).to_datatree(chunks)[f"level_{number}"].to_dataset()


def heights(*planes):
    return pytest.approx([1.5 * MICROMETRE * plane for plane in planes])


class TestOpticalPaths:
    @pytest.mark.parametrize("chunks", ["frames", "auto", None])
    def test_path_on_other_planes_is_a_variable_of_its_own(self, make_slide, chunks):
        written = make_slide(**APART)
        paths = paths_of(written, lambda _, path, plane: (path, plane) != (1, 1))
        level = level_of(paths, chunks=chunks)
        assert level.image.dims == ("channel", "focal_plane", "y", "x", "sample")
        assert level.image_2.dims == ("channel_2", "focal_plane_2", "y", "x", "sample_2")
        assert level.channel.values.tolist() == ["1"]
        assert level.channel_2.values.tolist() == ["2"]
        assert level.focal_plane.values == heights(0, 1, 2)
        assert level.focal_plane_2.values == heights(0, 2)
        assert level.focal_plane_2.attrs == level.focal_plane.attrs
        for name, path, planes in (("image", 0, (0, 1, 2)), ("image_2", 1, (0, 2))):
            expected = [written.levels[0].pixels(path, plane) for plane in planes]
            np.testing.assert_array_equal(level[name][0], expected)

    def test_path_is_found_by_the_height_of_a_plane(self, make_slide):
        written = make_slide(**APART)
        level = level_of(paths_of(written, lambda _, path, plane: (path, plane) != (1, 1)))
        found = level.image_2.sel(focal_plane_2=3 * MICROMETRE, method="nearest")
        np.testing.assert_array_equal(found[0], written.levels[0].pixels(1, 2))
        with pytest.raises(KeyError):
            level.image_2.sel(focal_plane_2=1.5 * MICROMETRE)

    def test_paths_on_the_same_planes_share_a_variable(self, make_slide):
        written = make_slide(**(APART | {"optical_paths": 3}))
        level = level_of(paths_of(written, lambda _, path, plane: path != 1 or plane == 0))
        assert level.channel.values.tolist() == ["1", "3"]
        assert level.image.sizes["focal_plane"] == 3
        assert level.channel_2.values.tolist() == ["2"]
        assert level.image_2.sizes["focal_plane_2"] == 1

    def test_paths_of_a_level_have_the_planes_of_this_level(self, make_slide):
        """Some scanners store all planes at the base level and one of them at the others."""
        written = make_slide(**APART, factors=(1, 2))
        slide = open_slide(paths_of(written, lambda level, _, plane: level == 0 or plane == 1))
        tree = slide.to_datatree(None)
        assert tree["level_0/focal_plane"].values == heights(0, 1, 2)
        assert tree["level_1/focal_plane"].values == heights(1)
        assert "image_2" not in tree["level_1"]
        expected = [written.levels[1].pixels(path, 1) for path in range(2)]
        np.testing.assert_array_equal(tree["level_1/image"][:, 0], expected)

    def test_paths_have_only_the_levels_that_they_are_at(self, make_slide):
        """A nuclear stain is there at full resolution, the others at half of it."""
        written = make_slide(**(APART | {"focal_planes": 1, "optical_paths": 3}), factors=(1, 2))
        slide = open_slide(paths_of(written, lambda level, path, _: level == 1 or path == 0))
        tree = slide.to_datatree(None)
        assert tree["level_0/channel"].values.tolist() == ["1"]
        assert tree["level_1/channel"].values.tolist() == ["1", "2", "3"]
        np.testing.assert_array_equal(tree["level_0/image"][0, 0], written.levels[0].pixels())
        expected = [written.levels[1].pixels(path) for path in range(3)]
        np.testing.assert_array_equal(tree["level_1/image"][:, 0], expected)
        with pytest.raises(ValueError, match=r"'2' has no image .* at level 0, only levels \[1\]"):
            slide.get_image_region((0, 0), 0, (4, 4), channel_index=1)

    @settings(max_examples=12)
    @given(
        # Paths that are focused once each show one plane, whatever its height
        shown=st.lists(st.sets(st.integers(0, 2), min_size=1), min_size=3, max_size=3).filter(
            lambda shown: max(map(len, shown)) > 1
        )
    )
    def test_paths_have_only_the_planes_that_they_are_in(self, make_slide, shown):
        written = make_slide(**(APART | {"optical_paths": 3}))
        slide = open_slide(paths_of(written, lambda _, path, plane: plane in shown[path]))
        level = slide.to_datatree(None)["level_0"].to_dataset()
        offsets = [slide.get_focal_plane_offset(k) for k in range(slide.num_focal_planes)]
        assert offsets == pytest.approx([1.5 * plane for plane in sorted(set().union(*shown))])
        found = {}
        for image in level.data_vars.values():
            channel, plane = image.dims[:2]
            for path in level[channel].values:
                part = image.sel({channel: path}).rename({plane: "z"}).squeeze(drop=True)
                found[int(path) - 1] = part if "z" in part.dims else part.expand_dims("z")
                assert level[plane].values == heights(*sorted(shown[int(path) - 1]))
        for path, planes in enumerate(shown):
            expected = [written.levels[0].pixels(path, plane)[..., 0] for plane in sorted(planes)]
            np.testing.assert_array_equal(found[path], expected)
            for index, offset in enumerate(offsets):
                region = 0, (40, 56), path, index
                if round(offset / 1.5) in planes:
                    pixels = written.levels[0].pixels(path, round(offset / 1.5))
                    np.testing.assert_array_equal(slide.get_image_region((0, 0), *region), pixels)
                else:
                    with pytest.raises(SelectionError, match="no image of focal plane"):
                        slide.get_image_region((0, 0), *region)
                    with pytest.raises(SelectionError, match="no image of focal plane"):
                        slide.get_total_pixel_matrix(0, path, index)


@pytest.fixture
def without_frames(make_slide, tmp_path):
    """One file of two optical paths and three planes, without frames of some pairs of these."""

    def write(lacking):
        together = {"optical_paths_in": "one", "focal_planes_in": "one"}
        sparse = {"organization": "TILED_SPARSE", "tile": (40, 56)}
        written = make_slide(**(APART | together), **sparse)
        (instance,) = written.levels[0].instances
        dataset = pydicom.dcmread(written.levels[0].paths[0])
        # A frame is the whole matrix of one path and one plane
        frames = [
            (instance.optical_paths.index(frame.optical_path), frame.focal_plane)
            for frame in instance.frames
        ]
        kept = [number for number, frame in enumerate(frames) if frame not in lacking]
        groups = dataset.PerFrameFunctionalGroupsSequence
        size = len(dataset.PixelData) // len(frames)
        dataset.PixelData = b"".join(
            dataset.PixelData[number * size : (number + 1) * size] for number in kept
        )
        dataset.PerFrameFunctionalGroupsSequence = [groups[number] for number in kept]
        dataset.NumberOfFrames = len(kept)
        dataset.save_as(tmp_path / "image.dcm")
        return written, tmp_path / "image.dcm"

    return write


class TestOneInstance:
    """Optical paths and planes together in one file, some of them without a frame."""

    def test_plane_without_a_frame_of_a_path_is_lacking(self, without_frames):
        written, path = without_frames({(1, 0), (1, 2)})
        slide = open_slide(path)
        level = level_of(path)
        assert level.focal_plane.values == heights(0, 1, 2)
        assert level.focal_plane_2.values == heights(1)
        np.testing.assert_array_equal(level.image_2[0, 0], written.levels[0].pixels(1, 1))
        np.testing.assert_array_equal(
            slide.get_image_region((0, 0), 0, (40, 56), 1, 1), written.levels[0].pixels(1, 1)
        )
        with pytest.raises(SelectionError, match=r"focal plane 2 at level 0, only focal planes"):
            slide.get_total_pixel_matrix(0, 1, 2)

    def test_image_and_matrix_say_so_too(self, without_frames):
        written, path = without_frames({(1, 0)})
        dataset, store = pydicom.dcmread(path), FileStore(path)
        image = TiledImage(store, dataset)
        expected = written.levels[0].pixels(1, 1)
        np.testing.assert_array_equal(image.get_total_pixel_matrix(1, 1)[:, :, :], expected)
        message = r"no frames of .*'2' in focal plane 0, only in \[1, 2\]"
        with pytest.raises(SelectionError, match=message):
            image.get_total_pixel_matrix(1, 0)
        with pytest.raises(SelectionError, match=message):
            TotalPixelMatrix(store, dataset, 1, 0)

    def test_path_without_any_frame_is_background(self, without_frames):
        _, path = without_frames({(1, 0), (1, 1), (1, 2)})
        level = level_of(path)
        assert level.image.shape == (2, 3, 40, 56, 1)
        assert not level.image[1].any()

    def test_plane_with_some_frames_has_background_between_them(self, make_slide):
        sparse = {"organization": "TILED_SPARSE", "sparse": "gaps"}
        written = make_slide(
            **(APART | {"optical_paths_in": "one", "focal_planes_in": "one"}), **sparse
        )
        expected = [[written.levels[0].pixels(c, z) for z in range(3)] for c in range(2)]
        np.testing.assert_array_equal(level_of(written.folder).image, expected)


class TestDerivedImages:
    def test_segment_is_nowhere_in_the_planes_that_it_lacks(self, make_slide):
        options = SegmentationOptions("BINARY", levels=(0,))
        written = make_slide(**APART, segmentations=(options,))
        (segmentation,) = written.segmentations
        paths = [*paths_of(written, lambda *_: True), *segmentation.paths]
        found = level_of(paths).segmentation
        assert found.dims == ("segment", "focal_plane", "y", "x")
        planes = [plane for plane in range(3) if found[:, plane].any()]
        assert len(planes) == 1
        expected = [segmentation.mask(0, number) for number in (1, 2, 3)]
        np.testing.assert_array_equal(found[:, planes[0]], expected)

    @pytest.mark.parametrize("kind", ["float", "integer"])
    def test_parameter_is_not_known_in_the_planes_that_it_lacks(self, make_slide, kind):
        options = ParametricMapOptions(kind, levels=(0,))
        written = make_slide(**APART, parametric_maps=(options,))
        (made,) = written.parametric_maps
        paths = [*paths_of(written, lambda *_: True), *made.paths]
        found = level_of(paths).parametric_map
        assert found.sizes["focal_plane"] == 3
        known = np.isfinite(found[0]).any(("y", "x")).values
        assert known.sum() == 1
        np.testing.assert_allclose(found[0, known.argmax()], made.values(0, 0), rtol=1e-6)
        assert np.isnan(found[0, ~known]).all()

    def test_segment_shares_the_planes_of_an_image_that_has_its_own(self, make_slide):
        options = SegmentationOptions("LABELMAP", levels=(0,))
        written = make_slide(**APART, segmentations=(options,))
        shown = paths_of(written, lambda _, path, plane: plane == 0 if path else plane > 0)
        level = level_of([*shown, *written.segmentations[0].paths])
        assert level.focal_plane.values == heights(1, 2)
        assert level.focal_plane_2.values == heights(0)
        # The segmentation lies in the plane of the second image
        assert level.segmentation.dims[1] == level.label_map.dims[0] == "focal_plane_2"
        masks = [written.segmentations[0].mask(0, number) for number in (1, 2, 3)]
        np.testing.assert_array_equal(level.segmentation[:, 0], masks)
        expected = sum(number * mask for number, mask in enumerate(masks, 1))
        np.testing.assert_array_equal(level.label_map[0], expected)


class TestFocus:
    """Attributes of pixels that were combined of several focal planes."""

    @pytest.mark.parametrize(
        ("stored", "expected"),
        [
            ({}, {"extended_depth_of_field": "NO"}),
            ({"ExtendedDepthOfField": None}, {}),
            (
                {
                    "ExtendedDepthOfField": "YES",
                    "NumberOfFocalPlanes": 5,
                    "DistanceBetweenFocalPlanes": 0.75,
                },
                {
                    "extended_depth_of_field": "YES",
                    "number_of_focal_planes": 5,
                    "distance_between_focal_planes": 0.75,
                    "distance_between_focal_planes_units": "um",
                },
            ),
        ],
    )
    def test_focus_is_told_where_it_is_known(self, make_slide, stored, expected):
        dataset = pydicom.dcmread(make_slide().levels[0].paths[0])
        for keyword, value in stored.items():
            setattr(dataset, keyword, value)
        slide = Slide(FileStore(make_slide().levels[0].paths[0]), [dataset])
        attributes = slide.to_datatree(None)["level_0"].attrs
        found = {
            name: value for name, value in attributes.items() if "focal" in name or "depth" in name
        }
        assert found == expected
