"""Data sets from the DICOM JSON Model are those that pydicom reads, with the frames of the file."""

import base64
import copy
import dataclasses
import json

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicomslide.errors import DicomSlideError, InvalidImageError
from dicomslide.errors.damage import reading
from dicomslide.metadata.frames import read_frame_positions
from dicomslide.metadata.json_model import bulk_data_urls, dataset_of_json, text_of_json
from dicomslide.metadata.storage import InstanceStorage

GROUPS, ICC, PATHS = "52009230", "00282000", "00480105"
NAME = "image 1.2.3"
KINDS = {
    "full": {},
    "sparse": {"organization": "TILED_SPARSE", "sparse": "gaps"},
    "positions without an organization": {"organization": None},
    "planes and paths": {
        "samples": 1,
        "bits": 12,
        "optical_paths": 3,
        "focal_planes": 2,
        "organization": "TILED_SPARSE",
    },
    "segmentations": {"segmentations": ("BINARY", "FRACTIONAL", "LABELMAP")},
    "parametric maps": {"parametric_maps": ("integer", "float", "double")},
    "concatenation": {"organization": "TILED_SPARSE", "concatenation": 3},
}


@pytest.fixture(scope="module")
def read_json(make_slide):
    """Metadata of the instances of a slide of a kind, in JSON, and as pydicom reads the files."""

    def read(kind: str):
        for path in make_slide(**KINDS[kind]).paths:
            dataset = pydicom.dcmread(path, stop_before_pixels=True)
            yield json.loads(json.dumps(dataset.to_json_dict())), dataset

    return read


@pytest.fixture(scope="module")
def sparse(read_json):
    return next(read_json("sparse"))[0]


def change(item, edit):
    """Change a copy of a data set."""
    changed = copy.deepcopy(item)
    edit(changed)
    return changed


def first_position(item) -> dict:
    """The Plane Position (Slide) item of the first frame."""
    return item[GROUPS]["Value"][0]["0048021A"]["Value"][0]


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_are_those_that_pydicom_reads(read_json, kind):
    for item, _ in read_json(kind):
        expected = Dataset.from_json({t: e for t, e in item.items() if not t.startswith("7FE0")})
        found = dataset_of_json(item, {}, NAME)
        assert json.loads(found.to_json()) == json.loads(expected.to_json())


@pytest.mark.parametrize("kind", KINDS)
def test_frames_lie_where_those_of_the_file_do(read_json, kind):
    for item, dataset in read_json(kind):
        found = read_frame_positions(dataset_of_json(item, {}, NAME))
        for field in dataclasses.fields(found):
            expected = getattr(read_frame_positions(dataset), field.name)
            actual = getattr(found, field.name)
            assert (actual is None) == (expected is None)
            if expected is not None:
                np.testing.assert_array_equal(actual, expected)


def test_groups_are_encoded_together(sparse):
    found = dataset_of_json(sparse, {}, NAME).get_item(int(GROUPS, 16))
    assert isinstance(found, RawDataElement)


def set_value(tag, **element):
    return lambda item: first_position(item).update({tag: element})


UNUSUAL = {
    "name": set_value("00100010", vr="PN", Value=[{"Alphabetic": "Doe^J"}]),
    "binary": set_value("00282000", vr="OB", InlineBinary=base64.b64encode(b"ICC!").decode()),
    "long text": set_value("00204000", vr="LT", Value=["ä 病 b"]),
    "other letters": set_value("00081030", vr="LO", Value=["käse"]),
    "very many texts": set_value("00081030", vr="LO", Value=["x" * 60] * 1200),
    "tag": set_value("00209165", vr="AT", Value=["0048021F"]),
    "universal resource": set_value("00080120", vr="UR", Value=["https://example.org"]),
    "no value": set_value("00204000", vr="LT"),
    "empty value": set_value("00204000", vr="LT", Value=[]),
    "several texts": set_value("00080008", vr="CS", Value=["DERIVED", "", "VOLUME"]),
    "numbers as text": set_value("0040072A", vr="DS", Value=["1.25"]),
    "many digits": set_value("0040072A", vr="DS", Value=[0.1 + 0.2]),
    "tiny number": set_value("0040072A", vr="DS", Value=[-1.2345678901234e-300]),
    "no number": set_value("0040072A", vr="DS", Value=[None]),
    "integer as text": set_value("00280008", vr="IS", Value=["12"]),
    "empty item": lambda item: item[GROUPS]["Value"][0].update({"00089215": {"vr": "SQ"}}),
    "deep items": lambda item: first_position(item).update(nested(20)),
    "groups without items": lambda item: item.update({GROUPS: {"vr": "SQ"}}),
    "null for an item": lambda item: item[GROUPS]["Value"][1]["0048021A"].update(Value=[{}]),
}


def nested(depth: int):
    item = {"00204000": {"vr": "LT", "Value": ["deep"]}}
    for _ in range(depth):
        item = {"00089215": {"vr": "SQ", "Value": [item]}}
    return item


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_values_are_those_that_pydicom_reads(sparse, kind):
    item = change(sparse, UNUSUAL[kind])
    found, expected = dataset_of_json(item, {}, NAME), Dataset.from_json(item)
    groups, wanted = (
        dataset.get("PerFrameFunctionalGroupsSequence") or [] for dataset in (found, expected)
    )
    assert len(groups) == len(wanted)
    for group, other in zip(groups, wanted, strict=True):
        assert as_numbers(group.to_json_dict()) == as_numbers(other.to_json_dict())


def as_numbers(value):
    """Round decimal strings to their 16 characters, and let null and no value be the same."""
    if isinstance(value, list):
        return [as_numbers(item) for item in value]
    if isinstance(value, dict):
        return {name: as_numbers(item) for name, item in value.items() if item not in ([], None)}
    return float(f"{value:.9g}") if isinstance(value, float) else value


DAMAGED = {
    "number too large": set_value("0048021E", vr="SL", Value=[2**40]),
    "number is text": set_value("0048021E", vr="SL", Value=["one"]),
    "number has a fraction": set_value("0048021E", vr="SL", Value=[1.5]),
    "float too large": set_value("00189074", vr="FL", Value=[1e300]),
    "infinite integer": set_value("00280008", vr="IS", Value=[float("inf")]),
    "integer with a fraction": set_value("00280008", vr="IS", Value=[1.5]),
    "unknown VR": set_value("0048021E", vr="XX", Value=[1]),
    "no VR": set_value("0048021E", Value=[1]),
    "value is no list": set_value("0048021E", vr="SL", Value=1),
    "value is null": set_value("0048021E", vr="SL", Value=None),
    "no tag": set_value("nothing", vr="SL", Value=[1]),
    "tag too long": set_value("0048021E0", vr="SL", Value=[1]),
    "element is a list": lambda item: first_position(item).update({"0048021E": [1]}),
    "item is a number": lambda item: item[GROUPS].update(Value=[1, 2]),
    "groups are a text": lambda item: item.update({GROUPS: {"vr": "SQ", "Value": "text"}}),
    "groups are a list": lambda item: item.update({GROUPS: []}),
    "groups are numbers": lambda item: item.update({GROUPS: {"vr": "US", "Value": [1]}}),
    "very deep items": lambda item: first_position(item).update(nested(300)),
    "element of the image is a list": lambda item: item.update({"00280010": [5]}),
    "image has another VR": lambda item: item.update({"00280010": {"vr": "SQ", "Value": [5]}}),
    "address of bulk data is a number": lambda item: item.update(
        {ICC: {"vr": "OB", "BulkDataURI": 5}}
    ),
    "address of bulk data is an object": lambda item: item.update(
        {ICC: {"vr": "OB", "BulkDataURI": {}}}
    ),
    "address of bulk data is no address": lambda item: item.update(
        {ICC: {"vr": "OB", "BulkDataURI": []}}
    ),
    "address of groups is an object": lambda item: item.update(
        {GROUPS: {"vr": "SQ", "BulkDataURI": {}}}
    ),
}


def use(item) -> None:
    """Read a data set, and all of its attributes."""
    list(bulk_data_urls(item))
    dataset = dataset_of_json(item, {}, NAME)
    with reading(NAME):
        read_frame_positions(dataset)
        dataset.to_json()


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.filterwarnings("ignore")
def test_damaged_values_are_one_error_or_none(sparse, kind):
    item = change(sparse, DAMAGED[kind])
    try:
        use(item)
    except InvalidImageError as error:
        assert NAME in str(error) or "image 2.25" in str(error)  # noqa: PT017


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["SQ", "US", "SL", "DS", "OB", "PN", "UN", "\\", "1.2", "52009230", "Value"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["vr", "Value", "BulkDataURI", "InlineBinary", GROUPS, ICC, "0048021A"]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


def places(item, path=()):
    """Paths to all values of a data set."""
    yield path
    if isinstance(item, (dict, list)):
        for name, child in item.items() if isinstance(item, dict) else enumerate(item):
            yield from places(child, (*path, name))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), value=values)
@pytest.mark.filterwarnings("ignore")
def test_any_damage_is_one_error_or_none(small, data, value):
    path = data.draw(st.sampled_from(small[1]))
    item = copy.deepcopy(small[0])
    inner = item
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    try:
        use(item)
    except DicomSlideError:
        return


@pytest.fixture(scope="module")
def small(sparse):
    """A data set with three frames, and the places of its values."""
    item = change(sparse, lambda item: item[GROUPS].update(Value=item[GROUPS]["Value"][:3]))
    item["00280008"]["Value"] = [3]
    found = [path for path in places(item) if path]
    # The frames as often as the rest
    frames = [path for path in found if path[0] == GROUPS]
    return item, found + frames * (len(found) // len(frames))


class TestBulkData:
    URL = "https://example.org/bulk"

    def at(self, tag: str, vr: str, url) -> dict:
        return {tag: {"vr": vr, "BulkDataURI": url}}

    @pytest.mark.parametrize("depth", [0, 1, 5])
    @pytest.mark.parametrize("tag", [ICC, "00281201", "00281203", "00281222", "00281224"])
    def test_addresses_of_bulk_data_are_found_at_any_depth(self, tag, depth):
        item = self.at(tag, "OW", self.URL)
        for _ in range(depth):
            item = {PATHS: {"vr": "SQ", "Value": [{}, item]}}
        assert list(bulk_data_urls(item)) == [(tag, self.URL)]

    def test_bulk_data_of_attributes_that_nobody_needs_are_passed_over(self):
        item = self.at("7FE00010", "OW", self.URL) | self.at("00420011", "OB", self.URL)
        assert list(bulk_data_urls(item)) == []

    @pytest.mark.parametrize("url", [None, 5, [], {}, ["a", "b"], [5]])
    def test_values_that_are_no_addresses_are_passed_over(self, url):
        assert list(bulk_data_urls(self.at(ICC, "OB", url))) == []

    @pytest.mark.parametrize("wrap", [str, lambda url: [url]])
    def test_retrieved_bulk_data_are_put_in(self, wrap):
        path = self.at(ICC, "OB", wrap(self.URL))
        item = {PATHS: {"vr": "SQ", "Value": [path]}}
        assert list(bulk_data_urls(item)) == [(ICC, self.URL)]
        dataset = dataset_of_json(item, {self.URL: b"profile!"}, NAME)
        assert dataset.OpticalPathSequence[0].ICCProfile == b"profile!"

    def test_missing_bulk_data_are_left_out(self):
        path = self.at(ICC, "OB", self.URL) | {"00480106": {"vr": "SH", "Value": ["1"]}}
        item = {PATHS: {"vr": "SQ", "Value": [path]}} | self.at("00420011", "OB", self.URL)
        dataset = dataset_of_json(item, {}, NAME)
        assert dataset.OpticalPathSequence[0].dir() == ["OpticalPathIdentifier"]
        assert dataset.dir() == ["OpticalPathSequence"]

    def test_functional_groups_may_be_bulk_data(self, sparse, read_json):
        _, file = next(read_json("sparse"))
        encoded = dataset_of_json(sparse, {}, NAME).get_item(int(GROUPS, 16)).value
        item = sparse | self.at(GROUPS, "SQ", self.URL)
        assert (GROUPS, self.URL) in bulk_data_urls(item)
        found = read_frame_positions(dataset_of_json(item, {self.URL: encoded}, NAME))
        np.testing.assert_array_equal(found.pixels, read_frame_positions(file).pixels)
        assert GROUPS not in dataset_of_json(item, {}, NAME).to_json_dict()

    def test_bulk_data_of_frames_are_left_out(self, sparse):
        item = change(
            sparse, lambda item: first_position(item).update(self.at(ICC, "OB", self.URL))
        )
        assert GROUPS not in dict(bulk_data_urls(item))
        dataset = dataset_of_json(item, {}, NAME)
        position = dataset.PerFrameFunctionalGroupsSequence[0].PlanePositionSlideSequence[0]
        assert "ICCProfile" not in position

    @pytest.mark.parametrize(("tag", "bits"), [("7FE00008", 32), ("7FE00009", 64)])
    def test_bulk_data_of_floats_are_named(self, tag, bits):
        item = self.at(tag, "OF", self.URL)
        dataset = dataset_of_json(item, {}, NAME)
        assert dataset.BitsAllocated == bits
        assert "PixelDataProviderURL" not in dataset
        assert InstanceStorage.of_json(item).pixel_data_url == self.URL


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ({"vr": "UI", "Value": ["1.2.3"]}, "1.2.3"),
        ({"vr": "IS", "Value": [5, 6]}, "5"),
        ({"vr": "UI", "Value": []}, ""),
        ({"vr": "UI"}, ""),
        ({"vr": "UI", "Value": "1.2"}, "1.2"),
        (None, ""),
        ([1], ""),
    ],
)
def test_text_is_the_first_value_of_an_attribute(element, text):
    assert text_of_json({"00080018": element}, "00080018") == text
    assert text_of_json({}, "00080018") == ""
