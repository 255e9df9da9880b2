"""Palette color lookup tables, discrete and segmented (PS3.3 C.7.6.3.1.5, C.7.9)."""

import struct

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from dicomslide.errors import InvalidImageError
from dicomslide.metadata.palette import read_palette
from dicomslide.metadata.pixel_format import read_pixel_format

COLOURS = ("Red", "Green", "Blue")
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"


def make_image(descriptor, *tables: bytes, segmented: bool = False) -> Dataset:
    """An image with the same table for all colours, or with one for each."""
    image = Dataset()
    image.set_original_encoding(False, True)
    image.Rows = image.Columns = 8
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "PALETTE COLOR"
    image.BitsAllocated = image.BitsStored = 16
    image.PixelRepresentation = 0
    for colour, table in zip(COLOURS, tables * (3 // len(tables)), strict=True):
        name = f"{colour}PaletteColorLookupTable"
        setattr(image, f"{name}Descriptor", list(descriptor))
        setattr(image, f"{'Segmented' if segmented else ''}{name}Data", table)
    return image


def read(image: Dataset, **options):
    return read_palette(image, "image 1.2.3", **{"signed": False, "big_endian": False} | options)


class TestDiscrete:
    def test_discrete_palette_of_8_bits_has_its_colours(self):
        palette = read(make_image((3, 5, 8), b"\1\2\3", b"\4\5\6", b"\7\x08\x09"))
        assert (palette.first, palette.bits, palette.dtype) == (5, 8, np.uint8)
        assert palette.table.tolist() == [[1, 4, 7], [2, 5, 8], [3, 6, 9]]

    def test_discrete_palette_of_16_bits_has_its_colours(self):
        palette = read(make_image((2, 0, 16), struct.pack("<2H", 1, 65535)))
        assert (palette.bits, palette.dtype) == (16, np.uint16)
        assert palette.table.tolist() == [[1] * 3, [65535] * 3]

    def test_discrete_palette_may_be_big_endian(self):
        image = make_image((2, 0, 16), struct.pack(">2H", 1, 258))
        assert read(image, big_endian=True).table[:, 0].tolist() == [1, 258]

    def test_values_of_8_bits_may_be_in_words(self):
        """Some writers allocate 16 bits (note in PS3.3 C.7.6.3.1.6)."""
        palette = read(make_image((3, 0, 8), struct.pack("<3H", 7, 8, 9)))
        assert palette.dtype == np.uint8
        assert palette.table[:, 0].tolist() == [7, 8, 9]

    def test_discrete_palette_may_be_padded_to_an_even_length(self):
        assert read(make_image((3, 0, 8), b"\1\2\3\0")).table[:, 0].tolist() == [1, 2, 3]

    def test_zero_entries_are_65536(self):
        values = np.arange(65536, dtype="<u2")
        table = read(make_image((0, 0, 16), values.tobytes())).table
        np.testing.assert_array_equal(table[:, 1], values)

    @pytest.mark.parametrize("first", [-3, 65533])
    def test_first_value_of_signed_pixels_may_be_negative(self, first):
        """The VR of the descriptor depends on an attribute that need not be read before it."""
        assert read(make_image((1, first, 8), b"\1"), signed=True).first == -3
        assert read(make_image((1, first, 8), b"\1"), signed=False).first == 65533


def segments(*parts: tuple[int, ...], kind: str = "H") -> bytes:
    values = [value for part in parts for value in part]
    return struct.pack(f"<{len(values)}{kind}", *values)


class TestSegmented:
    """Expected values by hand, and those of pydicom."""

    @pytest.mark.parametrize(("bits", "kind"), [(8, "B"), (16, "H")])
    def test_discrete_and_linear_segments_are_expanded(self, bits, kind):
        data = segments((0, 3, 10, 20, 30), (1, 4, 70), (0, 1, 5), (1, 2, 0), kind=kind)
        image = make_image((10, 0, bits), data, segmented=True)
        table = read(image).table
        assert table[:, 0].tolist() == [10, 20, 30, 40, 50, 60, 70, 5, 2, 0]
        np.testing.assert_array_equal(table, apply_color_lut(np.arange(10), image))

    def test_indirect_segments_are_expanded(self):
        """The indirect segment repeats the first two, from byte 0 on."""
        data = segments((0, 2, 5, 6), (1, 3, 9), (2, 2, 0, 0))
        image = make_image((10, 0, 16), data, segmented=True)
        table = read(image).table
        assert table[:, 0].tolist() == [5, 6, 7, 8, 9, 5, 6, 7, 8, 9]
        np.testing.assert_array_equal(table, apply_color_lut(np.arange(10), image))

    def test_indirect_segments_of_8_bits_are_expanded(self):
        """The indirect segment repeats the second one, from byte 4 on."""
        data = segments((0, 2, 5, 6), (0, 1, 9), (2, 1, 4, 0, 0, 0), kind="B")
        image = make_image((4, 0, 8), data, segmented=True)
        assert read(image).table[:, 0].tolist() == [5, 6, 9, 9]

    @pytest.mark.parametrize(
        "data",
        [
            segments((1, 4, 70)),
            segments((2, 1, 0, 0)),
            segments((0, 2, 5, 6), (2, 1, 8, 0)),
            segments((0, 2, 5, 6), (3, 1, 0)),
            segments((0, 2, 5, 6)),
            segments((0, 9, 5, 6)),
            segments((0, 2, 5, 6), (1,)),
            b"",
        ],
        ids=["linear", "indirect", "loop", "type", "few", "cut", "end", "nothing"],
    )
    def test_broken_segments_are_an_error(self, data):
        with pytest.raises(InvalidImageError, match=r"1\.2\.3: Segmented.*Data cannot be expanded"):
            read(make_image((10, 0, 16), data, segmented=True))

    def test_segmented_palette_is_expanded_no_further_than_its_entries(self):
        linear = (1, 65535, 60000)
        data = segments((0, 1, 0), *[linear] * 50, (2, 65535, 6, 0))
        table = read(make_image((100, 0, 16), data, segmented=True)).table
        assert len(table) == 100


class TestErrors:
    @pytest.mark.parametrize("colour", COLOURS)
    @pytest.mark.parametrize("attribute", ["Descriptor", "Data"])
    def test_missing_attribute_is_named(self, colour, attribute):
        image = make_image((2, 0, 8), b"\1\2")
        keyword = f"{colour}PaletteColorLookupTable{attribute}"
        delattr(image, keyword)
        with pytest.raises(InvalidImageError, match=rf"1\.2\.3: {keyword} is None"):
            read(image)

    @pytest.mark.parametrize("descriptor", [(2, 0), (2, 0, 12), (2, 0, 32)])
    def test_impossible_descriptor_is_an_error(self, descriptor):
        with pytest.raises(InvalidImageError, match="RedPaletteColorLookupTableDescriptor is"):
            read(make_image(descriptor, b"\1\2"))

    def test_descriptors_that_differ_are_an_error(self):
        image = make_image((2, 0, 8), b"\1\2")
        image.GreenPaletteColorLookupTableDescriptor = [2, 1, 8]
        with pytest.raises(InvalidImageError, match="differ"):
            read(image)

    def test_palette_with_too_few_entries_is_an_error(self):
        with pytest.raises(InvalidImageError, match=r"has 2 values .* expected 3 of 8 bits"):
            read(make_image((3, 0, 8), b"\1\2"))

    def test_palette_values_of_too_many_bits_are_an_error(self):
        with pytest.raises(InvalidImageError, match="up to 256, expected 2 of 8 bits"):
            read(make_image((2, 0, 8), struct.pack("<2H", 1, 256)))


class TestPixelFormat:
    def test_decoded_pixels_are_colours(self):
        pixel_format = read_pixel_format(make_image((2, 0, 8), b"\1\2"), "1.2.840.10008.1.2.1")
        assert pixel_format.shape == (8, 8, 3)
        assert pixel_format.dtype == np.uint8
        assert pixel_format.background == 255

    def test_label_map_holds_the_numbers_of_segments(self):
        image = make_image((2, 0, 8), b"\1\2")
        image.SOPClassUID = LABEL_MAP
        pixel_format = read_pixel_format(image, "1.2.840.10008.1.2.1")
        assert pixel_format.shape == (8, 8, 1)
        assert pixel_format.dtype == np.uint16
        assert pixel_format.background == 0

    @pytest.mark.parametrize("bits", [1, 32])
    def test_palette_needs_integers_of_whole_bytes(self, bits):
        image = make_image((2, 0, 8), b"\1\2")
        image.BitsAllocated = bits
        del image.BitsStored
        with pytest.raises(InvalidImageError, match="PhotometricInterpretation is PALETTE COLOR"):
            read_pixel_format(image, "1.2.840.10008.1.2.1")
