"""The example for many slides measures each of them, on threads and on a cluster."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicomslide.testing import write_slide

EXAMPLE = Path(__file__).parents[2] / "examples" / "slides_in_parallel.py"
# Absorbance of red, green and blue by haematoxylin and eosin
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Two slides whose pixels are known."""
    folder = tmp_path_factory.mktemp("slides")
    options = {"transfer_syntax": ExplicitVRLittleEndian, "icc_profile": False}
    return folder, [
        write_slide(folder / str(seed), size=(600, 800), seed=seed, **options) for seed in (1, 2)
    ]


def expected(slide):
    """Area in square millimetres and both densities, at the level of 2 micrometres a pixel."""
    (level,) = (level for level in slide.levels if level.spacing == (0.002, 0.002))
    colours = np.maximum(level.pixels().reshape(-1, 3), 1)
    densities = np.linalg.lstsq(STAINS.T, -np.log10(colours.T / 255), rcond=None)[0]
    tissue = densities.sum(axis=0) > 0.08
    return [tissue.sum() * 0.002**2, *densities[:, tissue].mean(axis=1)]


def printed(*arguments):
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "100%" in done.stdout
    rows = done.stdout.partition("eosin\n")[2].splitlines()
    return [[float(value) for value in re.findall(r" (\d+\.\d+)", row)] for row in rows]


def test_example_computes_the_same_on_threads(slides):
    folder, written = slides
    np.testing.assert_allclose(printed(folder), [expected(slide) for slide in written], atol=6e-4)


def test_example_computes_the_same_on_a_cluster(slides, client):
    folder, written = slides
    found = printed(folder, client.scheduler.address)
    np.testing.assert_allclose(found, [expected(slide) for slide in written], atol=6e-4)
