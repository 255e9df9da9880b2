"""Segments and label maps as label images: values, colours, meanings."""

import numpy as np
import pydicom
import pytest
import zarr

from dicomslide import open_slide, to_ome_zarr
from dicomslide.testing import SegmentationOptions

# Colours that the synthetic segmentations ask for, which CIELab values keep to one step
COLORS = {"nucleus": (60, 60, 220), "epithelium": (40, 170, 90), "stroma": (230, 120, 160)}


def label_of(image_of, group, name):
    return image_of(group, f"labels/{name}")["image-label"]


def colors_of(label):
    return {color["label-value"]: color["rgba"] for color in label["colors"]}


def test_binary_segments_are_label_images_of_their_number(make_slide, export, image_of):
    written = make_slide(segmentations=("BINARY",), factors=(1, 2))
    (segmentation,) = written.segmentations
    group = export(written)
    assert image_of(group, "labels")["labels"] == ["nucleus", "epithelium", "stroma"]
    for number, name in enumerate(("nucleus", "epithelium", "stroma"), 1):
        for level in (0, 1):
            stored = group[f"labels/{name}/{level}"]
            assert stored.dtype == np.uint8
            assert stored.shape == (1, *written.levels[level].size)
            np.testing.assert_array_equal(stored[0], number * segmentation.mask(level, number))


def test_label_map_is_one_label_image_and_its_segments_are_not_repeated(
    make_slide, export, image_of
):
    written = make_slide(segmentations=("LABELMAP",))
    group = export(written)
    assert image_of(group, "labels")["labels"] == ["label_map"]
    masks = [written.segmentations[0].mask(0, number) for number in (1, 2, 3)]
    expected = sum(n * mask.astype(int) for n, mask in enumerate(masks, 1))
    np.testing.assert_array_equal(group["labels/label_map/0"][0], expected)


def test_fractions_are_as_they_were_stored(make_slide, export, image_of):
    written = make_slide(segmentations=("FRACTIONAL",), factors=(1, 2))
    group = export(written)
    for number, name in enumerate(("nucleus", "epithelium", "stroma"), 1):
        for level in (0, 1):
            expected = written.segmentations[0].mask(level, number)
            np.testing.assert_array_equal(group[f"labels/{name}/{level}"][0], expected)
    label = label_of(image_of, group, "nucleus")
    colors = colors_of(label)
    assert sorted(colors) == list(range(1, 256))
    # The opacity is the fraction
    assert [rgba[3] for _, rgba in sorted(colors.items())] == list(range(1, 256))
    half = next(p for p in label["properties"] if p["label-value"] == 51)
    assert half["fraction"] == pytest.approx(0.2)


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_colours_are_those_that_are_recommended(make_slide, export, image_of, version, kind):
    group = export(make_slide(segmentations=(kind,)), version=version)
    for number, (name, expected) in enumerate(COLORS.items(), 1):
        label = label_of(image_of, group, "label_map" if kind == "LABELMAP" else name)
        rgba = colors_of(label)[255 if kind == "FRACTIONAL" else number]
        assert rgba[3] == 255
        assert np.abs(np.subtract(rgba[:3], expected)).max() <= 1


def test_segments_without_a_colour_get_different_ones(make_slide, export, image_of, tmp_path):
    written = make_slide(segmentations=("BINARY",))
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        for item in dataset.get("SegmentSequence", ()):
            del item.RecommendedDisplayCIELabValue
        dataset.save_as(tmp_path / path.name)
    changed = type("Written", (), {"folder": tmp_path})
    group = export(changed, associated=False)
    colors = [
        tuple(colors_of(label_of(image_of, group, name))[number])
        for number, name in enumerate(COLORS, 1)
    ]
    assert len(set(colors)) == 3


@pytest.mark.parametrize("version", ["0.4", "0.5", "0.6"])
def test_properties_say_what_segments_are(make_slide, export, image_of, version):
    group = export(make_slide(segmentations=("BINARY", "LABELMAP")), version=version)
    label = label_of(image_of, group, "epithelium")
    (properties,) = label["properties"]
    assert properties == {
        "label-value": 2,
        "segment": 2,
        "name": "Epithelium",
        "category": "Tissue",
        "type": "Epithelium",
        "algorithm": "AUTOMATIC",
    }
    assert label["source"] == {"image": "../../"}
    assert label.get("version") == ("0.4" if version == "0.4" else None)
    names = {
        p["label-value"]: p["name"] for p in label_of(image_of, group, "label_map")["properties"]
    }
    assert names == {1: "Nucleus", 2: "Epithelium", 3: "Stroma"}


def test_equal_segments_of_two_segmentations_are_not_mixed_up(make_slide, export):
    options = (
        SegmentationOptions(segments=("nucleus",)),
        SegmentationOptions(segments=("nucleus",), levels=(0,)),
        SegmentationOptions(segments=("tissue",)),
    )
    written = make_slide(segmentations=options)
    group = export(written)
    assert sorted(group["labels"]) == ["nucleus", "nucleus_2", "tissue"]
    for name, segmentation in zip(
        ("nucleus", "nucleus_2", "tissue"), written.segmentations, strict=True
    ):
        np.testing.assert_array_equal(group[f"labels/{name}/0"][0], segmentation.mask(0, 1))


def test_names_keep_their_underscores(make_slide, image_of, tmp_path):
    """Names of a label map are not taken from the words of the flags of CF."""
    written = make_slide(segmentations=("LABELMAP",))
    labels = {1: "CD3_positive", 2: "CD3 negative", 3: "a_b c"}
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        for item in dataset.get("SegmentSequence") or ():
            if item.SegmentNumber in labels:
                item.SegmentLabel = labels[item.SegmentNumber]
        dataset.save_as(tmp_path / path.name)
    to_ome_zarr(open_slide(tmp_path), tmp_path / "slide.zarr")
    label = label_of(image_of, zarr.open_group(tmp_path / "slide.zarr"), "label_map")
    assert {p["label-value"]: p["name"] for p in label["properties"]} == labels


def test_labels_can_be_left_out(make_slide, export):
    assert "labels" not in export(make_slide(segmentations=("BINARY",)), labels=False)


def test_label_images_have_as_many_levels_as_their_image(make_slide, export, everything, image_of):
    group = export(make_slide(**everything))
    for name in image_of(group, "labels")["labels"]:
        for level in ("0", "1", "2"):
            assert group[f"labels/{name}/{level}"].shape[1:] == group[level].shape[2:]
            # Focal planes, and no channels
            assert group[f"labels/{name}/{level}"].shape[0] == 2
