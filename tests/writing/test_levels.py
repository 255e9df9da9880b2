"""Results at all levels: one pyramid, each level computed from the one before."""

import highdicom as hd
import numpy as np
import pydicom
import pytest

from dicomslide import write_parametric_map, write_segmentation
from tests.writing.results import (
    ALGORITHM,
    CATEGORY,
    LEVELS,
    NUCLEUS,
    SEGMENTS,
    assert_same_place,
    labels_on,
    open_with,
    plane_of,
)


@pytest.fixture(params=["centres", "same"])
def written(request, make_slide):
    return make_slide(**LEVELS, level_origins=request.param)


def areas(values, size):
    """The four pixels in the area of each pixel of a level of half the size; odd edges repeat."""
    missing = [max(2 * n - m, 0) for n, m in zip(size, values.shape, strict=True)]
    padded = np.pad(values, [(0, n) for n in missing], "edge")[: 2 * size[0], : 2 * size[1]]
    return padded.reshape(size[0], 2, size[1], 2).swapaxes(1, 2).reshape(*size, 4)


def mode(values, size):
    """The most frequent label, the smallest of equally frequent ones."""
    counts = np.stack([(areas(values, size) == label).sum(axis=-1) for label in range(3)])
    return counts.argmax(axis=0)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_labels_of_smaller_levels_are_the_most_frequent_ones(written, slide, tmp_path, kind):
    labels = labels_on(slide, 0)
    results = write_segmentation(
        labels,
        tmp_path,
        slide=slide,
        segments=SEGMENTS,
        algorithm=ALGORITHM,
        segmentation_type=kind,
        levels="all",
    )
    assert [result.level for result in results] == [0, 1, 2]
    stored = [pydicom.dcmread(result.path) for result in results]
    assert len({dataset.PyramidUID for dataset in stored}) == 1
    assert len({dataset.SeriesInstanceUID for dataset in stored}) == 1
    assert len({dataset.SOPInstanceUID for dataset in stored}) == 3
    assert [dataset.InstanceNumber for dataset in stored] == [1, 2, 3]
    tree = open_with(written, *(result.path for result in results)).to_datatree()
    expected = labels.values
    for level in range(3):
        node = tree[f"level_{level}"]
        assert_same_place(node, plane_of(slide, level))
        found = node["segmentation"].isel(focal_plane=0)
        if level:
            size = found.shape[1:]
            if kind == "BINARY":
                expected = [(areas(layer, size).sum(axis=-1) > 2) for layer in expected]
            else:
                expected = mode(expected, size)
        elif kind == "BINARY":
            expected = [expected == 1, expected == 2]
        layers = expected if kind == "BINARY" else [expected == 1, expected == 2]
        np.testing.assert_array_equal(found, layers)


def test_values_of_smaller_levels_are_means_of_what_is_known(written, slide, tmp_path):
    plane = plane_of(slide, 0)
    values = plane.copy(data=np.random.default_rng(1).random(plane.shape, np.float32))
    values[3:20, 5:40] = np.nan
    results = write_parametric_map(
        values, tmp_path, slide=slide, parameters={"a": ("1", "UCUM", "no units")}, levels="all"
    )
    tree = open_with(written, *(result.path for result in results)).to_datatree()
    expected = values.values
    for level in range(1, 3):
        found = tree[f"level_{level}/parametric_map"].isel(parameter=0, focal_plane=0)
        known = areas(expected, found.shape)
        none = np.isnan(known).all(axis=-1)
        expected = np.nanmean(np.where(none[..., np.newaxis], 0, known), axis=-1)
        expected[none] = np.nan
        # Means are stored with the precision of the values
        expected = expected.astype(np.float32)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_fractions_of_a_part_of_a_smaller_level_are_means(written, slide, tmp_path):
    part = plane_of(slide, 1)[4:20, 6:30]
    fractions = part.copy(data=np.full(part.shape, 0.8))
    results = write_segmentation(
        fractions,
        tmp_path,
        slide=slide,
        segments={"a": (CATEGORY, NUCLEUS)},
        algorithm=ALGORITHM,
        levels="all",
    )
    assert [result.level for result in results] == [1, 2]
    tree = open_with(written, *(result.path for result in results)).to_datatree()
    found = tree["level_2/segmentation"].isel(segment=0, focal_plane=0)
    expected = np.zeros(found.shape, np.float32)
    expected[2:10, 3:15] = np.float32(0.8)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_highdicom_reads_each_level(slide, tmp_path):
    labels = labels_on(slide, 1)
    results = write_segmentation(
        labels, tmp_path, slide=slide, segments=SEGMENTS, algorithm=ALGORITHM, levels="all"
    )
    read = [hd.seg.segread(result.path) for result in results]
    sizes = [(image.TotalPixelMatrixRows, image.TotalPixelMatrixColumns) for image in read]
    assert sizes == list(slide.total_pixel_matrix_dimensions[1:])


def test_a_pyramid_needs_a_folder_and_a_level(slide, tmp_path):
    labels = labels_on(slide, 0)
    options = {"slide": slide, "segments": SEGMENTS, "algorithm": ALGORITHM, "levels": "all"}
    with pytest.raises(ValueError, match="is a file, several are written"):
        write_segmentation(labels, tmp_path / "out.dcm", **options)
    with pytest.raises(ValueError, match="those of no level"):
        write_segmentation(labels.coarsen(y=3, x=3, boundary="trim").max(), tmp_path, **options)
    with pytest.raises(TypeError, match="several instances"):
        write_segmentation(labels, tmp_path, **options, sop_instance_uid="1.2.3")
    assert list(tmp_path.iterdir()) == []
