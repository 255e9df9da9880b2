"""Levels that a slide does not store: area means, and the most frequent label."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomslide.export import grid
from dicomslide.export.calibration import Calibration
from dicomslide.export.derived import Nearest, Reduced, mean_of_four, mode_of_four
from dicomslide.export.grid import Block
from dicomslide.testing import SegmentationOptions


@pytest.fixture(autouse=True)
def deep(monkeypatch):
    """Many levels and many blocks of small slides."""
    monkeypatch.setattr("dicomslide.export.content._SMALLEST_LEVEL", 12)
    monkeypatch.setattr(grid, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(grid, "_CHUNK_SIDE", 32)


def halved(pixels, make):
    """Two by two elements, or what is left of them at the edges, made one."""
    rows, columns = pixels.shape[-2:]
    out = np.empty((*pixels.shape[:-2], -(-rows // 2), -(-columns // 2)), pixels.dtype)
    for row, column in np.ndindex(*out.shape[-2:]):
        part = pixels[..., 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        out[..., row, column] = make(part)
    return out


def rounded_mean(part):
    return np.floor(part.mean(axis=(-2, -1)) + 0.5)


def most_frequent(part):
    values = part.reshape(-1, part.shape[-2] * part.shape[-1])
    found = [max(Counter(row.tolist()).items(), key=lambda item: item[::-1])[0] for row in values]
    return np.reshape(found, part.shape[:-2])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optical_paths": 2, "focal_planes": 2},
        {"samples": 1, "bits": 16},
        {"samples": 1, "bits": 16, "signed": True},
    ],
)
@pytest.mark.parametrize("sizes", [{}, {"chunks": 16, "shards": 32}])
def test_missing_levels_are_area_means_of_the_level_before(
    make_slide, export, channels_first, options, sizes
):
    written = make_slide(factors=(1, 4), **options)
    group = export(written, levels="dyadic", **sizes)
    shapes = [group[name].shape[2:] for name in sorted(group.array_keys())]
    assert shapes == [(70, 90), (35, 45), (18, 23), (9, 12)]
    counts = options.get("optical_paths", 1), options.get("focal_planes", 1)
    for number, level in ((0, 0), (2, 1)):
        expected = channels_first(written.levels[level], *counts)
        np.testing.assert_array_equal(group[str(number)][...], expected)
        mean = halved(expected.astype(float), rounded_mean)
        np.testing.assert_array_equal(group[str(number + 1)][...], mean)


def test_stored_factors_need_not_be_exact(make_slide, export, channels_first):
    # Sizes of levels are whole numbers, so that their spacing is 3.9 times that of the base level
    written = make_slide(factors=(1, 3.9))
    group = export(written, levels="dyadic")
    np.testing.assert_array_equal(group["2"][...], channels_first(written.levels[1]))


@pytest.mark.parametrize("factors", [(1, 3.87, 4), (1, 4, 4.15)])
def test_of_several_levels_that_are_close_to_a_factor_the_closest_is_kept(
    make_slide, export, channels_first, factors
):
    """Such as a THUMBNAIL image that is about as large as a level."""
    written = make_slide(size=(180, 240), factors=factors)
    group = export(written, levels="dyadic")
    (closest,) = (level for level in written.levels if level.factor == 4)
    np.testing.assert_array_equal(group["2"][...], channels_first(closest))


def test_levels_of_other_factors_are_left_out(make_slide, export, channels_first):
    written = make_slide(factors=(1, 3, 8))
    group = export(written, levels="dyadic")
    assert [group[str(n)].shape[3] for n in range(4)] == [90, 45, 23, 12]
    np.testing.assert_array_equal(group["3"][...], channels_first(written.levels[2]))


def test_floats_keep_their_fractions(make_slide, export):
    written = make_slide(parametric_maps=("float",), factors=(1,))
    group = export(written, levels="dyadic")
    values = np.stack([written.parametric_maps[0].values(0, n) for n in range(2)])[:, np.newaxis]
    expected = halved(values, lambda part: part.mean(axis=(-2, -1)))
    np.testing.assert_allclose(group["parametric_map/1"][...], expected, rtol=1e-6)


class TestLabels:
    @pytest.mark.parametrize("levels", ["stored", "dyadic"])
    def test_missing_levels_have_the_most_frequent_value(self, make_slide, export, levels):
        options = SegmentationOptions("LABELMAP", levels=(0,))
        written = make_slide(segmentations=(options,), factors=(1, 2, 4))
        group = export(written, levels=levels)
        masks = [written.segmentations[0].mask(0, number) for number in (1, 2, 3)]
        finest = sum(n * mask.astype(np.uint8) for n, mask in enumerate(masks, 1))
        np.testing.assert_array_equal(group["labels/label_map/0"][0], finest)
        second = halved(finest[np.newaxis], most_frequent)
        np.testing.assert_array_equal(group["labels/label_map/1"][...], second)
        np.testing.assert_array_equal(
            group["labels/label_map/2"][...], halved(second, most_frequent)
        )

    def test_finer_levels_repeat_what_there_is(self, make_slide, export):
        options = SegmentationOptions("BINARY", levels=(1,))
        written = make_slide(segmentations=(options,), factors=(1, 2))
        group = export(written)
        coarse = written.segmentations[0].mask(1, 2)
        expected = coarse.repeat(2, axis=0).repeat(2, axis=1)[:70, :90]
        np.testing.assert_array_equal(group["labels/epithelium/0"][0] == 2, expected)
        np.testing.assert_array_equal(group["labels/epithelium/1"][0] == 2, coarse)

    def test_levels_of_odd_factors_take_the_nearest_element(self, make_slide, export):
        options = SegmentationOptions("BINARY", levels=(0,))
        written = make_slide(segmentations=(options,), factors=(1, 3))
        group = export(written)
        mask = written.segmentations[0].mask(0, 1)
        # The centre of three elements is the second of them
        centres = [np.minimum(3 * np.arange(-(-n // 3)) + 1, n - 1) for n in mask.shape]
        np.testing.assert_array_equal(group["labels/nucleus/1"][0], mask[np.ix_(*centres)])

    def test_segments_at_no_level_of_the_image_are_left_out_with_a_warning(
        self, make_slide, export
    ):
        options = SegmentationOptions("BINARY", levels=(1,))
        written = make_slide(segmentations=(options,), factors=(1, 3))
        with pytest.warns(UserWarning, match=r"segment .* is left out") as caught:
            group = export(written, levels="dyadic")
        assert len(caught) == 3
        assert "labels" not in group

    def test_fractions_have_area_means(self, make_slide, export):
        options = SegmentationOptions("FRACTIONAL", levels=(0,))
        written = make_slide(segmentations=(options,), factors=(1, 2))
        group = export(written)
        mask = written.segmentations[0].mask(0, 1).astype(float)[np.newaxis]
        np.testing.assert_array_equal(group["labels/nucleus/1"][...], halved(mask, rounded_mean))


ELEMENTS = st.tuples(*[st.integers(0, 255)] * 4)


@given(values=ELEMENTS, dtype=st.sampled_from([np.uint8, np.uint16, np.int16, np.uint32, np.int32]))
def test_mean_of_integers_is_the_nearest_one(values, dtype):
    arrays = [np.full((2, 3), value, dtype) for value in values]
    found = mean_of_four(*arrays)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, int(np.floor(sum(values) / 4 + 0.5)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32])
def test_mean_of_extremes_does_not_overflow(dtype):
    for value in (np.iinfo(dtype).min, np.iinfo(dtype).max):
        part = np.full((1, 1), value, dtype)
        assert mean_of_four(part, part, part, part) == part


@given(values=st.tuples(*[st.integers(0, 3)] * 4))
def test_mode_is_the_most_frequent_value_and_the_largest_of_several(values):
    found = mode_of_four(*(np.full((1,), value, np.uint8) for value in values))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, most_frequent(np.reshape(values, (1, 2, 2))))


@given(data=st.data())
def test_blocks_of_a_derived_level_fit_together(data):
    rows, columns = (data.draw(st.integers(1, 40)) for _ in range(2))
    times = data.draw(st.integers(1, 3))
    rule = Reduced(mean_of_four, times)
    source = np.arange(rows * columns, dtype=np.int32).reshape(1, 1, rows, columns)
    shape = [-(-n // 2**times) + data.draw(st.integers(0, 1)) for n in (rows, columns)]
    whole = Block((0, 0, 0, 0), (1, 1, *shape))
    expected = rule.make(whole, source)
    assert expected.shape == whole.shape
    cut = [data.draw(st.integers(0, n - 1)) for n in shape]
    block = Block((0, 0, *cut), (1, 1, *shape))
    part = rule.make(block, source[rule.source(block, source.shape).region])
    np.testing.assert_array_equal(part, expected[:, :, cut[0] :, cut[1] :])


@given(factor=st.floats(0.2, 5), shift=st.floats(-3, 3), count=st.integers(1, 30), data=st.data())
def test_nearest_element_is_the_one_that_holds_the_centre(factor, shift, count, data):
    here = Calibration((1, factor, factor), (0, shift, shift))
    there = Calibration((1, 1, 1), (0, 0, 0))
    source = np.arange(20 * 20).reshape(1, 1, 20, 20)
    first = data.draw(st.integers(0, count - 1))
    block = Block((0, 0, first, first), (1, 1, count, count))
    rule = Nearest(here, there)
    found = rule.make(block, source[rule.source(block, source.shape).region])
    centres = shift + factor * np.arange(first, count)
    nearest = np.clip(np.floor(np.round(centres + 0.5, 6)), 0, 19).astype(int)
    np.testing.assert_array_equal(found[0, 0], source[0, 0][np.ix_(nearest, nearest)])
