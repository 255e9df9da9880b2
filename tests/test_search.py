"""The documented function find_slides, on folders behind a DICOMfileClient."""

import io
import logging
import shutil

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMfileClient
from highdicom.sr import CodedConcept
from PIL import Image, ImageCms
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code

from dicomslide import ChannelTypes, Slide, find_slides
from dicomslide.testing import OpticalPath, make_wide_gamut_profile

SMALL = {
    "size": (60, 50),
    "tile": (32, 32),
    "factors": (1, 2),
    "transfer_syntax": "1.2.840.10008.1.2.1",
    "icc_profile": False,
    "label": True,
    "overview": True,
}
HAEMATOXYLIN = Code("12710003", "SCT", "hematoxylin stain")
EOSIN = Code("36879007", "SCT", "water soluble eosin stain")
DAPI = Code("DAPI", "99DICOMSLIDE", "DAPI")
CD3 = Code("12345", "99TEST", "CD3")


@pytest.fixture(scope="module")
def stained(make_slide):
    """Slide A: H&E, with a segmentation and a parametric map, of patient 1."""
    return make_slide(
        **SMALL,
        container_identifier="A",
        patient_id="P1",
        study_id="S1",
        segmentations=("BINARY",),
        parametric_maps=("float",),
    )


@pytest.fixture(scope="module")
def fluorescent(make_slide):
    """Slide B: fluorescence with an instance for each of two paths, in the same study."""
    return make_slide(
        **{**SMALL, "label": False, "overview": False},
        samples=1,
        container_identifier="B",
        patient_id="P1",
        study_id="S1",
        optical_paths=(
            OpticalPath("nuclei", "Nuclei", 385.0, "DAPI"),
            OpticalPath("fibres", "Fibres", 475.0, "FITC"),
        ),
        optical_paths_in="each",
    )


@pytest.fixture(scope="module")
def foreign(make_slide):
    """Slide C: H&E of another patient."""
    return make_slide(**SMALL, container_identifier="C", patient_id="P2", study_id="S2")


@pytest.fixture(scope="module")
def slides(stained, fluorescent, foreign):
    return [stained, fluorescent, foreign]


def copy_files(slides, folder):
    """Copy the files of slides into one folder, beside each other."""
    for slide in slides:
        for path in slide.paths:
            shutil.copy(path, folder / f"{slide.container_identifier}-{path.name}")
    return folder


def connect(folder):
    """Open a client to a folder, into which it writes its database."""
    return DICOMfileClient(f"file://{folder}")


@pytest.fixture(scope="module")
def client(slides, tmp_path_factory):
    """A client to a folder with slides A, B and C."""
    return connect(copy_files(slides, tmp_path_factory.mktemp("archive")))


def containers(found):
    return sorted(slide.container_identifier for slide in found)


# Which slides


def test_all_slides_of_a_folder_are_found(client, slides):
    found = find_slides(client)
    assert all(isinstance(slide, Slide) for slide in found)
    assert containers(found) == ["A", "B", "C"]
    by_container = {slide.container_identifier: slide for slide in found}
    for written in slides:
        slide = by_container[written.container_identifier]
        assert slide.frame_of_reference_uid == written.frame_of_reference_uid
        for level, known in enumerate(written.levels):
            region = slide.get_image_region((0, 0), level, known.size)
            assert np.array_equal(region, known.pixels())


def test_labels_and_overviews_belong_to_their_slide(client, foreign):
    (slide,) = find_slides(client, container_id="C")
    (label,), (overview,) = slide.label_images, slide.overview_images
    assert np.array_equal(label.get_total_pixel_matrix()[...], foreign.label)
    assert np.array_equal(overview.get_total_pixel_matrix()[...], foreign.overview)


def test_slides_of_a_study_are_found(client, stained, foreign):
    assert stained.study_instance_uid != foreign.study_instance_uid
    found = find_slides(client, study_instance_uid=stained.study_instance_uid)
    assert containers(found) == ["A", "B"]
    assert find_slides(client, study_instance_uid="1.2.3.4.5") == []


def test_slides_of_a_patient_are_found(client):
    assert containers(find_slides(client, patient_id="P1")) == ["A", "B"]
    assert containers(find_slides(client, patient_id="P2")) == ["C"]
    assert find_slides(client, patient_id="P3") == []


def test_slides_of_a_study_identifier_are_found(client):
    assert containers(find_slides(client, study_id="S1")) == ["A", "B"]
    assert containers(find_slides(client, study_id="S2")) == ["C"]
    assert find_slides(client, study_id="S1", patient_id="P2") == []


def test_the_slide_in_a_container_is_found(client):
    assert containers(find_slides(client, container_id="B")) == ["B"]
    assert find_slides(client, container_id="D") == []


def test_a_folder_without_slides_has_none(tmp_path):
    assert find_slides(connect(tmp_path)) == []


def test_criteria_narrow_the_search_together(client, stained):
    found = find_slides(
        client,
        study_instance_uid=stained.study_instance_uid,
        patient_id="P1",
        study_id="S1",
        container_id="A",
        specimen_stains=[EOSIN],
        optical_path_ids=["1"],
    )
    assert containers(found) == ["A"]


# Which images of a slide


@pytest.mark.parametrize(
    ("stains", "expected"),
    [
        ([HAEMATOXYLIN], ["A", "C"]),
        ([EOSIN], ["A", "C"]),
        ([CodedConcept("36879007", "SCT", "water soluble eosin stain")], ["A", "C"]),
        ([DAPI], ["B"]),
        ([DAPI, EOSIN], ["A", "B", "C"]),
        ([CD3, DAPI], ["B"]),
        ([CD3], []),
    ],
)
def test_images_of_specimens_with_one_of_the_stains_are_found(client, stains, expected):
    assert containers(find_slides(client, specimen_stains=stains)) == expected


@pytest.mark.parametrize(
    ("identifiers", "expected"),
    [
        (["1"], {"A": ["1"], "C": ["1"]}),
        (["nuclei"], {"B": ["nuclei"]}),
        (["fibres", "1"], {"A": ["1"], "B": ["fibres"], "C": ["1"]}),
        (["nuclei", "fibres"], {"B": ["nuclei", "fibres"]}),
        (["2"], {}),
    ],
)
def test_images_with_one_of_the_optical_paths_are_found(client, identifiers, expected):
    found = find_slides(client, optical_path_ids=identifiers)
    assert {
        slide.container_identifier: [
            slide.get_channel_identifier(index) for index in slide.find_optical_paths()
        ]
        for slide in found
    } == expected


def test_derived_images_are_included_by_default(client, stained):
    (slide,) = find_slides(client, container_id="A")
    types = [slide.get_channel_type(index) for index in range(slide.num_channels)]
    assert types == (
        [ChannelTypes.OPTICAL_PATH] + [ChannelTypes.SEGMENT] * 3 + [ChannelTypes.PARAMETER] * 2
    )
    epithelium = slide.get_image_region((0, 0), 1, (30, 25), channel_index=2)
    assert np.array_equal(epithelium[..., 0], stained.segmentations[0].mask(1, 2))
    eosin = slide.get_image_region((0, 0), 0, (60, 50), channel_index=5)
    assert np.array_equal(eosin[..., 0], stained.parametric_maps[0].stored(0, 1))


def test_derived_images_are_left_out_on_demand(client):
    (slide,) = find_slides(client, container_id="A", include_derived=False)
    assert slide.num_channels == 1
    assert slide.get_channel_type(0) is ChannelTypes.OPTICAL_PATH


@pytest.mark.parametrize("modality", ["SM", "OT", "SEG", "SR"])
def test_derived_images_are_found_whatever_their_modality(stained, tmp_path, modality):
    for path in stained.paths:
        dataset = pydicom.dcmread(path)
        if path.name.startswith(("segmentation", "parametric-map")):
            dataset.Modality = modality
        dataset.save_as(tmp_path / path.name)
    (slide,) = find_slides(connect(tmp_path))
    assert slide.num_channels == 1 + 3 + 2
    (slide,) = find_slides(connect(tmp_path), include_derived=False)
    assert slide.num_channels == 1


def test_derived_images_need_no_container(stained, tmp_path):
    for path in stained.paths:
        dataset = pydicom.dcmread(path)
        if path.name.startswith("seg") and "ContainerIdentifier" in dataset:
            del dataset.ContainerIdentifier
        dataset.save_as(tmp_path / path.name)
    (slide,) = find_slides(connect(tmp_path))
    assert len(slide.find_segments()) == 3


def test_derived_images_alone_are_no_slide(stained, tmp_path):
    for path in stained.segmentations[0].paths:
        shutil.copy(path, tmp_path)
    assert find_slides(connect(tmp_path)) == []


def write_other_image(path, sop_class_uid, modality):
    """Write an image of one pixel that is no whole slide image."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = f"1.2.3.{len(modality)}.{len(sop_class_uid)}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", f"1.2.3.{len(sop_class_uid)}"
    dataset.StudyID, dataset.PatientID, dataset.PatientName = "S1", "P1", "A^B"
    dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "20260101", "120000", "1"
    dataset.ReferringPhysicianName = dataset.PatientSex = dataset.PatientBirthDate = ""
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.Modality = modality
    dataset.Rows = dataset.Columns = dataset.SamplesPerPixel = 1
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = b"\0\0"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.save_as(path, enforce_file_format=True)


def test_other_images_beside_a_slide_are_passed_over(foreign, tmp_path):
    write_other_image(tmp_path / "ct.dcm", "1.2.840.10008.5.1.4.1.1.2", "CT")
    # A photograph through a microscope has the same Modality as a whole slide image
    write_other_image(tmp_path / "photo.dcm", "1.2.840.10008.5.1.4.1.1.77.1.3", "SM")
    copy_files([foreign], tmp_path)
    assert containers(find_slides(connect(tmp_path))) == ["C"]


# Slides that cannot be used


@pytest.fixture
def damaged_client(slides, tmp_path):
    """A client to slides A, B and C, of which B has a level a centimetre away from its place."""
    copy_files(slides, tmp_path)
    for path in tmp_path.glob("B-level-1-*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.TotalPixelMatrixOriginSequence[0].XOffsetInSlideCoordinateSystem += 10
        dataset.save_as(path)
    return connect(tmp_path)


def test_a_slide_that_cannot_be_used_is_a_value_error(damaged_client):
    with pytest.raises(ValueError, match="not aligned"):
        find_slides(damaged_client)


def test_slides_that_cannot_be_used_are_left_out_on_demand(damaged_client, caplog):
    with caplog.at_level(logging.WARNING, logger="dicomslide"):
        found = find_slides(damaged_client, fail_on_error=False)
    assert containers(found) == ["A", "C"]
    (record,) = caplog.records
    assert "B" in record.getMessage()
    assert "not aligned" in record.getMessage()


def test_the_pyramid_tolerance_is_that_of_the_slides(damaged_client, client):
    assert containers(find_slides(damaged_client, pyramid_tolerance=10.1)) == ["A", "B", "C"]
    with pytest.raises(ValueError, match="pyramid_tolerance"):
        find_slides(client, pyramid_tolerance=-1.0)


def test_the_cache_size_is_that_of_the_slides(client):
    with pytest.raises(ValueError, match="max_frame_cache_size"):
        find_slides(client, max_frame_cache_size=-1)
    with pytest.raises(TypeError, match="max_frame_cache_size"):
        find_slides(client, max_frame_cache_size="6")


def test_colours_are_corrected_unless_told_otherwise(make_slide, tmp_path):
    profile = make_wide_gamut_profile()
    written = make_slide(**{**SMALL, "icc_profile": profile})
    client = connect(copy_files([written], tmp_path))
    stored = written.levels[0].pixels()
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), "RGB", "RGB"
    )
    corrected = np.asarray(ImageCms.applyTransform(Image.fromarray(stored), transform))
    assert np.abs(corrected.astype(int) - stored).max() > 10
    (slide,) = find_slides(client)
    assert np.array_equal(slide.get_image_region((0, 0), 0, (60, 50)), corrected)
    (slide,) = find_slides(client, correct_color=False)
    assert np.array_equal(slide.get_image_region((0, 0), 0, (60, 50)), stored)


# Clients and arguments


class Relay:
    """Any client of the interface, here one that asks another one."""

    def __init__(self, client):
        for name in (
            "search_for_series",
            "search_for_instances",
            "retrieve_series_metadata",
            "retrieve_instance_frames",
        ):
            setattr(self, name, getattr(client, name))


def test_any_client_of_the_interface_will_do(make_slide, tmp_path):
    written = make_slide(**SMALL, seed=3)
    (slide,) = find_slides(Relay(connect(copy_files([written], tmp_path))))
    for level, known in enumerate(written.levels):
        assert np.array_equal(slide.get_image_region((0, 0), level, known.size), known.pixels())


def test_any_client_may_deliver_compressed_frames(make_slide, tmp_path):
    written = make_slide(**{**SMALL, "transfer_syntax": "1.2.840.10008.1.2.4.50"})
    (slide,) = find_slides(Relay(connect(copy_files([written], tmp_path))))
    region = slide.get_image_region((0, 0), 0, (60, 50))
    error = region - written.levels[0].pixels().astype(int)
    # JPEG is lossy: with swapped or unconverted colours the error is ten times as large
    assert np.abs(error).mean() < 4


@pytest.mark.parametrize("client", ["folder", None, object()])
def test_anything_else_is_no_client(client):
    with pytest.raises(TypeError, match=r"^client:"):
        find_slides(client)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("study_instance_uid", 5),
        ("patient_id", 5),
        ("study_id", b"S1"),
        ("container_id", ["A"]),
        ("specimen_stains", EOSIN),
        ("specimen_stains", ["eosin"]),
        ("specimen_stains", "eosin"),
        ("optical_path_ids", "1"),
        ("optical_path_ids", 1),
        ("optical_path_ids", [1]),
        ("pyramid_tolerance", "0.1"),
    ],
)
def test_a_wrong_type_is_a_type_error_that_names_the_argument(client, name, value):
    with pytest.raises(TypeError, match=rf"^{name}:"):
        find_slides(client, **{name: value})
