"""Annotations wherever a slide is stored, and slides that they belong to."""

import shutil
import warnings

import fsspec
import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMfileClient

import dicomslide
from dicomslide.testing import AnnotationOptions, write_annotations, write_slide
from tests.annotations.conftest import draw
from tests.conftest import SMALL

GROUPS = (
    AnnotationOptions("POLYGON", draw("POLYGON") * 30, "cells", {"size": np.arange(210.0)}),
    AnnotationOptions("POINT", draw("POINT"), "points"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotated")
    write_annotations(folder / "a.dcm", write_slide(folder, SMALL, seed=77), GROUPS)
    return folder


def in_folder(folder, orthanc):
    return folder


def in_files(folder, orthanc):
    return sorted(folder.iterdir())


def in_memory(folder, orthanc):
    file_system = fsspec.filesystem("memory")
    file_system.put(str(folder), "/annotated", recursive=True)
    return "memory://annotated"


def at_service(folder, orthanc):
    orthanc.upload(folder.iterdir())
    study = pydicom.dcmread(folder / "a.dcm", specific_tags=["StudyInstanceUID"]).StudyInstanceUID
    return f"dicomweb+{orthanc.url}/studies/{study}"


@pytest.mark.parametrize("place", [in_folder, in_files, in_memory, at_service])
def test_annotations_are_the_same_everywhere(folder, orthanc, place):
    slide = dicomslide.open_slide(place(folder, orthanc))
    assert len(slide.annotations) == 2
    for found, expected in zip(
        slide.annotations, dicomslide.open_slide(folder).annotations, strict=True
    ):
        assert (found.label, found.uid) == (expected.label, expected.uid)
        np.testing.assert_array_equal(
            found.get_slide_coordinates(), expected.get_slide_coordinates()
        )
        np.testing.assert_array_equal(found.node_counts, expected.node_counts)
        for measured, other in zip(found.measurements, expected.measurements, strict=True):
            np.testing.assert_array_equal(measured.values, other.values)
        np.testing.assert_array_equal(found.rasterize().values, expected.rasterize().values)
    tree = slide.to_datatree()
    assert list(tree["annotations"].children) == ["cells", "points"]


def test_clients_and_searches_find_annotations(folder):
    client = DICOMfileClient(folder.as_uri(), in_memory=True, update_db=True)
    (slide,) = dicomslide.find_slides(client)
    assert [group.label for group in slide.annotations] == ["cells", "points"]
    expected = dicomslide.open_slide(folder).annotations[0]
    np.testing.assert_array_equal(slide.annotations[0].vectors.points, expected.vectors.points)
    (slide,) = dicomslide.find_slides(client, include_derived=False)
    assert slide.annotations == ()


def test_annotations_join_the_slide_that_they_refer_to(tmp_path):
    first = write_slide(tmp_path / "first", SMALL, container_identifier="one", seed=5)
    second = write_slide(tmp_path / "second", SMALL, container_identifier="two", seed=6)
    write_annotations(tmp_path / "a.dcm", first, GROUPS)
    write_annotations(tmp_path / "b.dcm", second, GROUPS[1:])
    found = {slide.container_identifier: slide for slide in dicomslide.open_slides(tmp_path)}
    assert [len(found[name].annotations) for name in ("one", "two")] == [2, 1]


def test_millimetres_belong_to_a_slide_by_its_frame_of_reference(tmp_path, make_slide):
    points = [np.array([(12.0, 20.0, 0.0)])]
    path = write_annotations(tmp_path / "a.dcm", make_slide(), [AnnotationOptions("POINT", points)])
    dataset = pydicom.dcmread(path)
    (series,), (image,) = dataset.ReferencedSeriesSequence, dataset.ReferencedImageSequence
    for item in (series.ReferencedInstanceSequence[0], image):
        item.ReferencedSOPInstanceUID = "1.2.3"
    dataset.save_as(path)
    (group,) = dicomslide.open_slide([make_slide().folder, path]).annotations
    assert group.get_slide_coordinates().tolist() == [[12, 20, 0]]


def test_annotations_of_no_image_are_warned_about(tmp_path, make_slide):
    other = write_slide(tmp_path / "other", SMALL, seed=9)
    path = write_annotations(tmp_path / "a.dcm", other, GROUPS[1:])
    uid = pydicom.dcmread(path).SOPInstanceUID
    with pytest.warns(UserWarning, match=f"annotations {uid} are left out, as they refer to none"):
        slide = dicomslide.open_slide([make_slide().folder, path])
    assert slide.annotations == ()


def test_annotations_of_a_slide_that_was_not_chosen_are_no_concern(tmp_path):
    first = write_slide(tmp_path / "first", SMALL, container_identifier="one", seed=5)
    second = write_slide(tmp_path / "second", SMALL, container_identifier="two", seed=6)
    write_annotations(tmp_path / "b.dcm", second, GROUPS[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slide = dicomslide.open_slide(tmp_path, series_instance_uid=first.series_instance_uid)
    assert slide.annotations == ()


def test_annotations_alone_are_no_slide(folder, tmp_path):
    shutil.copy(folder / "a.dcm", tmp_path)
    kind = "Microscopy Bulk Simple Annotations Storage"
    with pytest.raises(ValueError, match=f"no slide in it; it holds 1 x {kind}"):
        dicomslide.open_slide(tmp_path)


def test_pixels_of_an_image_that_is_missing_are_warned_about(tmp_path):
    slide = write_slide(tmp_path / "slide", SMALL, factors=(1, 2), seed=8)
    write_annotations(tmp_path / "slide" / "a.dcm", slide, GROUPS[1:], level=1)
    dataset = pydicom.dcmread(tmp_path / "slide" / "a.dcm")
    # Only a module of general references has an image of the slide
    dataset.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    dataset.save_as(tmp_path / "slide" / "a.dcm")
    opened = dicomslide.open_slide(tmp_path / "slide")
    with pytest.warns(UserWarning, match=r"refers to image 1\.2\.3, which is not one of the slide"):
        assert opened.annotations == ()
