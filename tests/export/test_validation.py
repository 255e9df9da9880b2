"""Libraries of others find the metadata of every version valid, and read the pixels."""

import json

import ngff_zarr
import numpy as np
import ome_zarr_models.v04
import ome_zarr_models.v05
import pytest
from ngff_zarr import structural_validation
from ngff_zarr.v06.zarr_metadata import Metadata
from ngff_zarr.validate import validate

from dicomslide.testing import ORIENTATIONS, OpticalPath, orientation_from_angle

VERSIONS = ("0.4", "0.5", "0.6")
MODELS = {"0.4": ome_zarr_models.v04, "0.5": ome_zarr_models.v05}
SLIDES = [
    {"factors": (1, 2, 3.3)},
    {"factors": (1, 2, 4), "segmentations": ("LABELMAP", "BINARY"), "overview": True},
    {"samples": 1, "bits": 16, "optical_paths": 3, "focal_planes": 2, "factors": (1, 4)},
    {"optical_paths": 2, "orientation": orientation_from_angle(30), "factors": (1, 4)},
    {"samples": 1, "optical_paths": (OpticalPath("dapi", None, 385.0), OpticalPath("2"))},
]


def groups_of(group, image_of):
    """Paths of all images, and of the group of labels."""
    labels = image_of(group, "labels")["labels"] if "labels" in group else []
    parts = [name for name in group if name.startswith("parametric_map")]
    associated = [f"associated/{name}" for name in group.get("associated", ())]
    return ["", *parts, *associated], [f"labels/{name}" for name in labels]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("number", "levels"),
    [*[(number, "stored") for number in range(len(SLIDES))], (1, "dyadic"), (-1, "dyadic")],
)
def test_schemas_and_models_accept_all_images_and_labels(
    make_slide, export, everything, image_of, version, levels, number
):
    options = everything if number < 0 else SLIDES[number]
    group = export(make_slide(**options), version=version, levels=levels, associated=True)
    images, labels = groups_of(group, image_of)
    assert len(images) == (1, 2, 1, 1, 1, 6)[number]
    assert len(labels) == (0, 4, 0, 0, 0, 7)[number]
    for path in [*images, *labels]:
        # As the file has it, not as an object that was made of it
        attributes = json.loads(json.dumps((group[path] if path else group).attrs.asdict()))
        validate(attributes, version=version, model="image", strict=True)
        if path in labels:
            validate(attributes, version=version, model="label", strict=True)
    if version in MODELS:
        check_models(MODELS[version], group, images, labels)


def check_models(models, group, images, labels):
    """Check metadata and arrays together, as ome-zarr-models does."""
    for path in images:
        image = models.Image.from_zarr(group[path] if path else group)
        (multiscale,) = image.ome_attributes.multiscales
        assert multiscale.ndim == 4
    if labels:
        found = models.Labels.from_zarr(group["labels"]).ome_attributes.labels
        assert [f"labels/{name}" for name in found] == labels
    for path in labels:
        assert models.ImageLabel.from_zarr(group[path]).ome_attributes.image_label


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("levels", ["stored", "dyadic"])
class TestNgffZarr:
    def read(self, group, path=""):
        return ngff_zarr.from_ome_zarr(str(group.store.root / path), validate=True)

    def test_ngff_zarr_finds_pixels_scales_and_places(
        self, make_slide, export, channels_first, version, levels
    ):
        written = make_slide(factors=(1, 2, 4), optical_paths=2, pixel_spacing=(0.001, 0.0005))
        multiscales = self.read(export(written, version=version, levels=levels))
        assert len(multiscales.images) == 3
        structural_validation.validate_structural(multiscales.metadata)
        for level, image in zip(written.levels, multiscales.images, strict=True):
            np.testing.assert_array_equal(np.asarray(image.data), channels_first(level, 2))
            assert tuple(image.dims) == ("c", "z", "y", "x")
            assert image.axes_units["y"] == image.axes_units["x"] == "micrometer"
            factor, shift = level.factor, (level.factor - 1) / 2
            assert image.scale == pytest.approx({"c": 1, "z": 1, "y": factor, "x": factor * 0.5})
            place = {"c": 0, "z": 0, "y": shift, "x": shift * 0.5}
            assert image.translation == pytest.approx(place, abs=1e-5)

    def test_ngff_zarr_finds_labels(self, make_slide, export, version, levels):
        written = make_slide(factors=(1, 2), segmentations=("LABELMAP",))
        group = export(written, version=version, levels=levels)
        labels = self.read(group, "labels/label_map")
        for level, image in enumerate(labels.images):
            masks = [written.segmentations[0].mask(level, number) for number in (1, 2, 3)]
            expected = sum(n * mask.astype(int) for n, mask in enumerate(masks, 1))
            np.testing.assert_array_equal(np.asarray(image.data)[0], expected)


@pytest.mark.parametrize("orientation", [*ORIENTATIONS, orientation_from_angle(30)])
def test_ngff_zarr_finds_the_slide_coordinate_system(make_slide, export, orientation):
    written = make_slide(orientation=orientation)
    multiscales = ngff_zarr.from_ome_zarr(str(export(written, version="0.6").store.root))
    metadata = multiscales.metadata
    assert isinstance(metadata, Metadata)
    assert [system.name for system in metadata.coordinateSystems] == ["physical", "slide"]
    assert metadata.intrinsic_coordinate_system.name == "physical"
    (affine,) = metadata.coordinateTransformations
    affine.validate(metadata.coordinateSystems)
    assert (affine.input.name, affine.output.name) == ("physical", "slide")
    found = np.array(affine.affine) @ [0, 0, 0, 0, 1]
    x, y = written.origin
    np.testing.assert_allclose(found, [0, 0, y * 1000, x * 1000], atol=1e-4)
