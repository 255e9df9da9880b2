"""Channels and levels that are not in the same focal planes, and planes at uneven distances."""

import numpy as np
import pytest
import zarr
from ngff_zarr.validate import validate

from dicomslide import open_slide, to_ome_zarr
from dicomslide.testing import SegmentationOptions
from tests.uneven import APART, paths_of

VERSIONS = pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])


@pytest.fixture
def export(make_slide, tmp_path):
    """Writes a store of a part of a slide; gives the slide and the store."""

    def write(keeps, version="0.5", levels="stored", **options):
        written = make_slide(**(APART | options))
        derived = [path for made in written.segmentations for path in made.paths]
        slide = open_slide([*paths_of(written, keeps), *derived])
        to_ome_zarr(slide, tmp_path / "slide.zarr", version=version, levels=levels)
        return written, zarr.open_group(str(tmp_path / "slide.zarr"), mode="r")

    return write


def scales_of(image_of, group, path=""):
    """Scale and translation of each level along (c, z, y, x)."""
    (multiscale,) = image_of(group, path)["multiscales"]
    steps = [dataset["coordinateTransformations"] for dataset in multiscale["datasets"]]
    return [(scale["scale"], translation["translation"]) for scale, translation in steps]


def labels_of(image_of, group, path=""):
    return [channel["label"] for channel in image_of(group, path)["omero"]["channels"]]


def pixels_of(written, level, paths, planes):
    return [[written.levels[level].pixels(c, z)[..., 0] for z in planes] for c in paths]


class TestChannels:
    @pytest.mark.parametrize("levels", ["stored", "dyadic"])
    def test_channels_at_other_levels_are_an_image_of_their_own(self, export, image_of, levels):
        """A nuclear stain is there at full resolution, the others at half of it."""
        written, group = export(
            lambda level, path, _: level > 0 or path == 0,
            factors=(1, 2, 4),
            optical_paths=3,
            focal_planes=1,
            levels=levels,
        )
        assert labels_of(image_of, group) == ["Nuclei"]
        assert labels_of(image_of, group, "image_2") == ["Fibres", "Epithelium"]
        assert sorted(group.array_keys()) == ["0", "1", "2"]
        assert sorted(group["image_2"].array_keys()) == ["0", "1"]
        for number in range(3):
            expected = pixels_of(written, number, [0], [0])
            np.testing.assert_array_equal(group[str(number)][...], expected)
        np.testing.assert_array_equal(group["image_2/0"][...], pixels_of(written, 1, (1, 2), [0]))
        # Half a micrometre at the base level, and the same place on the slide
        scale, translation = scales_of(image_of, group, "image_2")[0]
        assert scale == pytest.approx([1, 1, 1, 1])
        assert translation == pytest.approx([0, 0, 0.25, 0.25])

    @VERSIONS
    def test_channels_in_other_planes_are_an_image_of_their_own(self, export, image_of, version):
        written, group = export(
            lambda _, path, plane: path == 0 or plane == 1, version=version, factors=(1, 2)
        )
        np.testing.assert_array_equal(group["0"][...], pixels_of(written, 0, [0], range(3)))
        for level in range(2):
            expected = pixels_of(written, level, [1], [1])
            np.testing.assert_array_equal(group[f"image_2/{level}"][...], expected)
        assert labels_of(image_of, group, "image_2") == ["Fibres"]
        validate(group["image_2"].attrs.asdict(), version=version, model="image", strict=True)
        if version != "0.6":
            assert scales_of(image_of, group)[0][0][1] == pytest.approx(1.5)
            # At the height of the second plane
            assert scales_of(image_of, group, "image_2")[0][1][1] == pytest.approx(1.5)


class TestLevels:
    """All planes at the base level, and one of them below."""

    @staticmethod
    def keeps(level, _path, plane):
        return level == 0 or plane == 0

    def test_levels_in_other_planes_are_left_out_with_a_warning(self, export):
        message = r"levels \[1\] are left out.* \[0.0, 1.5, 3.0\] micrometres; .*dyadic"
        with pytest.warns(UserWarning, match=message):
            written, group = export(self.keeps, factors=(1, 2))
        assert list(group.array_keys()) == ["0"]
        expected = pixels_of(written, 0, range(2), range(3))
        np.testing.assert_array_equal(group["0"][...], expected)

    def test_levels_in_other_planes_are_computed_if_asked_for(self, export, monkeypatch):
        monkeypatch.setattr("dicomslide.export.content._SMALLEST_LEVEL", 30)
        written, group = export(self.keeps, factors=(1, 2), levels="dyadic")
        base = np.array(pixels_of(written, 0, range(2), range(3)), float)
        mean = base.reshape(2, 3, 20, 2, 28, 2).mean(axis=(3, 5))
        np.testing.assert_array_equal(group["1"][...], np.floor(mean + 0.5))

    def test_all_levels_are_written_for_the_plane_that_all_have(self, make_slide, tmp_path):
        written = make_slide(**APART, factors=(1, 2))
        tree = open_slide(paths_of(written, self.keeps)).to_datatree(None)
        to_ome_zarr(tree.sel(focal_plane=[0]), tmp_path / "plane.zarr")
        group = zarr.open_group(str(tmp_path / "plane.zarr"))
        for level in range(2):
            expected = pixels_of(written, level, range(2), [0])
            np.testing.assert_array_equal(group[str(level)][...], expected)


class TestUnevenPlanes:
    """Planes at 0, 1.5 and 4.5 micrometres."""

    @VERSIONS
    def test_uneven_planes_have_their_mean_distance_and_their_positions(
        self, export, image_of, version
    ):
        with pytest.warns(UserWarning, match=r"\[0.0, 1.5, 4.5\] micrometres") as caught:
            written, group = export(
                lambda _level, _path, plane: plane != 2,
                version=version,
                focal_planes=4,
                segmentations=(SegmentationOptions("LABELMAP", levels=(0,)),),
            )
        assert len(caught) == 1
        expected = pixels_of(written, 0, range(2), (0, 1, 3))
        np.testing.assert_array_equal(group["0"][...], expected)
        if version != "0.6":
            assert scales_of(image_of, group)[0][0][1] == pytest.approx(2.25)
        for path in ("", "labels/label_map"):
            attributes = (group[path] if path else group).attrs.asdict()
            facts = attributes["dicomslide"]
            assert facts["focal_plane_offsets"] == pytest.approx([0, 1.5, 4.5])
            assert facts["focal_plane_units"] == "micrometer"
            validate(attributes, version=version, model="image", strict=True)
        assert "fingerprint" in group.attrs["dicomslide"]

    def test_positions_of_uneven_planes_are_written_for_their_image_only(self, export):
        with pytest.warns(UserWarning, match="micrometres"):
            _, group = export(lambda _, path, plane: plane != 2 if path else True, focal_planes=4)
        assert "focal_plane_offsets" not in group.attrs["dicomslide"]
        facts = group["image_2"].attrs["dicomslide"]
        assert facts["focal_plane_offsets"] == pytest.approx([0, 1.5, 4.5])

    def test_even_planes_need_no_positions_beside_their_scale(self, export):
        _, group = export(lambda *_: True)
        assert "focal_plane_offsets" not in group.attrs["dicomslide"]


class TestLabels:
    @VERSIONS
    def test_labels_have_no_axis_of_channels(self, export, image_of, version):
        options = SegmentationOptions("LABELMAP")
        _, group = export(
            lambda *_: True, version=version, factors=(1, 2), segmentations=(options,)
        )
        (multiscale,) = image_of(group, "labels/label_map")["multiscales"]
        axes = multiscale.get("axes") or multiscale["coordinateSystems"][0]["axes"]
        assert [axis["name"] for axis in axes] == ["z", "y", "x"]
        for level, size in enumerate([(40, 56), (20, 28)]):
            array = group[f"labels/label_map/{level}"]
            assert array.shape == (3, *size)
            if version != "0.4":
                assert array.metadata.dimension_names == ("z", "y", "x")

    def test_labels_in_planes_that_the_image_lacks_are_left_out_with_a_warning(self, export):
        """The image is in the upper two planes, the segmentation in the lowest one."""
        with pytest.warns(UserWarning, match="'label_map' is left out.* other focal planes"):
            _, group = export(
                lambda _, path, plane: plane == 0 if path else plane > 0,
                segmentations=(SegmentationOptions("LABELMAP", levels=(0,)),),
            )
        assert "labels" not in group
