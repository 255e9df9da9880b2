"""The table of transfer syntaxes."""

import pytest
from pydicom.uid import UID

from dicomslide.metadata.transfer_syntaxes import TRANSFER_SYNTAXES, is_encapsulated, media_type

# Of JPEG XL and deflated frames, which are younger than some versions of pydicom
YOUNG = {"110", "111", "112", "8.1"}
KNOWN = [s for s in TRANSFER_SYNTAXES.values() if not s.uid.endswith(tuple(YOUNG))]


@pytest.mark.parametrize("syntax", KNOWN, ids=lambda syntax: syntax.uid)
def test_names_and_kinds_are_those_of_the_dictionary(syntax):
    uid = UID(syntax.uid)
    assert uid.name == syntax.name
    assert uid.is_transfer_syntax
    assert uid.is_encapsulated == is_encapsulated(syntax.uid) == (not syntax.is_native)


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        # PS3.18 Table 8.7.3-2 and the table of compressed frames after it
        ("1.2.840.10008.1.2.1", "application/octet-stream"),
        ("1.2.840.10008.1.2.4.50", "image/jpeg"),
        ("1.2.840.10008.1.2.4.70", "image/jpeg"),
        ("1.2.840.10008.1.2.4.80", "image/jls"),
        ("1.2.840.10008.1.2.4.90", "image/jp2"),
        ("1.2.840.10008.1.2.4.201", "image/jphc"),
        ("1.2.840.10008.1.2.4.110", "image/jxl"),
        ("1.2.840.10008.1.2.5", "image/dicom-rle"),
        ("1.2.3", "application/octet-stream"),
    ],
)
def test_media_types_of_frames_are_those_of_the_standard(uid, expected):
    assert media_type(uid) == expected


def test_short_names_fit_a_table():
    assert max(len(syntax.short_name) for syntax in TRANSFER_SYNTAXES.values()) <= 18


def test_unknown_transfer_syntaxes_are_encapsulated():
    assert is_encapsulated("1.2.3")
