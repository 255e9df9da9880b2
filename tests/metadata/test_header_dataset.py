"""Values of data sets are those that pydicom gives, however they are looked up."""

import copy
import pickle
import warnings

import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.hooks import hooks
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian
from pydicom.valuerep import AMBIGUOUS_VR, VR

from dicomslide.metadata.header_dataset import HeaderDataset
from dicomslide.metadata.json_model import dataset_of_json
from dicomslide.sources.header import read_header
from dicomslide.sources.localfile import LocalFile

# All but those that pydicom chooses between by other attributes
VRS = sorted(vr.value for vr in set(VR) - AMBIGUOUS_VR - {VR.SQ})
KEYWORDS = ("PixelData", "PatientComments", "no keyword", "file_meta", "is_private", "filename")


@pytest.fixture(scope="session", params=["explicit", ImplicitVRLittleEndian, ExplicitVRBigEndian])
def read(make_slide, request):
    """Reads the header of an image, with values that were not used yet."""
    syntax = {} if request.param == "explicit" else {"transfer_syntax": request.param}
    slide = make_slide(segmentations=("BINARY",), **syntax)
    paths = sorted(slide.folder.glob("*.dcm"))

    def call():
        return [read_header(LocalFile.at(str(path))).dataset for path in paths]

    return call


def test_a_value_is_that_of_pydicom(read):
    for dataset, other in zip(read(), read(), strict=True):
        assert type(dataset) is HeaderDataset
        for keyword in (*dataset.dir(), *KEYWORDS):
            # Of the second time, too, when pydicom has parsed it
            for _ in range(2):
                assert dataset.get(keyword) == Dataset.get(other, keyword)
            assert dataset.get(keyword, 7) == Dataset.get(other, keyword, 7)


# pydicom changes the first of several numbers in the descriptor of a palette
@example("SS", b"\x00\x80\x00\x00\x10\x00", "RedPaletteColorLookupTableDescriptor", "utf8", True)
@example("UN", b"\x05\x00", "Rows", "utf8", True)
@example("LO", b"\xc3\xa4", "PatientName", None, True)
@given(
    vr=st.sampled_from(VRS),
    value=st.binary(max_size=24) | st.from_regex(rb"[0-9.\\\\ -]*", fullmatch=True),
    keyword=st.sampled_from(["Rows", "RedPaletteColorLookupTableDescriptor", "PatientName"]),
    charset=st.sampled_from(["iso8859", "utf8", "", ["latin_1", "iso2022_jp_2"]]),
    little_endian=st.booleans(),
)
def test_any_bytes_are_read_as_pydicom_reads_them(vr, value, keyword, charset, little_endian):
    """Values, exceptions and warnings are the same, at the first time and at the second."""

    def read(kind):
        tag = Tag(keyword)
        raw = RawDataElement(tag, vr, len(value), value, 0, False, little_endian)
        dataset = kind({tag: raw})
        dataset.set_original_encoding(False, little_endian, charset)
        found = []
        for _ in range(2):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    got = dataset.get(keyword)
                    found += [type(got), repr(got), dataset[keyword].VR]
                except Exception as error:
                    found += [type(error), str(error)]
            found.append([str(warning.message) for warning in caught])
        return found

    assert read(HeaderDataset) == read(Dataset)


@pytest.mark.parametrize("part", ["raw_element_value", "raw_element_vr", "callback"])
def test_a_program_may_change_how_values_are_read(read, part, monkeypatch):
    expected = [dataset.Rows for dataset in read()]
    if part == "callback":
        monkeypatch.setattr(
            pydicom.config, "data_element_callback", lambda raw, **_: raw._replace(value=b"\7\7")
        )
    else:
        change = {"VR": "OB", "value": b"changed"}
        monkeypatch.setattr(hooks, part, lambda _, data, **__: data.update(change))
    for dataset, other, rows in zip(read(), read(), expected, strict=True):
        assert dataset.get("Rows") == Dataset.get(other, "Rows") != rows


def test_items_of_sequences_are_such_data_sets_too(read):
    for dataset, other in zip(read(), read(), strict=True):
        (item,) = dataset.get("SharedFunctionalGroupsSequence")
        assert type(item) is HeaderDataset
        (measures,) = item.get("PixelMeasuresSequence")
        assert type(measures) is HeaderDataset
        (expected,) = other.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
        assert type(expected) is Dataset
        assert measures.get("PixelSpacing") == expected.PixelSpacing
        assert measures == expected
        assert expected == measures
        assert dataset == other


def test_an_element_is_got_by_its_tag(read):
    for dataset in read():
        assert dataset.get(0x00280010) == dataset["Rows"]
        assert dataset.get((0x0028, 0x0010)).value == dataset.Rows
        assert dataset.get(0x00104000) is None
        with pytest.raises(TypeError):
            dataset.get(object())


def test_a_value_is_converted_once(read):
    for dataset in read():
        if types := dataset.get("ImageType"):
            types.append("MORE")
            assert dataset.get("ImageType") is dataset.ImageType
            assert dataset.ImageType[-1] == "MORE"


def test_a_value_that_was_changed_is_the_new_one(read):
    for dataset in read():
        dataset.Rows = 77
        assert dataset.get("Rows") == 77
        del dataset.Rows
        assert dataset.get("Rows") is None
        dataset.PatientComments = "new"
        assert dataset.get("PatientComments") == "new"


def test_copies_and_what_was_pickled_are_equal(read):
    for dataset in read():
        plain = copy.deepcopy(Dataset(dataset))
        for other in (
            copy.deepcopy(dataset),
            copy.copy(dataset),
            pickle.loads(pickle.dumps(dataset)),
        ):
            assert type(other) is HeaderDataset
            assert other == dataset
            assert other.get("SOPInstanceUID") == dataset.SOPInstanceUID
        of_file = FileDataset("slide.dcm", copy.deepcopy(plain))
        for equal in (plain, of_file):
            assert equal == dataset
            assert dataset == equal
            equal.Rows += 1
            assert equal != dataset
            assert dataset != equal
        assert dataset != 7


def test_what_a_service_delivers_is_such_a_data_set():
    item = {
        "00280010": {"vr": "US", "Value": [5]},
        "00480105": {"vr": "SQ", "Value": [{"00480106": {"vr": "SH", "Value": ["1"]}}]},
    }
    dataset = dataset_of_json(item, {}, "image")
    assert type(dataset) is HeaderDataset
    assert dataset.get("Rows") == 5
    assert dataset.get("OpticalPathSequence")[0].get("OpticalPathIdentifier") == "1"
