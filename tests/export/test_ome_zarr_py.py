"""The reader of the project that OME-Zarr comes from finds images, scales, channels and labels."""

import numpy as np
import pytest
from ome_zarr.io import parse_url
from ome_zarr.reader import Reader

from dicomslide.testing import OpticalPath


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_finds_image_and_labels(make_slide, export, channels_first, version):
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
