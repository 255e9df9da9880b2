"""Files of real slides in the viewer: all layers, from single pixels to the whole slide."""

from pathlib import Path

import numpy as np
import pytest

import dicomslide
from dicomslide.viewing.document import make_document
from dicomslide.viewing.scene import Scene
from tests.viewing.conftest import Answer

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
FOLDERS = (
    "3dhistech-bpaec",
    "cmu-1-small-region",
    "highdicom",
    "ims-echo",
    "wsi2dcm",
    "wsi2dcm-2021",
)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", FOLDERS)
def test_all_layers_are_drawn_at_all_distances(name):
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"the real slides of {folder} are not here")
    for slide in dicomslide.open_slides(folder):
        scene = Scene(name, slide)
        description = scene.describe()
        assert make_document(description)
        for layer in range(len(description["layers"])):
            for power in range(scene.powers):
                scene.draw_tile(layer, power, 0, 0, 0, {})
        tile = Answer(200, {}, scene.draw_tile(0, 0, 0, 0, 0, {}).content).pixels
        if scene.describe()["layers"][0]["channels"][0]["is_color"]:
            stored = slide.get_image_region((0, 0), 0, tile.shape[:2])
            np.testing.assert_array_equal(tile, stored)
