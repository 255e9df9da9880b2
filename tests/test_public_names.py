"""What is documented can be imported from where it is documented."""

import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys

import pytest

import dicomslide

DOCUMENTED = {
    "ChannelTypes",
    "ImageFlavors",
    "OpenSlide",
    "Pyramid",
    "PyramidLevel",
    "Slide",
    "TiledImage",
    "TotalPixelMatrix",
    "TotalPixelMatrixSampler",
    "assemble_total_pixel_matrix",
    "compute_frame_positions",
    "compute_image_center_position",
    "disassemble_total_pixel_matrix",
    "does_optical_path_item_match",
    "does_segment_item_match",
    "does_specimen_description_item_match",
    "find_slides",
    "get_image_pixel_spacing",
    "get_image_size",
    "is_image",
    "is_label_image",
    "is_overview_image",
    "is_tiled_image",
    "is_volume_image",
    "select_image_at_magnification",
    "select_image_at_pixel_spacing",
    "sort_images_by_pixel_spacing",
    "sort_images_by_size",
}
# Import paths that the API documentation names, and that users of it import from
PLACES = {
    "dicomslide.enum": {"ChannelTypes", "ImageFlavors"},
    "dicomslide.image": {"TiledImage"},
    "dicomslide.matrix": {"TotalPixelMatrix", "TotalPixelMatrixSampler"},
    "dicomslide.openslide": {"OpenSlide"},
    "dicomslide.pyramid": {
        "Pyramid",
        "PyramidLevel",
        "compute_image_center_position",
        "get_image_pixel_spacing",
        "get_image_size",
        "select_image_at_magnification",
        "select_image_at_pixel_spacing",
        "sort_images_by_pixel_spacing",
        "sort_images_by_size",
    },
    "dicomslide.slide": {"Slide", "find_slides"},
    "dicomslide.tile": {
        "assemble_total_pixel_matrix",
        "compute_frame_positions",
        "disassemble_total_pixel_matrix",
    },
}
# Signatures as the API documentation gives them; what follows may have been added
SIGNATURES = {
    "OpenSlide": "slide",
    "Pyramid": "metadata, tolerance, ref_metadata=None",
    "Slide": "client, image_metadata, max_frame_cache_size=6, pyramid_tolerance=0.1",
    "TiledImage": "client, image_metadata, max_frame_cache_size=6",
    "TotalPixelMatrix": (
        "client, image_metadata, channel_index=0, focal_plane_index=0, max_frame_cache_size=9, "
        "correct_color=True"
    ),
    "TotalPixelMatrixSampler": (
        "matrix, region_dimensions, bounding_box=None, tile_grid_positions=None, padding=0"
    ),
    "assemble_total_pixel_matrix": (
        "tiles, tile_positions, total_pixel_matrix_rows, total_pixel_matrix_columns"
    ),
    "compute_frame_positions": "image",
    "compute_image_center_position": "image",
    "disassemble_total_pixel_matrix": "total_pixel_matrix, tile_positions, rows, columns",
    "does_optical_path_item_match": (
        "item, identifier=None, description=None, illumination_wavelength=None"
    ),
    "does_segment_item_match": (
        "item, number=None, label=None, property_category=None, property_type=None"
    ),
    "does_specimen_description_item_match": "item, specimen_stain=None",
    "find_slides": (
        "client, study_instance_uid=None, patient_id=None, study_id=None, container_id=None, "
        "max_frame_cache_size=6, pyramid_tolerance=0.1, fail_on_error=True, include_derived=True, "
        "specimen_stains=None, optical_path_ids=None"
    ),
    "get_image_pixel_spacing": "image",
    "get_image_size": "image",
    "is_image": "dataset",
    "is_label_image": "dataset",
    "is_overview_image": "dataset",
    "is_tiled_image": "dataset",
    "is_volume_image": "dataset",
    "select_image_at_magnification": "collection, magnification, tolerance=None",
    "select_image_at_pixel_spacing": "collection, pixel_spacing, tolerance=None",
    "sort_images_by_pixel_spacing": "collection",
    "sort_images_by_size": "collection",
}
# Importing the other one runs the command
MODULES = sorted(
    {module.name for module in pkgutil.walk_packages(dicomslide.__path__, "dicomslide.")}
    - {"dicomslide.__main__"}
)


def test_documented_names_are_in_the_package():
    assert set(dicomslide.__all__) >= DOCUMENTED


@pytest.mark.parametrize(
    ("module", "name"), sorted((module, name) for module, names in PLACES.items() for name in names)
)
def test_documented_names_are_in_their_modules(module, name):
    assert getattr(importlib.import_module(module), name) is getattr(dicomslide, name)


@pytest.mark.parametrize(("name", "expected"), SIGNATURES.items())
def test_documented_arguments_can_be_given_by_position_and_by_name(name, expected):
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(getattr(dicomslide, name)).parameters.values()
    ]
    count = expected.count(",") + 1
    assert ", ".join(map(str, parameters[:count])) == expected
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters[:count])
    assert all(p.default is not p.empty for p in parameters[count:])


@pytest.mark.parametrize("module", ["dicomslide", *MODULES])
class TestModule:
    def test_names_that_it_offers_exist_once_and_in_order(self, module):
        names = getattr(importlib.import_module(module), "__all__", [])
        # Constants, then classes, then functions
        assert list(names) == sorted(set(names), key=lambda n: (not n.isupper(), n))
        assert all(hasattr(importlib.import_module(module), name) for name in names)

    def test_everything_that_it_offers_is_documented(self, module):
        imported = importlib.import_module(module)
        assert inspect.getdoc(imported)
        for name in getattr(imported, "__all__", []):
            offered = getattr(imported, name)
            if inspect.isclass(offered) or inspect.isfunction(offered):
                assert inspect.getdoc(offered), name


def test_names_of_the_package_are_documented_where_they_lead():
    for name in dicomslide.__all__:
        assert inspect.getdoc(getattr(dicomslide, name)), name


@pytest.mark.parametrize(
    "public",
    [
        dicomslide.OpenSlide,
        dicomslide.Pyramid,
        dicomslide.Slide,
        dicomslide.TiledImage,
        dicomslide.TotalPixelMatrix,
        dicomslide.TotalPixelMatrixSampler,
    ],
)
def test_public_methods_are_documented(public):
    for name, member in inspect.getmembers(public):
        if not name.startswith("_") and (callable(member) or isinstance(member, property)):
            assert inspect.getdoc(member), name


def test_version_is_one():
    assert re.match(r"\d+\.\d+", dicomslide.__version__)


IMPORTED = """
import json, sys
from dicomslide import *
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
print(json.dumps([name for name in sys.modules if name.startswith("dicomslide.testing")]))
"""


def test_import_needs_nothing_that_only_tests_need():
    output = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    packages, testing = map(json.loads, output.splitlines())
    only_tests = {"pytest", "hypothesis", "openslide", "wsidicom", "ome_zarr_models", "matplotlib"}
    assert not only_tests & set(packages)
    assert testing == []
