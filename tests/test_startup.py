"""Processes import what they use, and nothing more."""

import ast
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import dicomslide

# What takes long to import, and only some programs need
LARGE = {
    "dask.array",
    "dicomweb_client",
    "highdicom",
    "numcodecs",
    "ome_zarr_models",
    "pydicom.sr",
    "rich",
    "xarray",
    "zarr",
}
LIBRARIES = LARGE | {"PIL", "dask", "fsspec", "imagecodecs", "numpy", "pydicom", "requests"}
COMMAND = """
import contextlib, io
from dicomslide.cli import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main({arguments!r})
"""


def modules_after(code: str) -> set[str]:
    """Run a program, and find the modules that it has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env=dict(os.environ, PYTHONPATH=str(Path(dicomslide.__file__).parents[1])),
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def slide_folder(make_slide):
    return str(make_slide().folder)


def test_the_package_alone_imports_no_library():
    assert not modules_after("import dicomslide") & LIBRARIES


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_command_tells_about_itself_without_any_library(option):
    assert not modules_after(COMMAND.format(arguments=[option])) & LIBRARIES


def test_a_slide_is_opened_and_read_without_large_libraries(slide_folder):
    code = f"""
import dicomslide
slide = dicomslide.open_slide({slide_folder!r})
assert slide.get_image_region((0, 0), 0, (16, 16)).shape == (16, 16, 3)
"""
    assert not modules_after(code) & LARGE


def test_openslide_reads_without_large_libraries(slide_folder):
    code = f"""
import dicomslide
slide = dicomslide.OpenSlide({slide_folder!r})
assert slide.read_region((0, 0), 0, (16, 16)).size == (16, 16)
"""
    assert not modules_after(code) & LARGE


def test_info_needs_tables_and_nothing_else(slide_folder):
    found = modules_after(COMMAND.format(arguments=["info", slide_folder]))
    assert found & LARGE == {"rich"}


def test_thumbnail_needs_no_arrays_of_dask(slide_folder, tmp_path):
    picture = str(tmp_path / "thumbnail.png")
    found = modules_after(COMMAND.format(arguments=["thumbnail", slide_folder, picture]))
    assert Path(picture).exists()
    assert found & LARGE == {"rich"}


def test_xarray_learns_of_the_engine_without_more_than_itself():
    found = modules_after("import dicomslide.tree.backend")
    own = {name for name in found if name.startswith("dicomslide")}
    assert own == {
        "dicomslide",
        "dicomslide.errors",
        "dicomslide.tree",
        "dicomslide.tree.backend",
    }
    assert not found & (LARGE - {"xarray"})


def test_type_checkers_and_programs_are_told_the_same_names():
    tree = ast.parse(Path(dicomslide.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    told = {
        (name.asname, f"{node.module}.{name.name}")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    found = {(name, f"dicomslide.{place}.{name}") for name, place in dicomslide._PLACES.items()}
    assert told == found


def test_all_names_are_listed_before_they_are_used():
    code = "import dicomslide\nassert set(dir(dicomslide)) >= {*dicomslide.__all__, '__version__'}"
    assert not modules_after(code) & LIBRARIES


def test_the_package_has_its_modules():
    assert "dicomslide.slide" in modules_after("import dicomslide\ndicomslide.slide.Slide")


def test_other_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="'dicomslide' has no attribute 'Slides'"):
        dicomslide.Slides  # noqa: B018


@pytest.mark.parametrize("name", dicomslide.__all__)
def test_names_are_pickled_where_they_are(name):
    value = getattr(dicomslide, name)
    assert pickle.loads(pickle.dumps(value)) is value


def test_bounds_that_are_set_before_the_first_slide_are_used():
    code = """
import dask, dicomslide
dask.config.set({"dicomslide.keep.open-files": 3})
from dicomslide.bounds import bound
assert (bound("open-files"), bound("file-starts")) == (3, 32 * 2**20)
"""
    assert "dicomslide.bounds" in modules_after(code)
