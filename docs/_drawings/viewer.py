"""Takes the picture of the viewer, in Chromium: ``python docs/_drawings/viewer.py [FOLDER]``."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

import dicomslide
from dicomslide.testing import SegmentationOptions, write_slide

ROOT = Path(__file__).parents[2]
STATIC = ROOT / "docs/_static"
# What the tests of the viewer look at pages with
sys.path.insert(0, str(ROOT))

from tests.viewing.browser.chromium import Browser  # noqa: E402


def main(target: Path = STATIC) -> None:
    """Look at a slide with segments, and at a part of it."""
    with TemporaryDirectory() as folder:
        segments = SegmentationOptions(levels=(0, 1, 2), segments=("nucleus", "epithelium"))
        write_slide(folder, size=(3000, 4000), factors=(1, 2, 4, 8), segmentations=[segments])
        chromium = shutil.which("chromium") or "chromium-browser"
        slide = dicomslide.open_slide(folder)
        with dicomslide.view(slide, show=False) as viewer, Browser(chromium) as browser:
            browser.resize(1180, 660)
            browser.open(f"{viewer.url}#x=12.62&y=26.96&scale=0.55&overlays=2:0.6")
            browser.wait_for(
                "layerViews.length > 0 && drawnSize && !loading.size"
                " && ![...wantedOf.values()].flat().length"
            )
            browser.move(420, 300)
            browser.wait_for("element('pointer').textContent.includes('Brightfield')")
            picture = Image.fromarray(browser.screenshot())
    picture.save(target / "viewer.jpg", quality=75)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
