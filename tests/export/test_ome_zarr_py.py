"""The reader of the project that OME-Zarr comes from finds images, scales, channels and labels."""

import shutil

import numpy as np
import pytest
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader
from pydicom.dataset import Dataset

from dicomslide import open_slide, to_ome_zarr
from dicomslide.testing import OpticalPath
from tests.multiplex import change_files


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_py_finds_image_and_labels(make_slide, export, channels_first, version):
    paths = (OpticalPath("1", "Nuclei", 385.0), OpticalPath("2", "Fibres", 475.0))
    written = make_slide(
        factors=(1, 2, 4), samples=1, optical_paths=paths, segmentations=("BINARY",)
    )
    nodes = list(Reader(parse_url(str(export(written, version=version).store.root)))())
    image = nodes[0]
    assert len(image.data) == 3
    for level, data in zip(written.levels, image.data, strict=True):
        np.testing.assert_array_equal(data.compute(), channels_first(level, 2))
    transforms = image.metadata["coordinateTransformations"]
    scales = [transform[0]["scale"] for transform in transforms]
    assert scales == [pytest.approx([1, 1, f * 0.5, f * 0.5]) for f in (1, 2, 4)]
    assert [axis["name"] for axis in image.metadata["axes"]] == ["c", "z", "y", "x"]
    assert image.metadata["channel_names"] == ["Nuclei", "Fibres"]
    assert image.metadata["contrast_limits"][0][1] <= 255

    segmentation = written.segmentations[0]
    labels = [node for node in nodes if node is not image and "color" in node.metadata]
    assert len(labels) == 3
    for number, (name, node) in enumerate(zip(segmentation.segments, labels, strict=True), 1):
        for level in segmentation.levels:
            expected = number * segmentation.mask(level, number)
            np.testing.assert_array_equal(node.data[level].compute()[0], expected)
        assert node.metadata["properties"][number]["name"] == name


def test_ome_zarr_py_reads_names_colours_windows_and_units(make_slide, tmp_path):
    """The plugin of napari makes layers of viewers in the same way."""
    paths = OpticalPath("1", "Green"), OpticalPath("2", "Red")
    written = make_slide(
        factors=(1, 2), samples=1, optical_paths=paths, focal_planes=3, segmentations=("LABELMAP",)
    )

    def change(dataset):
        if "OpticalPathSequence" in dataset:
            window = Dataset()
            window.WindowCenter, window.WindowWidth = 100, 60
            dataset.SharedFunctionalGroupsSequence[0].FrameVOILUTSequence = [window]

    folder = tmp_path / "slide"
    shutil.copytree(written.folder, folder)
    change_files(folder.glob("*.dcm"), change)
    to_ome_zarr(open_slide(folder), tmp_path / "slide.zarr")
    nodes = list(Reader(parse_url(str(tmp_path / "slide.zarr")))())
    image = nodes[0]
    about = image.metadata
    assert about["channel_names"] == ["Green", "Red"]
    assert [bounds[1] for bounds in about["colormap"]] == [[0, 1, 0], [1, 0, 0]]
    assert about["contrast_limits"] == [[70, 130], [70, 130]]
    assert [axis.get("unit") for axis in about["axes"]] == [None, *["micrometer"] * 3]
    assert about["coordinateTransformations"][0][0]["scale"] == [1, 1.5, 0.5, 0.5]
    (labels,) = [node for node in nodes[1:] if "color" in node.metadata]
    # A layer of labels has the dimensions of a layer of one channel
    assert labels.data[0].shape == image.data[0].shape[1:]
