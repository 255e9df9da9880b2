"""Frames of a tile of a real slide that others have encoded: the test data of wsidicom."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dicomslide.pixels.codecs import decode_frame

wsidicom_data = pytest.importorskip("wsidicom_data", reason="wsidicom-data is not installed")

FOLDER = Path(wsidicom_data.__file__).parent / "data"
FRAMES = sorted((FOLDER / "encoded").iterdir())

# Names of files: transfer syntax, and how much was lost on the average
SYNTAXES = {
    "Implicit_VR_Little_Endian": ("", 0),
    "Explicit_VR_Little_Endian": (".1", 0),
    "Explicit_VR_Big_Endian": (".2", 0),
    "RLE_Lossless": (".5", 0),
    "JPEG_Baseline_(Process_1)": (".4.50", 1.1),
    "JPEG_Extended_(Process_2_and_4)": (".4.51", 1.5),
    "JPEG_Lossless,_Non-Hierarchical_(Process_14)": (".4.57", 0),
    "JPEG-LS_Lossless_Image_Compression": (".4.80", 0),
    "JPEG-LS_Lossy_(Near-Lossless)_Image_Compression": (".4.81", 1),
    "JPEG_2000_Image_Compression_(Lossless_Only)": (".4.90", 0),
    "JPEG_2000_Image_Compression": (".4.91", 0.5),
}
# What the data set calls components that are not RGB; those of the lossless JPEG frames are
YBR = {".4.50": "YBR_FULL_422", ".4.57": "RGB", ".4.90": "YBR_RCT", ".4.91": "YBR_ICT"}


def read_tile(kind: str, bits: int) -> np.ndarray:
    """What the frames were made from; more than 8 bits are 8 bits shifted."""
    tile = Image.open(FOLDER / "test_tile.png").convert("RGB")
    if kind != "GRAYSCALE":
        return np.asarray(tile)
    grey = np.asarray(tile.convert("L"))
    return grey if bits == 8 else grey.astype(np.uint16) << (bits - 8)


@pytest.mark.parametrize("path", FRAMES, ids=lambda path: path.stem)
def test_frame_is_decoded_as_by_wsidicom(make_format, path):
    name, kind, bits = path.stem.rsplit("-", 2)
    syntax, lost = SYNTAXES[name]
    tile = read_tile(kind, int(bits))
    photometric = YBR[syntax] if kind == "YBR" else None
    pixel_format = make_format(tile, syntax, photometric, BitsStored=int(bits))
    decoded = decode_frame(path.read_bytes(), pixel_format).reshape(tile.shape)
    # The loss of 16 bits that were 8 before is that of 8 bits, times 256 at most
    scale = 2 ** (int(bits) - 12) if bits == "16" and syntax == ".4.91" else 1
    assert np.abs(decoded.astype(int) - tile).mean() <= lost * scale
