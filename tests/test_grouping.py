"""Which images are one slide, wherever they are, and how one of several is chosen."""

import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import numpy as np
import pydicom
import pytest
import xarray as xr
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset

from dicomslide import find_slides, open_slide, open_slides
from dicomslide.cli import main
from dicomslide.grouping.slides import group_slides
from dicomslide.testing import OpticalPath, SyntheticSlide
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer

SMALL = {
    "size": (40, 50),
    "tile": (32, 32),
    "factors": (1, 2),
    "transfer_syntax": "1.2.840.10008.1.2.1",
    "icc_profile": False,
    "label": False,
    "overview": False,
    "container_identifier": "GLASS",
    "frame_of_reference_uid": "1.2.3.1",
    "series_instance_uid": "1.2.3.2",
}
MONOCHROME = {**SMALL, "samples": 1, "bits": 16}

Write = Callable[..., SyntheticSlide]


def put(folder: Path, written: SyntheticSlide, **attributes: Any) -> list[Path]:
    """Copy the files of a slide into a folder with other attributes; None deletes one.

    A function gives the value for each data set.
    """
    paths = []
    for path in written.paths:
        dataset = pydicom.dcmread(path)
        for keyword, value in attributes.items():
            found = value(dataset) if callable(value) else value
            if found is None:
                dataset.pop(keyword, None)
            else:
                setattr(dataset, keyword, found)
        paths.append(folder / f"{written.options.seed}-{path.name}")
        dataset.save_as(paths[-1])
    return paths


# Several slides: each function puts two or three of them into a folder. The keyword that the error
# names follows from what differs between them


def two_pyramid_uids(folder: Path, write: Write) -> list[SyntheticSlide]:
    scans = [write(**SMALL, seed=seed) for seed in (1, 2)]
    for scan in scans:
        put(folder, scan)
    return scans


def extended_depth_of_field(folder: Path, write: Write) -> list[SyntheticSlide]:
    """An image of extended depth of field beside its stack, with one Pyramid UID."""
    stack, extended = write(**SMALL, seed=1, focal_planes=3), write(**SMALL, seed=2)
    put(folder, stack, PyramidUID="1.2.3.4")
    put(folder, extended, PyramidUID="1.2.3.4", ExtendedDepthOfField="YES")
    return [stack, extended]


def extended_depth_of_field_without_uids(folder: Path, write: Write) -> list[SyntheticSlide]:
    stack, extended = write(**SMALL, seed=1, focal_planes=3), write(**SMALL, seed=2)
    put(folder, stack, PyramidUID=None)
    put(folder, extended, PyramidUID=None, ExtendedDepthOfField="YES")
    return [stack, extended]


def two_areas(folder: Path, write: Write) -> list[SyntheticSlide]:
    """Two areas 20 mm apart, each with a THUMBNAIL."""
    areas = [
        write(**SMALL, seed=seed, origin=(12.0, y), thumbnail=True)
        for seed, y in ((1, 20.0), (2, 40.0))
    ]
    for area in areas:
        put(folder, area, PyramidUID=None)
    return areas


def two_series(folder: Path, write: Write) -> list[SyntheticSlide]:
    """Two scans of the same area, and what was derived from each, without Pyramid UID."""
    scans = [
        write(
            **SMALL | {"series_instance_uid": f"1.2.3.2.{seed}"},
            seed=seed,
            origin=(12.0, 20.0),
            segmentations=("BINARY",),
        )
        for seed in (1, 2)
    ]
    for scan in scans:
        put(folder, scan, PyramidUID=None)
    return scans


def two_series_shifted(folder: Path, write: Write) -> list[SyntheticSlide]:
    """Two scans whose areas are not quite the same."""
    scans = [
        write(
            **SMALL | {"series_instance_uid": f"1.2.3.2.{seed}", "size": size},
            seed=seed,
            origin=(12.0, y),
        )
        for seed, size, y in ((1, (40, 50), 20.0), (2, (42, 46), 20.002))
    ]
    for scan in scans:
        put(folder, scan, PyramidUID=None)
    return scans


def two_containers(folder: Path, write: Write) -> list[SyntheticSlide]:
    slides = [write(**of_another_glass(number), seed=number) for number in (1, 2)]
    for slide in slides:
        put(folder, slide)
    return slides


def of_another_glass(number: int) -> dict[str, Any]:
    return SMALL | {
        "container_identifier": f"GLASS-{number}",
        "frame_of_reference_uid": f"1.2.3.1.{number}",
        "series_instance_uid": f"1.2.3.2.{number}",
    }


def no_containers(folder: Path, write: Write) -> list[SyntheticSlide]:
    """Two slides without Container Identifier, with segments of each."""
    slides = [
        write(**of_another_glass(number), seed=number, segmentations=("BINARY",))
        for number in (1, 2)
    ]
    for slide in slides:
        put(folder, slide, ContainerIdentifier=None)
    return slides


def two_glasses_of_which_one_was_scanned_twice(folder: Path, write: Write) -> list[SyntheticSlide]:
    slides = two_pyramid_uids(folder, write)
    slides.append(write(**of_another_glass(3), seed=3))
    put(folder, slides[-1])
    return slides


SEVERAL = {
    "two pyramid uids": (two_pyramid_uids, "pyramid_uid"),
    "extended depth of field": (extended_depth_of_field, "pyramid_uid"),
    "extended depth of field without uids": (extended_depth_of_field_without_uids, "pyramid_uid"),
    "two areas": (two_areas, "pyramid_uid"),
    "two series": (two_series, "series_instance_uid"),
    "two series shifted": (two_series_shifted, "series_instance_uid"),
    "two containers": (two_containers, "container_identifier"),
    "no containers": (no_containers, "series_instance_uid"),
    "two glasses": (two_glasses_of_which_one_was_scanned_twice, "pyramid_uid"),
}
LACKING = "images have no Container Identifier"


def in_folder(folder: Path, stack: ExitStack) -> Any:
    return folder


def in_memory(folder: Path, stack: ExitStack) -> Any:
    memory, name = fsspec.filesystem("memory"), uuid4().hex
    for path in folder.iterdir():
        memory.pipe_file(f"/{name}/{path.name}", path.read_bytes())
    stack.callback(memory.rm, f"/{name}", recursive=True)
    return f"memory://{name}"


def in_dicomweb(folder: Path, stack: ExitStack) -> Any:
    server = stack.enter_context(DicomwebServer(Archive(sorted(folder.iterdir()))))
    return f"dicomweb+{server.url}"


PLACES = {"folder": in_folder, "memory": in_memory, "dicomweb": in_dicomweb}


@pytest.fixture
def places() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def several(make_slide, tmp_path_factory):
    """The folder of a case, and the slides in it."""
    made = {}

    def make(case: str):
        if case not in made:
            folder = tmp_path_factory.mktemp("several")
            made[case] = folder, SEVERAL[case][0](folder, make_slide)
        return made[case]

    return make


def opened(case: str, call: Callable[[], Any]) -> Any:
    """Call a function that opens slides; those of one case warn that they have no container."""
    if case != "no containers":
        return call()
    with pytest.warns(UserWarning, match=LACKING) as warned:
        result = call()
    assert len(warned) == 1
    return result


def shows(slide, written: SyntheticSlide) -> bool:
    """Whether a slide has the levels of one that was written, and no others, and its pixels."""
    sizes = [level.size for level in written.levels]
    sizes += [written.thumbnail.shape[:2]] if written.thumbnail is not None else []
    return sorted(set(sizes)) == sorted(slide.total_pixel_matrix_dimensions) and all(
        np.array_equal(slide.get_image_region((0, 0), slide_level, level.size), level.pixels())
        for slide_level, level in (
            (slide.total_pixel_matrix_dimensions.index(level.size), level)
            for level in written.levels
        )
    )


def which(slide, slides: list[SyntheticSlide]) -> int:
    """The only one of the slides that were written that a slide shows."""
    (found,) = [number for number, written in enumerate(slides) if shows(slide, written)]
    return found


def read_choices(message: str) -> tuple[list[str], str, str]:
    """What an error says: the choices, the keyword that makes one, and the option."""
    pattern = r"there are (\d+) slides: ('.*'); name one with (\w+) \((--\w+)\)"
    count, listed, keyword, option = re.search(pattern, message).groups()
    choices = re.findall(r"'([^']+)'", listed)
    assert len(set(choices)) == int(count)
    return choices, keyword, option


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", SEVERAL)
def test_open_slides_gives_each_slide(several, places, case, place):
    folder, expected = several(case)
    source = PLACES[place](folder, places)
    slides = opened(case, lambda: open_slides(source))
    assert sorted(which(slide, expected) for slide in slides) == list(range(len(expected)))
    for slide in slides:
        written = expected[which(slide, expected)]
        assert len(slide.find_segments()) == 3 * len(written.segmentations)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", SEVERAL)
def test_following_the_advice_of_the_error_opens_each_slide(several, places, case, place):
    folder, expected = several(case)
    source = PLACES[place](folder, places)
    with pytest.raises(ValueError, match="slides:") as error:
        opened(case, lambda: open_slide(source))
    choices, keyword, _ = read_choices(str(error.value))
    assert keyword == SEVERAL[case][1]
    assert len(choices) == len(expected)
    found = [opened(case, lambda c=c: open_slide(source, **{keyword: c})) for c in choices]
    assert sorted(which(slide, expected) for slide in found) == list(range(len(expected)))
    for choice in choices:
        (slide,) = opened(case, lambda c=choice: open_slides(source, **{keyword: c}))
        assert slide == found[choices.index(choice)]


def run(*arguments: object) -> int:
    """Run the command, which prints warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("case", SEVERAL)
def test_the_engine_and_the_command_take_the_same_advice(several, case, capsys, tmp_path):
    folder, expected = several(case)
    assert run("thumbnail", folder, tmp_path / "thumbnail.png") == 2
    choices, keyword, option = read_choices(capsys.readouterr().err)
    for choice in choices:
        tree = opened(
            case, lambda c=choice: xr.open_datatree(folder, engine="dicomslide", **{keyword: c})
        )
        slide = opened(case, lambda c=choice: open_slide(folder, **{keyword: c}))
        uid = slide.get_image(0).uid
        assert tree["level_0"].attrs["sop_instance_uid"] == uid
        shown = tree["level_0"]["image"].isel(channel=0, focal_plane=0)
        assert np.array_equal(shown, expected[which(slide, expected)].levels[0].pixels())
        assert run("info", folder, option, choice) == 0
        capsys.readouterr()


@pytest.mark.parametrize("case", SEVERAL)
def test_find_slides_gives_each_slide(several, places, case):
    folder, expected = several(case)
    url = in_dicomweb(folder, places).removeprefix("dicomweb+")
    slides = opened(case, lambda: find_slides(DICOMwebClient(url)))
    assert sorted(which(slide, expected) for slide in slides) == list(range(len(expected)))


def test_a_choice_that_is_not_there_is_named(several):
    folder, _ = several("two series")
    for keyword in (
        "container_identifier",
        "study_instance_uid",
        "series_instance_uid",
        "pyramid_uid",
    ):
        with pytest.raises(ValueError, match=r"1\.2\.9\.9"):
            open_slide(folder, **{keyword: "1.2.9.9"})


@pytest.mark.parametrize("place", PLACES)
def test_segments_of_a_slide_that_is_not_there_do_not_stand_in_its_way(
    make_slide, tmp_path, places, place
):
    here, absent = (
        make_slide(**of_another_glass(number), seed=number, segmentations=("BINARY",))
        for number in (1, 2)
    )
    put(tmp_path, here, ContainerIdentifier=None)
    for path in put(tmp_path, absent, ContainerIdentifier=None):
        if path.name.startswith("2-level"):
            path.unlink()
    source = PLACES[place](tmp_path, places)
    with pytest.warns(UserWarning, match=LACKING), pytest.raises(ValueError, match="2 slides") as e:
        open_slide(source)
    choices, keyword, _ = read_choices(str(e.value))
    (uid,) = set(choices) & {here.series_instance_uid}
    with pytest.warns(UserWarning, match=LACKING):
        slide = open_slide(source, **{keyword: uid})
    assert shows(slide, here)
    (other,) = set(choices) - {uid}
    assert open_slide(source, **{keyword: other}).find_segments() == (0, 1, 2)


# One slide


def channels_in_instances(folder: Path, write: Write) -> SyntheticSlide:
    written = write(**MONOCHROME, optical_paths=2, optical_paths_in="each")
    put(folder, written)
    return written


def number_of(dataset: Dataset) -> str:
    """Number of the optical path or focal plane of an instance, as a part of a UID."""
    (item,) = dataset.OpticalPathSequence
    z = dataset.TotalPixelMatrixOriginSequence[0].ZOffsetInSlideCoordinateSystem
    return f"{item.OpticalPathIdentifier}.{int(z)}"


def channels_in_series(folder: Path, write: Write) -> SyntheticSlide:
    written = write(**MONOCHROME, optical_paths=2, optical_paths_in="each")
    put(folder, written, SeriesInstanceUID=lambda d: f"1.2.4.{number_of(d)}")
    return written


def channels_in_pyramids(folder: Path, write: Write) -> SyntheticSlide:
    written = write(**MONOCHROME, optical_paths=2, optical_paths_in="each")
    put(folder, written, PyramidUID=lambda d: f"1.2.4.{number_of(d)}")
    return written


def channels_in_series_and_pyramids(folder: Path, write: Write) -> SyntheticSlide:
    written = write(**SMALL, optical_paths=2, optical_paths_in="each")
    put(
        folder,
        written,
        PyramidUID=lambda d: f"1.2.4.{number_of(d)}",
        SeriesInstanceUID=lambda d: f"1.2.5.{number_of(d)}",
    )
    return written


def channels_that_only_series_tell_apart(folder: Path, write: Write) -> SyntheticSlide:
    paths = (OpticalPath("1"), OpticalPath("1"))
    written = write(**MONOCHROME, optical_paths=paths, optical_paths_in="each")
    second = {pydicom.dcmread(p).SOPInstanceUID for p in written.paths if "path-1" in p.name}

    def place(dataset: Dataset) -> str:
        return f"1.2.4.{int(dataset.SOPInstanceUID in second)}"

    put(folder, written, PyramidUID=place, SeriesInstanceUID=place)
    return written


def planes_in_instances(folder: Path, write: Write) -> SyntheticSlide:
    written = write(**SMALL, focal_planes=3, focal_planes_in="each")
    put(folder, written, PyramidUID=None)
    return written


def planes_in_pyramids(folder: Path, write: Write) -> SyntheticSlide:
    written = write(**SMALL, focal_planes=3, focal_planes_in="each")
    put(folder, written, PyramidUID=lambda d: f"1.2.4.{number_of(d)}")
    return written


def levels_in_two_series(folder: Path, write: Write) -> SyntheticSlide:
    written = write(**SMALL | {"factors": (1, 2, 4)})
    put(folder, written, SeriesInstanceUID=lambda d: f"1.2.4.{min(d.InstanceNumber, 2)}")
    return written


def levels_in_two_series_without_pyramid_uid(folder: Path, write: Write) -> SyntheticSlide:
    written = write(**SMALL | {"factors": (1, 2, 4)}, level_origins="same")
    put(
        folder,
        written,
        PyramidUID=None,
        SeriesInstanceUID=lambda d: f"1.2.4.{min(d.InstanceNumber, 2)}",
    )
    return written


ONE = {
    function.__name__.replace("_", " "): function
    for function in (
        channels_in_instances,
        channels_in_series,
        channels_in_pyramids,
        channels_in_series_and_pyramids,
        channels_that_only_series_tell_apart,
        planes_in_instances,
        planes_in_pyramids,
        levels_in_two_series,
        levels_in_two_series_without_pyramid_uid,
    )
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", ONE)
def test_channels_and_planes_in_several_instances_are_one_slide(
    make_slide, tmp_path, places, case, place
):
    written = ONE[case](tmp_path, make_slide)
    slide = open_slide(PLACES[place](tmp_path, places))
    options = written.options
    assert slide.num_channels == len(options.optical_path_items)
    assert slide.num_focal_planes == options.focal_planes
    assert slide.total_pixel_matrix_dimensions == tuple(level.size for level in written.levels)
    for number, level in enumerate(written.levels):
        for channel in range(slide.num_channels):
            for plane in range(slide.num_focal_planes):
                found = slide.get_image_region((0, 0), number, level.size, channel, plane)
                assert np.array_equal(found, level.pixels(channel, plane))


# What goes with a slide of several


def read(paths) -> list[Dataset]:
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]


def uids(images) -> set[str]:
    return {str(image.SOPInstanceUID) for image in images}


def group(*slides: list[Dataset]) -> list[set[str]]:
    return [uids(found) for found in group_slides([d for s in slides for d in s], "here")]


def derived_of(datasets: list[Dataset]) -> list[Dataset]:
    return [
        d
        for d in datasets
        if "ImageType" in d and d.ImageType[0] == "DERIVED" and d.Modality == "SEG"
    ]


def test_derived_images_go_with_the_pyramid_that_they_reference(make_slide):
    # Two scans of the same area, so that nothing but the reference tells
    scans = [
        read(make_slide(**SMALL, seed=n, origin=(12.0, 20.0), segmentations=("BINARY",)).paths)
        for n in (1, 2)
    ]
    for datasets in scans:
        for image in derived_of(datasets):
            image.pop("PyramidUID", None)
            image.SeriesInstanceUID = "1.2.3.77"
    assert group(*scans) == [uids(scan) for scan in scans]
    # In any order
    assert group(*(scan[::-1] for scan in scans[::-1])) == [uids(scan) for scan in scans[::-1]]


def without_references(image: Dataset) -> None:
    for keyword in ("ReferencedSeriesSequence", "SourceImageSequence", "PyramidUID"):
        image.pop(keyword, None)
    for item in image.get("SharedFunctionalGroupsSequence", ()):
        item.pop("DerivationImageSequence", None)


def test_other_derived_images_go_with_the_pyramid_that_they_overlap(make_slide):
    areas = [
        read(make_slide(**SMALL, seed=n, origin=(12.0, 20.0 * n), segmentations=("BINARY",)).paths)
        for n in (1, 2)
    ]
    for datasets in areas:
        for image in derived_of(datasets):
            without_references(image)
    assert group(*areas) == [uids(area) for area in areas]


def test_label_and_overview_are_of_each_slide_of_their_container(make_slide):
    first = read(make_slide(**SMALL | {"label": True, "overview": True}, seed=1).paths)
    second = read(make_slide(**SMALL, seed=2).paths)
    shared = {str(d.SOPInstanceUID) for d in first if d.ImageType[2] in ("LABEL", "OVERVIEW")}
    assert len(shared) == 2
    assert group(first, second) == [uids(first), uids(second) | shared]


def test_a_stack_and_another_scan_of_one_of_its_planes_are_two_slides(make_slide):
    stack = read(make_slide(**SMALL, seed=1, origin=(12.0, 20.0), focal_planes=3).paths)
    scan = read(make_slide(**SMALL, seed=2, origin=(12.0, 20.0)).paths)
    assert group(stack, scan) == [uids(stack), uids(scan)]


def test_scans_whose_sizes_differ_by_little_are_two_slides(make_slide):
    # The areas have their centres less than a tenth of a millimetre from each other
    scans = [
        read(
            make_slide(
                **SMALL | {"size": size, "series_instance_uid": f"1.2.3.2.{n}"}, seed=n
            ).paths
        )
        for n, size in ((1, (40, 50)), (2, (38, 48)))
    ]
    for image in (*scans[0], *scans[1]):
        del image.PyramidUID
    assert group(*scans) == [uids(scan) for scan in scans]


def test_levels_of_equal_stored_size_may_be_in_two_series(make_slide):
    images = read(make_slide(**SMALL | {"factors": (1, 2, 4)}, level_origins="same").paths)
    for image in images:
        del image.PyramidUID
        image.TotalPixelMatrixRows = image.TotalPixelMatrixColumns = 64
        image.NumberOfFrames = 4
    images[2].SeriesInstanceUID = "1.2.3.77"
    assert group(images) == [uids(images)]


def test_a_segmentation_that_names_the_container_joins_a_slide_that_does_not(make_slide):
    datasets = read(make_slide(**SMALL, seed=1, segmentations=("BINARY",)).paths)
    for image in datasets:
        if image not in derived_of(datasets):
            del image.ContainerIdentifier
        else:
            image.ContainerIdentifier = "GLASS"
    with pytest.warns(UserWarning, match=LACKING):
        assert group(datasets) == [uids(datasets)]


# Many


def many(template: list[Dataset], count: int) -> list[Dataset]:
    """Slides like one, each with UIDs and a container of its own."""
    found = []
    for number in range(count):
        for index, image in enumerate(template):
            copy = Dataset()
            # What is not changed is shared
            copy.update(image)
            copy.SOPInstanceUID = f"1.2.{number}.{index}"
            copy.SeriesInstanceUID = f"1.3.{number}"
            copy.FrameOfReferenceUID = f"1.4.{number}"
            copy.PyramidUID = f"1.5.{number}"
            copy.ContainerIdentifier = f"GLASS-{number}"
            found.append(copy)
    return found


def count_calls(function: Callable[[], Any]) -> tuple[Any, int]:
    """Call a function; gives what it returns, and how many functions are called meanwhile."""
    count = 0

    def notice(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(notice)
    try:
        found = function()
    finally:
        sys.setprofile(before)
    return found, count


def test_the_work_for_many_slides_grows_with_their_number(make_slide):
    written = make_slide(**SMALL | {"factors": (1, 2, 4), "label": True, "overview": True}, seed=9)
    template = read(written.paths)
    assert len(template) == 5
    counts = []
    for count in (10, 100):
        datasets = many(template, count)
        slides, calls = count_calls(lambda d=datasets: group_slides(d, "here"))
        assert [len(slide) for slide in slides] == [5] * count
        counts.append(calls)
    assert counts[1] < 11 * counts[0]


def areas_on_one_glass(template: list[Dataset], count: int, state_uids: bool) -> list[Dataset]:
    """Areas on one glass slide, two millimetres from each other in rows of twenty."""
    found = many(template, count)
    for index, image in enumerate(found):
        row, column = divmod(index // len(template), 20)
        image.ContainerIdentifier, image.FrameOfReferenceUID = "GLASS", "1.2.3.1"
        image.SeriesInstanceUID = "1.2.3.2"
        if not state_uids:
            del image.PyramidUID
        if image.ImageType[2] in ("VOLUME", "THUMBNAIL"):
            origin = Dataset()
            origin.XOffsetInSlideCoordinateSystem = 2.0 * column
            origin.YOffsetInSlideCoordinateSystem = 2.0 * row
            image.TotalPixelMatrixOriginSequence = [origin]
    return found


@pytest.mark.parametrize("state_uids", [False, True])
def test_the_work_for_many_areas_on_a_slide_grows_with_their_number(make_slide, state_uids):
    template = read(make_slide(**SMALL | {"thumbnail": True}, seed=9).paths)
    assert len(template) == 3
    counts = []
    for count in (20, 200):
        datasets = areas_on_one_glass(template, count, state_uids)
        slides, calls = count_calls(lambda d=datasets: group_slides(d, "here"))
        assert list(map(uids, slides)) == [uids(datasets[3 * n :][:3]) for n in range(count)]
        counts.append(calls)
    # Areas at the border of the field have fewer neighbours
    assert counts[1] < 12 * counts[0]


def test_an_area_goes_with_those_that_it_overlaps_however_large_they_are(make_slide):
    (template,) = read(make_slide(**SMALL | {"factors": (1,)}, seed=9).paths)
    # (x, y) of the origin in millimetres, and the side in pixels
    places = [(0, 0, 10_000), (3, 3, 100), (9, 9, 100), (9.01, 9.01, 10), (20, 0, 1000)]
    images = many([template], len(places))
    for image, (x, y, side) in zip(images, places, strict=True):
        image.ContainerIdentifier, image.FrameOfReferenceUID = "GLASS", "1.2.3.1"
        image.SeriesInstanceUID = "1.2.3.2"
        del image.PyramidUID
        image.TotalPixelMatrixRows = image.TotalPixelMatrixColumns = side
        origin = Dataset()
        origin.XOffsetInSlideCoordinateSystem = float(x)
        origin.YOffsetInSlideCoordinateSystem = float(y)
        image.TotalPixelMatrixOriginSequence = [origin]
        measures = Dataset()
        measures.PixelSpacing = [0.0005, 0.0005]
        groups = Dataset()
        groups.PixelMeasuresSequence = [measures]
        image.SharedFunctionalGroupsSequence = [groups]
        image.ImageOrientationSlide = [1, 0, 0, 0, 1, 0]
    # The first area is 5 mm wide, the others 0.05, 0.05, 0.005 and 0.5 mm
    together = [{0, 1}, {2, 3}, {4}]
    assert group(images) == [uids(images[n] for n in area) for area in together]
