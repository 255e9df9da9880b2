"""Draws the label of a synthetic slide, and the whole slide as a camera sees it."""

import hashlib

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from dicomslide.testing.geometry import SLIDE_LENGTH, SLIDE_WIDTH, Orientation, locate_pixel
from dicomslide.testing.options import SlideOptions
from dicomslide.testing.painting.tissue import paint

__all__ = [
    "LABEL_ORIGIN",
    "LABEL_SPACING",
    "ORIENTATION",
    "OVERVIEW_ORIGIN",
    "OVERVIEW_SPACING",
    "draw_label",
    "draw_overview",
]

# Label and overview show the slide lying on its side, with the label at the left
ORIENTATION: Orientation = (0.0, -1.0, 0.0, -1.0, 0.0, 0.0)
LABEL_SPACING = 0.06
LABEL_SIZE = (400, 360)
OVERVIEW_SPACING = 0.1
OVERVIEW_SIZE = (round(SLIDE_WIDTH / OVERVIEW_SPACING), round(SLIDE_LENGTH / OVERVIEW_SPACING))

Colors = npt.NDArray[np.uint8]


def draw_label(options: SlideOptions) -> Colors:
    """Draw the label: Container Identifier, stain and something like a two-dimensional barcode."""
    rows, columns = LABEL_SIZE
    image = Image.new("RGB", (columns, rows), (250, 249, 244))
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((6, 6, columns - 7, rows - 7), outline=(60, 60, 60), width=2)
    canvas.text((24, 22), options.container, fill=(20, 20, 20), font=ImageFont.load_default(34))
    stain = options.optical_path_items[0].stain or ""
    for line, text in enumerate((stain, options.patient_id, "2026-01-01")):
        canvas.text((24, 76 + 30 * line), text, fill=(50, 50, 60), font=ImageFont.load_default(20))
    canvas.rectangle((0, rows - 26, columns, rows), fill=(214, 120, 160))
    pixels = np.asarray(image).copy()
    pattern = np.kron(_make_pattern(options.container), np.ones((8, 8), np.uint8))
    side = len(pattern)
    pixels[rows - side - 40 : rows - 40, 24 : 24 + side] = np.where(pattern, 25, 250)[
        ..., np.newaxis
    ]
    return pixels


def _make_pattern(text: str) -> npt.NDArray[np.uint8]:
    """Make a square of 21 modules with three finders and a hash of the text (no readable code)."""
    digest = b"".join(hashlib.sha256(f"{text}/{i}".encode()).digest() for i in range(2))
    pattern = np.unpackbits(np.frombuffer(digest, np.uint8))[:441].reshape(21, 21).copy()
    finder = np.zeros((8, 8), np.uint8)
    finder[:7, :7] = 1
    finder[1:6, 1:6] = 0
    finder[2:5, 2:5] = 1
    pattern[:8, :8] = finder
    pattern[:8, 13:] = finder[:, ::-1]
    pattern[13:, :8] = finder[::-1]
    return pattern


def draw_overview(options: SlideOptions) -> Colors:
    """Draw the whole slide: label, glass, cover slip, and the tissue where the levels are."""
    rows, columns = OVERVIEW_SIZE
    image = Image.new("RGB", (columns, rows), (228, 230, 231))
    canvas = ImageDraw.Draw(image)
    canvas.rectangle(
        (columns * 0.29, 6, columns * 0.985, rows - 7),
        fill=(240, 240, 242),
        outline=(205, 208, 210),
    )
    label = Image.fromarray(draw_label(options)).resize((216, 240), Image.Resampling.BOX)
    image.paste(label, (2, 5))
    canvas.rectangle((0, 0, columns - 1, rows - 1), outline=(196, 202, 205))
    pixels = np.asarray(image).copy()
    covered, tissue = _sample_tissue(options)
    # The glass of the tissue image is not to be seen on the glass of the slide
    pixels[covered] = pixels[covered] * np.minimum(tissue / tissue.max(axis=0), 1)
    return pixels


def _sample_tissue(options: SlideOptions) -> tuple[npt.NDArray[np.bool_], Colors]:
    """Find the pixels of the overview that the base level covers, and their colours."""
    spacing, orientation = options.spacing, options.orientation
    factor = max(1.0, OVERVIEW_SPACING / max(spacing))
    size = options.get_level_size(factor)
    small = paint((0, 0), size, factor, base_size=options.size, seed=options.seed)
    rows, columns = np.indices(OVERVIEW_SIZE)
    x0, y0 = OVERVIEW_ORIGIN
    x, y = x0 - rows * OVERVIEW_SPACING, y0 - columns * OVERVIEW_SPACING
    dx, dy = x - options.base_origin[0], y - options.base_origin[1]
    r = (dx * orientation[3] + dy * orientation[4]) / spacing[0]
    c = (dx * orientation[0] + dy * orientation[1]) / spacing[1]
    reach = [f * OVERVIEW_SPACING / 2 / s for f, s in zip((1, 1), spacing, strict=True)]
    covered = (
        (r >= -reach[0])
        & (r <= options.size[0] + reach[0])
        & (c >= -reach[1])
        & (c <= options.size[1] + reach[1])
    )
    i = np.clip((r[covered] / factor).astype(int), 0, size[0] - 1)
    j = np.clip((c[covered] / factor).astype(int), 0, size[1] - 1)
    return covered, small[i, j]


OVERVIEW_ORIGIN = locate_pixel(
    0.5, 0.5, (SLIDE_WIDTH, SLIDE_LENGTH), ORIENTATION, (OVERVIEW_SPACING, OVERVIEW_SPACING)
)
LABEL_ORIGIN = locate_pixel(
    0.5,
    0.5,
    (SLIDE_WIDTH / 2 + LABEL_SIZE[0] * LABEL_SPACING / 2, SLIDE_LENGTH - 0.2),
    ORIENTATION,
    (LABEL_SPACING, LABEL_SPACING),
)
