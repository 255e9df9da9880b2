"""Frames of a real slide that others have encoded: the test data of wsidicom."""

from pathlib import Path

import pytest

wsidicom_data = pytest.importorskip("wsidicom_data", reason="wsidicom-data is not installed")

FOLDER = Path(wsidicom_data.__file__).parent / "data"
NAMES = {
    "Implicit_VR_Little_Endian": "",
    "Explicit_VR_Little_Endian": ".1",
    "Explicit_VR_Big_Endian": ".2",
    "RLE_Lossless": ".5",
    "JPEG_Baseline_(Process_1)": ".4.50",
    "JPEG_Extended_(Process_2_and_4)": ".4.51",
    "JPEG_Lossless,_Non-Hierarchical_(Process_14)": ".4.57",
    "JPEG-LS_Lossless_Image_Compression": ".4.80",
    "JPEG-LS_Lossy_(Near-Lossless)_Image_Compression": ".4.81",
    "JPEG_2000_Image_Compression_(Lossless_Only)": ".4.90",
    "JPEG_2000_Image_Compression": ".4.91",
}
LOSSY = {".4.50": 2.0, ".4.51": 20.0, ".4.81": 1.0, ".4.91": 3.0}
