"""The tree of labelled arrays: names, coordinates in millimetres, values, laziness."""

import json
import math
import pickle
import shutil

import highdicom as hd
import numpy as np
import pydicom
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomslide import Slide, open_slide
from dicomslide.testing import (
    ORIENTATIONS,
    OpticalPath,
    ParametricMapOptions,
    SegmentationOptions,
    orientation_from_angle,
)
from dicomslide.tree.schema import KINDS

SIZE, TILE = (70, 90), (16, 24)
GRID_COLUMNS = 4
SPACING = 0.0005
# Decimal Strings of the files have at most 16 characters
EXACT = {"rtol": 0, "atol": 1e-8}

EVERYTHING = {
    "factors": (1, 2),
    "samples": 1,
    "bits": 16,
    "optical_paths": 2,
    "focal_planes": 2,
    "label": True,
    "overview": True,
    "segmentations": ("BINARY", "FRACTIONAL", "LABELMAP"),
    "parametric_maps": ("float", "integer"),
}


def tree_of(written, chunks="frames", **options) -> xr.DataTree:
    return open_slide(written.folder, **options).to_datatree(chunks)


def centres(count: int, factor: float, spacing: float = SPACING):
    """Centres of the pixels of a level in mm from the centre of the first pixel of the base."""
    return (factor * (np.arange(count) + 0.5) - 0.5) * spacing


class TestStructure:
    def test_one_node_for_each_level_and_associated_image(self, make_slide):
        tree = tree_of(make_slide(factors=(1, 2, 4), label=True, overview=True))
        assert [node.path for node in tree.subtree] == [
            "/",
            "/level_0",
            "/level_1",
            "/level_2",
            "/associated",
            "/associated/label",
            "/associated/overview",
        ]

    def test_levels_go_from_the_largest_to_the_smallest(self, make_slide):
        tree = tree_of(make_slide(factors=(1, 2, 4)))
        sizes = [(node.sizes["y"], node.sizes["x"]) for node in tree.children.values()]
        assert sizes == [(70, 90), (35, 45), (18, 23)]

    def test_variables_and_their_dimensions(self, make_slide):
        level = tree_of(make_slide(**EVERYTHING)).level_1
        assert {name: variable.dims for name, variable in level.data_vars.items()} == {
            "image": ("channel", "focal_plane", "y", "x", "sample"),
            "segmentation": ("segment", "focal_plane", "y", "x"),
            "segmentation_2": ("segment_2", "focal_plane", "y", "x"),
            "parametric_map": ("parameter", "focal_plane", "y", "x"),
            "parametric_map_2": ("parameter_2", "focal_plane", "y", "x"),
            "parametric_map_3": ("parameter_3", "focal_plane", "y", "x"),
            "label_map": ("focal_plane", "y", "x"),
        }
        assert (level.sizes["y"], level.sizes["x"]) == (35, 45)

    def test_slide_without_associated_images_has_no_node_for_them(self, make_slide):
        assert "associated" not in tree_of(make_slide()).children

    def test_second_label_gets_a_number(self, make_slide, tmp_path):
        for path in make_slide(label=True).paths:
            dataset = pydicom.dcmread(path)
            dataset.save_as(tmp_path / path.name)
            if "LABEL" in dataset.ImageType:
                dataset.SOPInstanceUID += ".1"
                dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
                dataset.InstanceNumber += 1
                dataset.save_as(tmp_path / "second.dcm")
        tree = open_slide(tmp_path).to_datatree()
        assert set(tree["associated"].children) == {"label", "label_1"}

    def test_thumbnail_is_a_level(self, make_slide):
        written = make_slide(size=(700, 900), tile=(256, 256), thumbnail=True)
        tree = tree_of(written)
        assert list(tree.children) == ["level_0", "level_1"]
        factor = 900 / 512
        level = tree.level_1
        assert (level.sizes["y"], level.sizes["x"]) == (math.ceil(700 / factor), 512)
        np.testing.assert_array_equal(level.image[0, 0], written.thumbnail)
        np.testing.assert_allclose(level.x, centres(512, factor), **EXACT)


class TestPixelCoordinates:
    """``y`` and ``x``: mm along the image axes from the centre of the base level's first pixel."""

    @pytest.mark.parametrize("level_origins", ["centres", "same"])
    @pytest.mark.parametrize("factors", [(1, 2, 4), (1, 1.5, 3.3)])
    def test_are_the_centres_of_the_pixels(self, make_slide, factors, level_origins):
        tree = tree_of(make_slide(factors=factors, level_origins=level_origins))
        for factor, node in zip(factors, tree.children.values(), strict=True):
            rows, columns = (math.ceil(n / factor) for n in SIZE)
            np.testing.assert_allclose(node.y, centres(rows, factor), **EXACT)
            np.testing.assert_allclose(node.x, centres(columns, factor), **EXACT)

    def test_spacing_may_differ_between_the_axes(self, make_slide):
        tree = tree_of(make_slide(pixel_spacing=(0.001, 0.00025), factors=(1, 2)))
        np.testing.assert_allclose(tree.level_1.y, centres(35, 2, 0.001), **EXACT)
        np.testing.assert_allclose(tree.level_1.x, centres(45, 2, 0.00025), **EXACT)

    def test_are_indexed_and_in_millimetres(self, make_slide):
        level = tree_of(make_slide()).level_0
        assert {"y", "x"} <= set(level.indexes)
        assert level.y.attrs["units"] == level.x.attrs["units"] == "mm"

    @settings(max_examples=20)
    @given(position=st.tuples(*[st.floats(0, 0.03)] * 2))
    def test_nearest_pixel_of_a_point_covers_it_at_every_level(self, make_slide, position):
        factors = (1, 2.5, 4)
        tree = tree_of(make_slide(factors=factors))
        y, x = position
        for factor, node in zip(factors, tree.children.values(), strict=True):
            found = node.to_dataset().sel(y=y, x=x, method="nearest")
            half = factor * SPACING / 2 * (1 + 1e-6)
            assert abs(float(found.y) - y) <= half
            assert abs(float(found.x) - x) <= half

    def test_mean_over_a_block_of_base_pixels_has_the_coordinate_of_the_level_pixel(
        self, make_slide
    ):
        tree = tree_of(make_slide(size=(64, 96), factors=(1, 2, 4)))
        for factor, name in ((2, "level_1"), (4, "level_2")):
            coarse = tree.level_0.to_dataset().image.coarsen(y=factor, x=factor).mean()
            np.testing.assert_allclose(coarse.y, tree[name].y, **EXACT)
            np.testing.assert_allclose(coarse.x, tree[name].x, **EXACT)


class TestSlideCoordinates:
    """``slide_x`` and ``slide_y``: mm in the slide coordinate system (PS3.3 C.8.12.2.1)."""

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    @pytest.mark.parametrize("number", [0, 1])
    def test_are_those_that_highdicom_computes(self, make_slide, orientation, number):
        written = make_slide(
            orientation=orientation, factors=(1, 2.5), pixel_spacing=(0.001, 0.0005)
        )
        level = tree_of(written)[f"level_{number}"].to_dataset()
        dataset = pydicom.dcmread(written.levels[number].paths[0], stop_before_pixels=True)
        (origin,) = dataset.TotalPixelMatrixOriginSequence
        transformer = hd.spatial.PixelToReferenceTransformer(
            image_position=(
                origin.XOffsetInSlideCoordinateSystem,
                origin.YOffsetInSlideCoordinateSystem,
                0.0,
            ),
            image_orientation=dataset.ImageOrientationSlide,
            pixel_spacing=dataset.SharedFunctionalGroupsSequence[0]
            .PixelMeasuresSequence[0]
            .PixelSpacing,
        )
        rows, columns = np.indices((level.sizes["y"], level.sizes["x"])).reshape(2, -1)
        expected = transformer(np.stack([columns, rows], axis=-1))
        slide_x, slide_y = xr.broadcast(level.slide_x, level.slide_y)
        for found, axis in ((slide_x, 0), (slide_y, 1)):
            np.testing.assert_allclose(
                found.transpose("y", "x").values.ravel(), expected[:, axis], **EXACT
            )

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_vary_along_one_dimension_without_an_index(self, make_slide, orientation):
        level = tree_of(make_slide(orientation=orientation)).level_0
        along_x = ("x",) if orientation[0] else ("y",)
        along_y = ("y",) if orientation[0] else ("x",)
        assert (level.slide_x.dims, level.slide_y.dims) == (along_x, along_y)
        assert not {"slide_x", "slide_y"} & set(level.xindexes)
        assert level.slide_x.attrs["units"] == level.slide_y.attrs["units"] == "mm"

    @pytest.mark.parametrize("level_origins", ["centres", "same"])
    def test_agree_between_levels_as_y_and_x_do(self, make_slide, level_origins):
        written = make_slide(factors=(1, 3.3), level_origins=level_origins)
        tree = tree_of(written)
        # Rows run along -Y and columns along -X by default
        x0, y0 = written.origin
        for node in tree.children.values():
            np.testing.assert_allclose(node.slide_x, x0 - node.y.values, **EXACT)
            np.testing.assert_allclose(node.slide_y, y0 - node.x.values, **EXACT)

    @pytest.mark.parametrize("orientation", ORIENTATIONS)
    def test_box_on_the_slide_selects_its_pixels(self, make_slide, orientation):
        written = make_slide(orientation=orientation)
        level = tree_of(written).level_0.to_dataset()
        box = {}
        for name, rows in (("slide_x", level.slide_x), ("slide_y", level.slide_y)):
            low, high = sorted(float(rows[i]) for i in (20, 40))
            bounds = (low - SPACING / 4, high + SPACING / 4)
            box[name] = slice(*(bounds if rows[1] > rows[0] else bounds[::-1]))
        selected = level.sel(box).image[0, 0]
        np.testing.assert_array_equal(selected, written.levels[0].pixels()[20:41, 20:41])

    @pytest.mark.parametrize("degrees", [30, 44.9])
    def test_are_absent_where_the_image_is_oblique(self, make_slide, degrees):
        level = tree_of(make_slide(orientation=orientation_from_angle(degrees))).level_0
        assert not {"slide_x", "slide_y"} & set(level.coords)
        np.testing.assert_allclose(level.x, centres(90, 1), **EXACT)


class TestChannels:
    PATHS = (
        OpticalPath("dapi", "Nuclei", 385.0, "DAPI"),
        OpticalPath("2", None, None, "eosin"),
    )

    def test_optical_paths_have_identifier_description_wavelength_and_stain(self, make_slide):
        written = make_slide(optical_paths=self.PATHS, samples=1)
        level = tree_of(written).level_0.to_dataset()
        assert level.channel.values.tolist() == ["dapi", "2"]
        assert level.description.values.tolist() == ["Nuclei", ""]
        np.testing.assert_array_equal(level.wavelength, [385.0, np.nan])
        assert level.wavelength.attrs["units"] == "nm"
        assert level.stain.values.tolist() == ["DAPI", "water soluble eosin stain"]
        assert level.stain_code.values.tolist() == ["DAPI", "36879007"]
        assert level.stain_scheme.values.tolist() == ["99DICOMSLIDE", "SCT"]
        assert level.marker.values.tolist() == level.stain.values.tolist()
        assert tree_of(written).attrs["stains"] == level.stain.values.tolist()
        np.testing.assert_array_equal(
            level.image.sel(channel="2")[0], written.levels[0].pixels(optical_path=1)
        )

    def test_filter_of_the_image_path_is_the_emission(self, make_slide, tmp_path):
        dataset = pydicom.dcmread(make_slide(samples=1, optical_paths=2).paths[0])
        dataset.OpticalPathSequence[1].ImagePathFilterPassThroughWavelength = 461
        dataset.save_as(tmp_path / "slide.dcm")
        emission = open_slide(tmp_path / "slide.dcm").to_datatree()["level_0"].emission
        np.testing.assert_array_equal(emission, [np.nan, 461])
        assert (emission.dims, emission.attrs["units"]) == (("channel",), "nm")

    @pytest.mark.parametrize("chunks", ["frames", None])
    def test_bits_stored_are_known_of_what_was_not_computed(self, make_slide, chunks):
        image = tree_of(make_slide(samples=1, bits=12), chunks).level_0.image
        assert image[:, :, 3:, 5:].encoding["bits_stored"] == 12
        assert "bits_stored" not in (image * 16).encoding

    @pytest.mark.parametrize("together", ["one", "each"])
    def test_every_channel_and_focal_plane_has_its_pixels(self, make_slide, together):
        written = make_slide(
            optical_paths=2,
            optical_paths_in=together,
            focal_planes=3,
            focal_planes_in=together,
            focal_plane_spacing=2.5,
            samples=1,
            bits=12,
        )
        level = tree_of(written).level_0.to_dataset()
        np.testing.assert_allclose(level.focal_plane, [0, 0.0025, 0.005], **EXACT)
        assert level.focal_plane.attrs["units"] == "mm"
        assert level.image.dtype == np.uint16
        expected = [[written.levels[0].pixels(c, z) for z in range(3)] for c in range(2)]
        np.testing.assert_array_equal(level.image, expected)

    def test_colour_has_three_samples(self, make_slide):
        written = make_slide()
        image = tree_of(written).level_0.image
        assert (image.sizes["sample"], image.dtype) == (3, np.uint8)
        np.testing.assert_array_equal(image[0, 0], written.levels[0].pixels())

    def test_what_no_frame_covers_is_background(self, make_slide):
        written = make_slide(organization="TILED_SPARSE", sparse="gaps", optical_paths=2)
        expected = [written.levels[0].pixels(path) for path in range(2)]
        np.testing.assert_array_equal(tree_of(written).level_0.image[:, 0], expected)


# Those of the synthetic segments
COLORS = (60, 60, 220), (40, 170, 90), (230, 120, 160)


class TestSegments:
    @pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
    def test_masks_have_numbers_labels_and_codes(self, make_slide, kind):
        written = make_slide(segmentations=(kind,), factors=(1, 2, 4))
        (segmentation,) = written.segmentations
        tree = tree_of(written)
        for index, name in enumerate(("level_0", "level_1")):
            level = tree[name].to_dataset()
            assert level.segmentation.dtype == bool
            assert level.segment.values.tolist() == [1, 2, 3]
            assert level.label.values.tolist() == list(segmentation.segments)
            assert set(level.algorithm.values.tolist()) == {"AUTOMATIC"}
            assert set(level.segmentation_type.values.tolist()) == {kind}
            for text, stated in zip(level.segment_color.values.tolist(), COLORS, strict=True):
                # CIELab values keep them to one step
                assert np.abs(np.subtract(list(bytes.fromhex(text)), stated)).max() <= 1
            dataset = pydicom.dcmread(segmentation.paths[index], stop_before_pixels=True)
            for coordinate, keyword in (
                ("category", "SegmentedPropertyCategoryCodeSequence"),
                ("type", "SegmentedPropertyTypeCodeSequence"),
            ):
                # Number 0 is the background of a label map
                items = [item for item in dataset.SegmentSequence if item.SegmentNumber > 0]
                meanings = [str(item[keyword][0].CodeMeaning) for item in items]
                assert level[coordinate].values.tolist() == meanings
            expected = [segmentation.mask(index, number) for number in (1, 2, 3)]
            np.testing.assert_array_equal(level.segmentation[:, 0], expected)
        assert "segmentation" not in tree.level_2

    def test_label_map_is_there_as_numbers_too(self, make_slide):
        written = make_slide(segmentations=("LABELMAP",))
        (segmentation,) = written.segmentations
        label_map = tree_of(written).level_0.label_map
        expected = sum(number * segmentation.mask(0, number).astype(int) for number in (1, 2, 3))
        np.testing.assert_array_equal(label_map[0], expected)
        assert label_map.attrs["flag_values"] == [1, 2, 3]
        meanings = [segment.replace(" ", "_") for segment in segmentation.segments]
        assert label_map.attrs["flag_meanings"].split() == meanings

    def test_fractions_are_scaled_to_one(self, make_slide):
        written = make_slide(segmentations=("FRACTIONAL",))
        (segmentation,) = written.segmentations
        found = tree_of(written).level_0.segmentation
        assert np.issubdtype(found.dtype, np.floating)
        expected = [segmentation.mask(0, number) / 255 for number in (1, 2, 3)]
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-6)

    def test_segments_of_two_segmentations_are_not_mixed_up(self, make_slide):
        options = (
            SegmentationOptions(segments=("tissue",)),
            SegmentationOptions(segments=("nucleus",)),
        )
        written = make_slide(segmentations=options)
        found = tree_of(written).level_0.segmentation
        expected = [segmentation.mask(0, 1) for segmentation in written.segmentations]
        np.testing.assert_array_equal(found[:, 0], expected)
        assert found.label.values.tolist() == [s.segments[0] for s in written.segmentations]

    def test_tiles_may_differ_from_those_of_the_slide(self, make_slide):
        written = make_slide(segmentations=(SegmentationOptions(tile=(32, 40)),))
        level = tree_of(written).level_0.to_dataset()
        assert level.segmentation.chunks[2:] == ((32, 32, 6), (40, 40, 10))
        assert level.image.chunks[2:4] == ((16, 16, 16, 16, 6), (24, 24, 24, 18))


class TestParameters:
    @pytest.mark.parametrize(("kind", "dtype"), [("float", np.float32), ("double", np.float64)])
    def test_floats_have_labels_explanations_and_units(self, make_slide, kind, dtype):
        written = make_slide(parametric_maps=(kind,))
        (parametric_map,) = written.parametric_maps
        level = tree_of(written).level_0.to_dataset()
        assert level.parametric_map.dtype == dtype
        assert level.parameter.values.tolist() == ["HAEMATOXYLIN", "EOSIN"]
        assert level.explanation.values.tolist() == [
            "Optical density of haematoxylin",
            "Optical density of eosin",
        ]
        # An optical density has no unit: UCUM 1
        assert level.units.values.tolist() == ["1", "1"]
        assert level.parametric_map.attrs["units"] == "1"
        expected = [parametric_map.values(0, index) for index in range(2)]
        np.testing.assert_array_equal(level.parametric_map[:, 0], expected)

    def test_integers_are_mapped_to_real_world_values(self, make_slide):
        written = make_slide(parametric_maps=("integer",))
        (parametric_map,) = written.parametric_maps
        level = tree_of(written).level_0.to_dataset()
        # Two mappings cannot be the scale of one variable
        for index, name in enumerate(("parametric_map", "parametric_map_2")):
            np.testing.assert_allclose(
                level[name][0, 0], parametric_map.values(0, index), rtol=1e-6, atol=1e-6
            )

    def test_stored_integers_come_with_their_mapping_where_they_are_not_decoded(self, make_slide):
        written = make_slide(parametric_maps=("integer",), segmentations=("FRACTIONAL",))
        groups = open_slide(written.folder).to_groups(mask_and_scale=False)
        level = groups["/level_0"]
        (parametric_map,) = written.parametric_maps
        for index, name in enumerate(("parametric_map", "parametric_map_2")):
            slope, intercept = parametric_map.mapping(index)
            found = level[name]
            assert found.dtype == np.uint16
            assert found.attrs.get("scale_factor", 1.0) == slope
            assert found.attrs.get("add_offset", 0.0) == intercept
            np.testing.assert_array_equal(found[0, 0], parametric_map.stored(0, index))
        assert level.segmentation.dtype == np.uint8
        assert level.segmentation.attrs["scale_factor"] == pytest.approx(1 / 255)


class TestAssociated:
    def test_label_and_overview_have_their_pixels(self, make_slide):
        written = make_slide(label=True, overview=True)
        tree = tree_of(written)
        for name, expected in (("label", written.label), ("overview", written.overview)):
            image = tree["associated"][name].image
            assert image.dims == ("row", "column", "sample")
            np.testing.assert_array_equal(image, expected)
            assert tree["associated"][name].attrs["image_type"][2] == name.upper()


class TestAttributes:
    def test_root_says_which_slide_it_is(self, make_slide):
        written = make_slide()
        expected = {
            "container_identifier": written.container_identifier,
            "frame_of_reference_uid": written.frame_of_reference_uid,
            "study_instance_uid": written.study_instance_uid,
            "manufacturer": "dicomslide",
        }
        assert expected.items() <= tree_of(written).attrs.items()

    def test_levels_say_how_they_were_stored(self, make_slide):
        written = make_slide(factors=(1, 2.5), pixel_spacing=(0.001, 0.0005))
        tree = tree_of(written)
        for level, name in zip(written.levels, ("level_0", "level_1"), strict=True):
            attributes = tree[name].attrs
            dataset = pydicom.dcmread(level.paths[0], stop_before_pixels=True)
            assert attributes["sop_instance_uid"] == dataset.SOPInstanceUID
            assert attributes["series_instance_uid"] == dataset.SeriesInstanceUID
            assert attributes["image_type"] == list(dataset.ImageType)
            assert attributes["transfer_syntax_uid"] == dataset.file_meta.TransferSyntaxUID
            assert attributes["photometric_interpretation"] == "RGB"
            assert attributes["image_orientation_slide"] == list(dataset.ImageOrientationSlide)
            assert attributes["pixel_spacing"] == pytest.approx(
                [0.001 * level.factor, 0.0005 * level.factor]
            )
            assert attributes["downsampling_factor"] == pytest.approx([level.factor] * 2)
            # The point that y and x of all levels are measured from
            assert attributes["total_pixel_matrix_origin"] == list(written.origin)

    def test_associated_images_say_where_they_lie_if_they_know(self, make_slide, tmp_path):
        folder = shutil.copytree(make_slide(overview=True).folder, tmp_path / "slide")
        (path,) = (p for p in folder.iterdir() if pydicom.dcmread(p).ImageType[2] == "OVERVIEW")
        dataset = pydicom.dcmread(path)
        origin = dataset.TotalPixelMatrixOriginSequence[0]
        attributes = open_slide(folder).to_datatree()["associated/overview"].attrs
        assert attributes["total_pixel_matrix_origin"] == [
            float(origin.XOffsetInSlideCoordinateSystem),
            float(origin.YOffsetInSlideCoordinateSystem),
        ]
        assert attributes["image_orientation_slide"] == list(dataset.ImageOrientationSlide)
        for value in ([1, 0, 0, 1, 0, 0], None):
            # Of no use, or not there at all
            dataset.ImageOrientationSlide = value
            dataset.save_as(path)
            attributes = open_slide(folder).to_datatree()["associated/overview"].attrs
            assert "pixel_spacing" not in attributes

    @pytest.mark.parametrize("chunks", ["frames", None])
    def test_all_of_them_survive_json(self, make_slide, chunks):
        for node in tree_of(make_slide(**EVERYTHING), chunks).subtree:
            variables = [node, *node.to_dataset().variables.values()]
            for attributes in (dict(variable.attrs) for variable in variables):
                assert json.loads(json.dumps(attributes, allow_nan=False)) == attributes


FRAMES = {
    "channel": (1, 1),
    "focal_plane": (1, 1),
    "y": (16, 16, 3),
    "x": (24, 21),
    "sample": (1,),
}


class TestChunks:
    @pytest.mark.parametrize("chunks", ["frames", {}, {"y": 1}, {"y": 16, "x": 24}, (16, 24)])
    def test_one_chunk_is_one_frame(self, make_slide, chunks):
        image = tree_of(make_slide(**EVERYTHING), chunks).level_1.image
        assert dict(image.chunksizes) == FRAMES

    @pytest.mark.parametrize("chunks", ["auto", -1, (-1, -1), {"y": -1, "x": -1}])
    def test_larger_chunks_are_whole_frames(self, make_slide, chunks):
        image = tree_of(make_slide(**EVERYTHING), chunks).level_1.image
        assert dict(image.chunksizes) == FRAMES | {"y": (35,), "x": (45,)}

    def test_sizes_are_rounded_to_frames(self, make_slide):
        image = tree_of(make_slide(), {"y": 30, "x": 50}).level_0.image
        assert image.chunks[2:4] == ((32, 32, 6), (48, 42))

    def test_without_chunks_there_is_no_dask(self, make_slide):
        for node in tree_of(make_slide(**EVERYTHING), None).subtree:
            assert all(variable.chunks is None for variable in node.variables.values())

    @pytest.mark.parametrize("chunks", ["frames", "auto", None])
    def test_preferred_chunks_are_the_frames(self, make_slide, chunks):
        level = tree_of(make_slide(**EVERYTHING), chunks).level_1.to_dataset()
        for variable in level.data_vars.values():
            preferred = variable.encoding["preferred_chunks"]
            assert tuple(preferred) == variable.dims
            assert (preferred["y"], preferred["x"]) == (16, 24)
            others = set(variable.dims) - {"y", "x", "sample"}
            assert all(preferred[name] == 1 for name in others)

    @pytest.mark.parametrize("chunks", [{"channel": 0}, {"z": 4}, "tiles", (0, 1), {"y": 0}])
    def test_other_chunks_are_refused(self, make_slide, chunks):
        with pytest.raises(ValueError, match="chunks"):
            tree_of(make_slide(), chunks)


@pytest.fixture
def counted(make_slide, open_all_counted):
    """Makes a slide, and a list of the frames that each call to a source asks for."""

    def make(**options):
        written = make_slide(**options)
        client, datasets = open_all_counted(written.paths)
        return Slide(client, datasets, 0), client.requests, written

    return make


class TestLaziness:
    CHUNKS = ("frames", "auto", None, (32, 48))

    @pytest.mark.parametrize("chunks", CHUNKS)
    def test_building_and_looking_reads_no_frame(self, counted, chunks):
        slide, requests, _ = counted(**EVERYTHING)
        tree = slide.to_datatree(chunks)
        repr(tree)
        tree._repr_html_()
        level = tree.level_0.to_dataset()
        repr(level.image)
        level.sel(channel="1", y=slice(0.01, 0.02)).isel(x=slice(5, 9)).transpose(..., "y")
        tree.map_over_datasets(lambda dataset: dataset.isel(focal_plane=0, missing_dims="ignore"))
        tree.copy()
        assert requests == []

    @pytest.mark.parametrize("chunks", ["frames", None])
    def test_region_reads_exactly_the_frames_that_it_touches(self, counted, chunks):
        slide, requests, written = counted(optical_paths=2, factors=(1, 2))
        level = slide.to_datatree(chunks).level_0.to_dataset()
        # Rows 14 to 33 lie in tile rows 0 to 2, columns 24 to 48 in tile columns 1 and 2
        region = level.image.sel(channel="2", y=slice(13.5 * SPACING, 33.5 * SPACING)).isel(
            focal_plane=0, x=slice(24, 49)
        )
        assert requests == []
        expected = written.levels[0].pixels(optical_path=1)[14:34, 24:49]
        assert float(region.mean()) == pytest.approx(expected.mean(), rel=1e-12)
        # TILED_FULL: the second optical path comes after the 5 x 4 frames of the first
        touched = [20 + row * GRID_COLUMNS + column for row in (0, 1, 2) for column in (1, 2)]
        assert sorted(frame for request in requests for frame in request) == touched

    def test_without_dask_a_region_of_all_channels_is_one_call_for_each_image(self, counted):
        slide, requests, _ = counted(optical_paths=2)
        region = slide.to_datatree(None).level_0.image[:, 0, :20, :20]
        assert requests == []
        region.load()
        assert requests == [[0, 4, 20, 24]]

    def test_larger_chunk_is_one_call(self, counted):
        slide, requests, _ = counted()
        image = slide.to_datatree((32, 48)).level_0.image
        image.data.blocks[0, 0, 1, 1].compute()
        assert requests == [[10, 11, 14, 15]]

    def test_part_of_a_larger_chunk_is_its_frames(self, counted):
        slide, requests, _ = counted()
        image = slide.to_datatree((32, 48)).level_0.image
        image[0, 0, 40, 50].compute()
        assert requests == [[10]]

    def test_computation_reads_each_frame_once(self, counted):
        slide, requests, written = counted()
        level = slide.to_datatree().level_0.to_dataset()
        mask = level.image.max("sample") - level.image.min("sample") > 25
        pixels = written.levels[0].pixels()
        assert int(mask.sum()) == int((pixels.max(-1) - pixels.min(-1) > 25).sum())
        assert sorted(requests) == [[frame] for frame in range(20)]

    @pytest.mark.parametrize("chunks", CHUNKS)
    @settings(max_examples=25)
    @given(data=st.data())
    def test_any_selection_is_that_of_numpy(self, make_slide, chunks, data):
        written = make_slide()
        image = tree_of(written, chunks).level_0.image
        bounds = st.none() | st.integers(-80, 80)
        picks = st.one_of(
            st.integers(-70, 69),
            st.builds(slice, bounds, bounds, st.sampled_from([None, 1, 5])),
            st.sampled_from([slice(None, None, -2), slice(60, 10, -7)]),
            st.lists(st.integers(0, 69), max_size=4),
        )
        y, x = data.draw(picks), data.draw(picks)
        expected = xr.DataArray(written.levels[0].pixels(), dims=("y", "x", "sample"))
        np.testing.assert_array_equal(image[0, 0].isel(y=y, x=x), expected.isel(y=y, x=x))

    @pytest.mark.parametrize("chunks", ["frames", None])
    def test_pickled_tree_has_the_same_pixels(self, make_slide, chunks):
        written = make_slide(**EVERYTHING)
        tree = tree_of(written, chunks)
        data = pickle.dumps(tree)
        # Coordinates and attributes, but no pixels: each of its seven variables stays lazy
        assert len(data) < 150_000
        xr.testing.assert_identical(pickle.loads(data), tree)


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("chunks", "zarr_format"), [("frames", 3), ("auto", 3), (None, 3), (None, 2)]
    )
    def test_tree_comes_back_from_zarr(self, make_slide, tmp_path, chunks, zarr_format):
        tree = tree_of(make_slide(**EVERYTHING), chunks)
        tree.to_zarr(tmp_path / "tree.zarr", zarr_format=zarr_format, consolidated=False)
        back = xr.open_datatree(tmp_path / "tree.zarr", engine="zarr", consolidated=False)
        xr.testing.assert_identical(back.load(), tree.load())

    def test_several_slides_go_into_one_tree(self, make_slide):
        slides = {f"slide_{seed}": make_slide(seed=seed) for seed in (1, 2)}
        trees = {name: tree_of(written) for name, written in slides.items()}
        both = xr.DataTree.from_dict(
            {
                f"{name}{node.path}": node.to_dataset()
                for name, tree in trees.items()
                for node in tree.subtree
            }
        )
        for name, written in slides.items():
            image = both[name].level_0.image[0, 0]
            np.testing.assert_array_equal(image, written.levels[0].pixels())


def test_parameters_of_one_map_stay_together_where_one_mapping_serves_them(make_slide):
    options = ParametricMapOptions("float", parameters=("eosin",), organization="TILED_FULL")
    level = tree_of(make_slide(parametric_maps=(options,))).level_0
    assert level.parametric_map.sizes["parameter"] == 1
    assert level.parameter.values.tolist() == ["EOSIN"]


def test_coordinates_along_channels_are_those_of_the_schema(make_slide):
    written = make_slide(segmentations=("LABELMAP",), parametric_maps=("float",))
    level = tree_of(written)["level_0"].to_dataset()
    for kind in KINDS.values():
        along = {name for name, c in level.coords.items() if c.dims == (kind.dimension,)}
        assert along == set(kind.coordinates)
