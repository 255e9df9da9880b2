"""Headers that are attached to reports of faults name nobody."""

import subprocess
import sys
from zipfile import ZipFile

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from dicomslide import open_slide
from dicomslide.cli import main
from dicomslide.cli.headers import anonymized
from dicomslide.grouping.slides import group_slides
from dicomslide.testing import OpticalPath, write_slide
from tests.conftest import SMALL
from tests.multiplex import code_item

SECRETS = ("Doe^Jane", "MRN-4711", "A-77", "Private Clinic", "19700101", "S26-1", "Dr. No")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A slide whose files name somebody wherever they can."""
    folder = tmp_path_factory.mktemp("named")
    paths = OpticalPath("1", "DAPI"), OpticalPath("2", "CD3")
    written = write_slide(folder, SMALL, samples=1, optical_paths=paths, factors=(1, 2), label=True)
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientID = SECRETS[:2]
        dataset.AccessionNumber, dataset.InstitutionName = SECRETS[2:4]
        dataset.PatientBirthDate = dataset.StudyDate = dataset.ContentDate = SECRETS[4]
        dataset.ContainerIdentifier = SECRETS[5]
        dataset.InstitutionCodeSequence = [code_item(("OP-1", "99X", SECRETS[3]))]
        operator = Dataset()
        operator.PersonIdentificationCodeSequence = [code_item(("OP-2", "99X", SECRETS[6]))]
        dataset.OperatorIdentificationSequence = [operator]
        for item in dataset.get("SpecimenDescriptionSequence") or ():
            item.SpecimenIdentifier, item.SpecimenShortDescription = SECRETS[5:]
        block = dataset.private_block(0x0009, "Dr. No", create=True)
        block.add_new(1, "LO", "Doe^Jane")
        dataset.save_as(path)
    return folder


@pytest.fixture(scope="module")
def headers(folder, tmp_path_factory):
    target = tmp_path_factory.mktemp("headers")
    assert main(["headers", str(folder), str(target / "headers.zip")]) == 0
    with ZipFile(target / "headers.zip") as archive:
        archive.extractall(target)
    return sorted(target.glob("*.dcm"))


def test_headers_name_nobody(folder, headers):
    assert len(headers) == len(list(folder.glob("*.dcm")))
    for path in headers:
        content = path.read_bytes()
        assert [text for text in SECRETS if text.encode() in content] == []
        dataset = pydicom.dcmread(path)
        assert "PixelData" not in dataset
        assert not any(element.tag.is_private for element in dataset)


def test_headers_still_tell_how_the_slide_was_scanned(folder, headers):
    slide = open_slide(folder)
    (images,) = group_slides(map(pydicom.dcmread, headers), "headers")
    volumes = [image for image in images if image.ImageType[2] == "VOLUME"]
    sizes = {(i.TotalPixelMatrixRows, i.TotalPixelMatrixColumns) for i in volumes}
    assert sizes == set(slide.total_pixel_matrix_dimensions)
    paths = [item.OpticalPathDescription for item in volumes[0].OpticalPathSequence]
    assert paths == ["DAPI", "CD3"]
    assert volumes[0].Manufacturer


def test_equal_identifiers_stay_equal():
    first, second = Dataset(), Dataset()
    first.StudyInstanceUID = second.SeriesInstanceUID = uid = generate_uid()
    first.SOPClassUID = "1.2.840.10008.5.1.4.1.1.77.1.6"
    cleaned = anonymized(first)
    assert cleaned.StudyInstanceUID == anonymized(second).SeriesInstanceUID != uid
    assert cleaned.SOPClassUID == first.SOPClassUID


def test_file_that_is_there_is_not_overwritten(folder, tmp_path, capsys):
    target = tmp_path / "headers.zip"
    target.write_bytes(b"something else")
    assert main(["headers", str(folder), str(target)]) == 2
    assert "headers.zip: File exists" in capsys.readouterr().err
    assert target.read_bytes() == b"something else"


@pytest.mark.filterwarnings("always")
def test_damaged_attribute_is_left_out(folder, tmp_path, capsys):
    slide = tmp_path / "damaged"
    slide.mkdir()
    for path in folder.glob("*.dcm"):
        content = path.read_bytes().replace(b"20.0", b"20a0")
        (slide / path.name).write_bytes(content)
    assert main(["headers", str(slide), str(tmp_path / "headers.zip")]) == 0
    assert "left out: ObjectiveLensPower: damaged" in capsys.readouterr().err
    with ZipFile(tmp_path / "headers.zip") as archive:
        assert len(archive.namelist()) == len(list(folder.glob("*.dcm")))


def test_archive_that_cannot_be_written_whole_is_not_left(folder, tmp_path):
    script = f"""
import resource, sys
from dicomslide.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
sys.exit(main(["headers", {str(folder)!r}, "headers.zip"]))
"""
    done = subprocess.run(
        [sys.executable, "-B", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (2, "dicomslide: error: headers.zip: File too large\n")
    assert list(tmp_path.iterdir()) == []
