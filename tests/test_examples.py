"""The examples run as scripts, on a slide of one's own and without any."""

import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicomslide.testing import SyntheticSlide, write_slide

EXAMPLES = Path(__file__).parents[1] / "examples"
# Processes that these start import the script
ALONE = ("index_of_slides.py", "patches_for_training.py", "slides_in_parallel.py")
TOGETHER = sorted({path.name for path in EXAMPLES.glob("*.py")} - {*ALONE})


@pytest.fixture(scope="session")
def slide(tmp_path_factory: pytest.TempPathFactory) -> SyntheticSlide:
    """A small slide without loss, so that pixels are known."""
    folder = tmp_path_factory.mktemp("examples")
    return write_slide(folder, size=(1100, 1300), transfer_syntax="1.2.840.10008.1.2.1")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs an example as a script in this process, which has imported and drawn what all need."""

    def call(name: str, *arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        # Scripts may import their neighbours
        monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return call


def run_alone(name: str, folder: Path, *arguments: object) -> str:
    """Run an example in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / name, *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ALONE)
def test_example_runs_alone_without_a_slide(name: str, tmp_path: Path) -> None:
    assert run_alone(name, tmp_path)


@pytest.mark.parametrize("name", TOGETHER)
def test_example_runs_without_a_slide(name: str, run: Callable[..., str]) -> None:
    assert run(name)


def test_tissue_area_is_that_of_the_pixels(slide: SyntheticSlide, run: Callable[..., str]) -> None:
    printed = run("tissue_area.py", slide.folder)
    found = [float(area) for area in re.findall(r"([\d.]+) mm²", printed)]
    expected = []
    for level in slide.levels[:2]:
        pixels = level.pixels().astype(int)
        tissue = pixels.max(axis=2) - pixels.min(axis=2) > 25
        expected.append(tissue.sum() * level.spacing[0] * level.spacing[1])
    assert found == pytest.approx(expected, abs=0.0001)


def test_regions_show_the_middle_of_the_slide_upright(
    slide: SyntheticSlide, tmp_path: Path, run: Callable[..., str]
) -> None:
    run("regions_in_millimetres.py", slide.folder)
    picture = Image.open(tmp_path / "regions.png")
    assert picture.size == (360 * len(slide.levels), 360)
    # The middle 0.5 mm are 1,000 pixels; rows run along -Y and columns along -X of the slide
    pixels = slide.levels[0].pixels(region=np.s_[50:1050, 150:1150])
    upright = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 0, 2)[:, ::-1]))
    expected = np.asarray(upright.resize((360, 360), Image.Resampling.BOX))
    np.testing.assert_array_equal(np.asarray(picture)[:, :360], expected)


def test_deep_zoom_tiles_cover_the_slide(
    slide: SyntheticSlide, tmp_path: Path, run: Callable[..., str]
) -> None:
    run("from_openslide.py", slide.folder)
    finest = sorted((tmp_path / "deepzoom/slide_files").iterdir(), key=lambda p: int(p.name))[-1]
    rows, columns = slide.levels[0].size
    assert len(list(finest.iterdir())) == -(-rows // 254) * -(-columns // 254)


def test_patches_for_training_are_those_of_tissue(slide: SyntheticSlide, tmp_path: Path) -> None:
    """Squares of 256 pixels whose mean, in the coarsest level, has a colour; white beyond it."""
    printed = run_alone("patches_for_training.py", tmp_path, slide.folder)
    base, coarse = slide.levels[0].pixels(), slide.levels[-1].pixels()
    side = round(256 * slide.levels[0].spacing[0] / slide.levels[-1].spacing[0])
    sums, count = np.zeros(3), 0
    for row in range(-(-base.shape[0] // 256)):
        for column in range(-(-base.shape[1] // 256)):
            seen = coarse[row * side : (row + 1) * side, column * side : (column + 1) * side]
            color = np.rint(seen.mean(axis=(0, 1)))
            if color.max() - color.min() <= 12:
                continue
            patch = base[row * 256 : (row + 1) * 256, column * 256 : (column + 1) * 256]
            missing = 256 * 256 - patch.shape[0] * patch.shape[1]
            sums += patch.sum(axis=(0, 1)) + 255 * missing
            count += 1
    expected = ", ".join(f"{value:.3f}" for value in sums / (count * 256 * 256))
    assert printed.startswith(f"{count} patches of tissue")
    found = re.findall("mean colour (.*)", printed)
    assert len(found) >= 2
    assert set(found) == {expected}
