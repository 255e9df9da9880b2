"""Frames that DCMTK encodes, beside what DCMTK decodes them to."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from dicomslide.metadata.pixel_format import read_pixel_format
from dicomslide.pixels.codecs import decode_frame

pytestmark = pytest.mark.skipif(
    shutil.which("dcmcjpeg") is None, reason="the commands of DCMTK are not installed"
)

LOSSLESS = {
    "JPEG Lossless SV1": ("dcmcjpeg", "+e1"),
    "JPEG Lossless, predictor 4": ("dcmcjpeg", "+el", "+sv", "4"),
    "JPEG Lossless, predictor 7": ("dcmcjpeg", "+el", "+sv", "7"),
    "JPEG-LS": ("dcmcjpls", "+el"),
    "RLE": ("dcmcrle",),
}
LOSSY = {
    "JPEG Baseline, 4:2:2": ("dcmcjpeg", "+eb", "+q", "90"),
    "JPEG Baseline, 4:4:4": ("dcmcjpeg", "+eb", "+q", "90", "+s4"),
    "JPEG Baseline, RGB": ("dcmcjpeg", "+eb", "+q", "90", "+cr"),
    "JPEG Extended": ("dcmcjpeg", "+ee", "+q", "90"),
    "JPEG-LS near-lossless": ("dcmcjpls", "+en", "+md", "2"),
}
DECODERS = {"dcmcjpeg": "dcmdjpeg", "dcmcjpls": "dcmdjpls", "dcmcrle": "dcmdrle"}


def write(path, pixels: np.ndarray, bits: int) -> None:
    image = Dataset()
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    image.SOPInstanceUID = generate_uid()
    image.Rows, image.Columns = pixels.shape[:2]
    image.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    image.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        image.PlanarConfiguration = 0
    image.BitsAllocated = 8 * pixels.dtype.itemsize
    image.BitsStored, image.HighBit = bits, bits - 1
    image.PixelRepresentation = int(pixels.dtype.kind == "i")
    image.add_new("PixelData", "OB" if pixels.dtype.itemsize == 1 else "OW", pixels.tobytes())
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)


@pytest.fixture
def convert(tmp_path):
    """Encodes pixels: what is read of the frame here, and what DCMTK decodes it to."""

    def convert(command, pixels, bits):
        original, encoded, decoded = (tmp_path / name for name in "abc")
        write(original, pixels, bits)
        subprocess.run([*command, original, encoded], check=True, capture_output=True)
        decoder = DECODERS[command[0]]
        subprocess.run([decoder, encoded, decoded], check=True, capture_output=True)
        image = pydicom.dcmread(encoded)
        pixel_format = read_pixel_format(image, image.file_meta.TransferSyntaxUID)
        (frame,) = generate_frames(image.PixelData, number_of_frames=1)
        found = decode_frame(frame, pixel_format)
        return found, pydicom.dcmread(decoded).pixel_array.reshape(found.shape)

    return convert


@pytest.mark.parametrize("name", LOSSLESS)
@pytest.mark.parametrize(
    ("samples", "bits", "signed"),
    [(1, 8, False), (1, 12, False), (1, 16, False), (1, 12, True), (1, 16, True), (3, 8, False)],
)
def test_lossless_frames_are_decoded_as_by_dcmtk(make_pixels, convert, name, samples, bits, signed):
    pixels = make_pixels(samples=samples, bits=bits, signed=signed)
    found, _ = convert(LOSSLESS[name], pixels, bits)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels.reshape(found.shape))


@pytest.mark.parametrize("name", LOSSY)
@pytest.mark.parametrize("samples", [1, 3])
def test_lossy_frames_are_decoded_as_by_dcmtk(make_pixels, convert, name, samples):
    found, expected = convert(LOSSY[name], make_pixels(samples=samples), 8)
    # Decoders may round in other places
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


@pytest.mark.parametrize("name", ["JPEG Extended", "JPEG-LS near-lossless"])
@pytest.mark.parametrize("samples", [1, 3])
def test_lossy_frames_of_12_bits_are_decoded_as_by_dcmtk(make_pixels, convert, name, samples):
    found, expected = convert(LOSSY[name], make_pixels(samples=samples, bits=12), 12)
    assert found.dtype == np.uint16
    np.testing.assert_allclose(found.astype(int), expected, atol=1)
