"""Any object with the members of `ImageStore` is a place of slides."""

import copy
import pickle
import zipfile
from dataclasses import dataclass, replace

import fsspec
import numpy as np
import pydicom
import pytest
import xarray as xr
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEGBaseline8Bit

import dicomslide
from dicomslide import FrameSource, ImageQuery, ImageStore, Slide, TiledImage, TotalPixelMatrix

TWO_LEVELS = {
    "factors": (1, 2),
    "transfer_syntax": JPEGBaseline8Bit,
    "segmentations": ("BINARY",),
    "label": True,
}


class StoredFrames(FrameSource):
    """Frames in memory, with no more than what has to be defined."""

    def __init__(self, uid, syntax, frames):
        self.uid, self.syntax, self.frames = uid, syntax, frames
        self.calls = []

    name = token = property(lambda self: f"memory of {self.uid}")
    transfer_syntax_uid = property(lambda self: self.syntax)

    def read(self, frames):
        self.calls.append(list(frames))
        return [self.frames[frame] for frame in frames]


class MemoryStore:
    """The images of files, read with pydicom."""

    name = "the memory"

    def __init__(self, paths):
        self.datasets, self.sources, self.asked = [], {}, []
        for path in paths:
            dataset = pydicom.dcmread(path)
            count, syntax = int(dataset.NumberOfFrames), dataset.file_meta.TransferSyntaxUID
            if syntax.is_encapsulated:
                frames = list(generate_frames(dataset.PixelData, number_of_frames=count))
            else:
                bits = dataset.Rows * dataset.Columns * dataset.BitsAllocated
                bits *= dataset.SamplesPerPixel
                size = bits // 8
                frames = [dataset.PixelData[n * size : (n + 1) * size] for n in range(count)]
            del dataset.PixelData
            uid = dataset.SOPInstanceUID
            self.datasets.append(dataset)
            self.sources[uid] = StoredFrames(uid, str(syntax), frames)

    def images(self, query):
        self.asked.append(query)
        return iter(self.datasets)

    def frame_sources(self, datasets):
        return [self.sources[dataset.SOPInstanceUID] for dataset in datasets]


@pytest.fixture(scope="module")
def written(make_slide):
    return make_slide(**TWO_LEVELS)


@pytest.fixture
def store(written):
    return MemoryStore(written.paths)


@pytest.fixture(scope="module")
def expected(written):
    return dicomslide.open_slide(written.folder)


def test_own_store_has_the_protocol(store):
    assert isinstance(store, ImageStore)
    assert isinstance(next(iter(store.sources.values())), FrameSource)


def read_with_open_slides(store):
    (slide,) = dicomslide.open_slides(store, errors="skip")
    return slide


def read_with_find_slides(store):
    (slide,) = dicomslide.find_slides(store)
    return slide


@pytest.mark.parametrize(
    "read",
    [
        dicomslide.open_slide,
        read_with_open_slides,
        read_with_find_slides,
        lambda store: Slide(store, store.datasets),
    ],
)
def test_slide_of_a_store_is_that_of_the_files(store, expected, read):
    slide = read(store)
    assert slide.total_pixel_matrix_dimensions == expected.total_pixel_matrix_dimensions
    assert slide.num_channels == expected.num_channels == 4
    for level in range(2):
        for channel in range(4):
            region = slide.get_image_region((3, 5), level, (20, 30), channel)
            assert np.array_equal(
                region, expected.get_image_region((3, 5), level, (20, 30), channel)
            )


def test_tree_of_a_store_is_that_of_the_files(store, written):
    tree = xr.open_datatree(store, engine="dicomslide")
    of_files = xr.open_datatree(written.folder, engine="dicomslide")
    xr.testing.assert_identical(tree.load(), of_files.load())


def test_image_and_matrix_can_be_made_of_a_store(store, expected):
    dataset = store.datasets[0]
    pixels = expected.get_image(0).get_total_pixel_matrix()[...]
    assert np.array_equal(TotalPixelMatrix(store, dataset)[...], pixels)
    image = TiledImage(store, dataset)
    assert np.array_equal(image.get_total_pixel_matrix()[...], pixels)
    assert image.frame_source is store.sources[dataset.SOPInstanceUID]
    assert image.frame_source.locate([0, 2]) == [None, None]


def test_frames_of_a_region_are_one_call(store):
    slide = dicomslide.open_slide(store)
    slide.get_image_region((0, 0), 0, (40, 40))
    calls = store.sources[slide.get_image(0).uid].calls
    assert len(calls) == 1
    assert len(calls[0]) == 6


def test_arrays_travel_with_their_frames(store, expected):
    array = dicomslide.open_slide(store).get_total_pixel_matrix(0).array
    arrived = pickle.loads(pickle.dumps(array))
    assert np.array_equal(arrived[:9, :9], array[:9, :9])


def test_query_says_what_is_wanted(store):
    dicomslide.open_slide(store, study_instance_uid=None, include_derived=False)
    dicomslide.find_slides(store, patient_id="*", correct_color=False)
    assert store.asked[0].include_derived is False
    assert replace(store.asked[1], failures=None) == ImageQuery(
        filters={"PatientID": "*"}, correct_color=False
    )


def test_images_that_are_not_wanted_are_left_out(store):
    """A store may give more images than a query asks for."""
    assert dicomslide.open_slide(store, include_derived=False).num_channels == 1
    study = store.datasets[0].StudyInstanceUID
    assert dicomslide.open_slide(store, study_instance_uid=study).num_levels == 2
    with pytest.raises(dicomslide.DicomSlideError, match=r"the memory.*of study '1\.2\.3'"):
        dicomslide.open_slide(store, study_instance_uid="1.2.3")
    patient = store.datasets[0].PatientID
    assert len(dicomslide.find_slides(store, patient_id=patient)) == 1
    assert dicomslide.find_slides(store, patient_id=f"{patient} x") == []


def test_images_of_other_things_are_passed_over(store):
    other = Dataset()
    other.SOPClassUID, other.SOPInstanceUID = CTImageStorage, "1.2.3"
    store.datasets.insert(0, other)
    assert dicomslide.open_slide(store).num_levels == 2


def test_store_without_images_is_an_error_that_names_it(store):
    store.datasets = []
    with pytest.raises(dicomslide.DicomSlideError, match="the memory: there is no image"):
        dicomslide.open_slide(store)
    assert dicomslide.find_slides(store) == []


def test_error_of_a_store_is_raised_as_it_is(store, monkeypatch):
    def fail(query):
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(store, "images", fail)
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        dicomslide.open_slides(store, errors="skip")


@pytest.mark.parametrize("change", [lambda found: found[:-1], lambda found: [*found, found[0]]])
def test_frames_of_other_images_than_asked_for_are_an_error(store, monkeypatch, change):
    whole = store.frame_sources
    monkeypatch.setattr(store, "frame_sources", lambda datasets: change(whole(datasets)))
    with pytest.raises(
        dicomslide.SourceError, match=r"the memory: the store has \d frame sources for"
    ):
        dicomslide.open_slide(store)
    with pytest.raises(dicomslide.SourceError, match="for 1 images"):
        TiledImage(store, store.datasets[0])


def test_image_whose_uid_is_damaged_costs_its_slide_only(store):
    damaged = copy.deepcopy(store.datasets[0])
    tag = Tag("SOPInstanceUID")
    damaged[tag] = RawDataElement(tag, "ZZ", 4, b"\xff\xfe\xfd\xfc", 0, False, True)
    store.datasets.append(damaged)
    with pytest.raises(dicomslide.DicomSlideError, match="damaged"):
        dicomslide.open_slides(store)
    with pytest.raises(dicomslide.DicomSlideError, match="damaged"):
        dicomslide.find_slides(store)


@pytest.mark.parametrize("name", ["session", "credentials", "storage_options"])
def test_store_takes_no_session_credentials_and_options(store, name):
    with pytest.raises(ValueError, match=name):
        dicomslide.open_slide(store, **{name: "x"})


def test_frames_that_define_too_little_cannot_be_made():
    @dataclass
    class Nothing(FrameSource):
        pass

    with pytest.raises(TypeError, match="read"):
        Nothing()


# Where frames lie


@pytest.mark.parametrize("offset_table", ["basic", "extended", "empty"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGBaseline8Bit])
def test_frames_lie_where_a_file_says(make_slide, syntax, offset_table):
    path = make_slide(transfer_syntax=syntax, offset_table=offset_table).paths[0]
    source = dicomslide.open_slide(path).get_image(0).frame_source
    expected = MemoryStore([path]).sources.popitem()[1].frames
    locations = source.locate([7, 0, 19])
    content = path.read_bytes()
    for frame, location in zip([7, 0, 19], locations, strict=True):
        assert location.path == str(path.resolve())
        found = content[location.offset : location.offset + location.length]
        assert found == expected[frame] == source.read([frame])[0]


@pytest.mark.parametrize(
    "options",
    [
        {"transfer_syntax": "1.2.840.10008.1.2.1.99"},
        {"transfer_syntax": JPEGBaseline8Bit, "fragments_per_frame": 2},
    ],
)
def test_frames_in_several_fragments_have_no_location(make_slide, options):
    path = make_slide(**options).paths[0]
    source = dicomslide.open_slide(path).get_image(0).frame_source
    assert source.locate([0, 3]) == [None, None]


def test_frames_of_one_bit_have_no_location(make_slide):
    written = make_slide(size=(15, 15), tile=(5, 5), segmentations=("BINARY",), label=False)
    slide = dicomslide.open_slide(written.folder)
    image = slide.get_image(0, 1)
    assert image.frame_source.locate([0, 1]) == [None, None]


def test_frames_of_a_concatenation_lie_in_its_parts(make_slide):
    written = make_slide(transfer_syntax=JPEGBaseline8Bit, concatenation=3)
    source = dicomslide.open_slide(written.folder).get_image(0).frame_source
    locations = source.locate(range(20))
    assert {location.path for location in locations} == {
        str(path.resolve()) for path in written.paths
    }
    for frame, location in enumerate(locations):
        with open(location.path, "rb") as file:
            file.seek(location.offset)
            assert file.read(location.length) == source.read([frame])[0]


@pytest.mark.parametrize("folder", ["", "slides"])
def test_frames_in_an_archive_lie_in_its_members(make_slide, tmp_path, folder):
    written = make_slide(transfer_syntax=JPEGBaseline8Bit)
    with zipfile.ZipFile(tmp_path / "slide.zip", "w") as archive:
        for path in written.paths:
            archive.write(path, f"slides/{path.name}")
    url = f"zip://{folder}::{tmp_path / 'slide.zip'}"
    source = dicomslide.open_slide(url).get_image(0).frame_source
    for frame, location in enumerate(source.locate(range(20))):
        with fsspec.open(location.path, "rb") as file:
            file.seek(location.offset)
            assert file.read(location.length) == source.read([frame])[0]
