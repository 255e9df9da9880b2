"""The situations of OpenSlide's own DICOM test cases, made anew, and what becomes of them here.

Its cases are named ``dicom-...``. Each is repeated with a synthetic slide: the verdict of OpenSlide
is that of its test suite, and is asked of the library itself if that is recent enough; ours is
stated beside it. The table of ``docs/odd-files.md`` is made from this module, which writes it anew
when it is run as a script.
"""

import os
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import openslide
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000, JPEG2000Lossless, JPEGBaseline8Bit

from dicomslide import DicomSlideError, OpenSlide, Slide, open_slide
from dicomslide.testing import SyntheticSlide

PAGE = Path(__file__).parents[1] / "docs" / "odd-files.md"
TABLE = re.compile(r"(?<=<!-- begin of the table -->\n).*(?=<!-- end of the table -->)", re.DOTALL)

SLIDE = {
    "transfer_syntax": JPEGBaseline8Bit,
    "quality": 95,
    "factors": (1, 2),
    "label": True,
    "overview": True,
}
LEVEL, LABEL = "level-1.dcm", "label.dcm"
PARTS = ("level-0-part-1.dcm", "level-0-part-2.dcm")

# Writes a slide into a folder
Write = Callable[..., SyntheticSlide]


@dataclass(frozen=True)
class Case:
    """A situation and its verdicts.

    Parameters
    ----------
    name : str
        Name of OpenSlide's case
    situation : str
        What is odd about the slide
    build : callable
        Writes the slide into a folder
    refused : bool
        Whether OpenSlide refuses the slide
    error : str, optional
        What our error says; None where the slide opens
    why : str
        Why our verdict or the slide that opens is another one
    warns : str, optional
        What a warning of ours says, when pixels are read
    opened : str
        Name of the file that OpenSlide is given
    since : tuple of int
        Version of OpenSlide with this verdict
    """

    name: str
    situation: str
    build: Callable[[Path, Write], SyntheticSlide]
    refused: bool
    error: str | None
    why: str
    warns: str | None
    opened: str
    since: tuple[int, ...]


CASES: list[Case] = []


def case(
    name: str,
    situation: str,
    *,
    refused: bool = True,
    error: str | None = None,
    why: str = "",
    warns: str | None = None,
    opened: str = LEVEL,
    since: tuple[int, ...] = (4, 0, 1),
) -> Callable[[Any], Any]:
    """Add a case, which the decorated function makes."""

    def add(build: Callable[[Path, Write], SyntheticSlide]) -> Any:
        CASES.append(Case(name, situation, build, refused, error, why, warns, opened, since))
        return build

    return add


def edit(path: Path, **values: Any) -> None:
    """Change attributes of a file; those that become None are deleted."""
    dataset = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    dataset.save_as(path)


def rename_transfer_syntax(path: Path, uid: str) -> None:
    """Have the File Meta Information tell another transfer syntax, without touching the frames."""
    dataset = pydicom.dcmread(path)
    old = dataset.file_meta.TransferSyntaxUID
    size = len(old) + len(old) % 2
    assert len(uid) <= size
    path.write_bytes(
        path.read_bytes().replace(
            old.encode().ljust(size, b"\0"), uid.encode().ljust(size, b"\0"), 1
        )
    )


# Associated images


@case(
    "dicom-associated-concatenation",
    "A LABEL is a part of a concatenation of which there is no other part",
    error=r"part 2 of several is missing",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LABEL, ConcatenationUID="1.2.3", InConcatenationNumber=1)
    return written


@case(
    "dicom-associated-conflicting",
    "Two different LABEL images",
    why="a slide may have several: `label_images` has both",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    shutil.copy(folder / LABEL, folder / "another.dcm")
    edit(folder / "another.dcm", SOPInstanceUID="1.2.3")
    return written


@case("dicom-associated-duplicate", "Two copies of a LABEL", refused=False)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    shutil.copy(folder / LABEL, folder / "copy.dcm")
    return written


@case(
    "dicom-associated-no-totalpixelmatrixrows",
    "A LABEL without Total Pixel Matrix Rows",
    error=r"Total Pixel Matrix Rows",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LABEL, TotalPixelMatrixRows=None)
    return written


# Concatenations


@case("dicom-concatenation", "A level in two parts", refused=False, opened=PARTS[0])
def _(folder: Path, write: Write) -> SyntheticSlide:
    return write(folder, concatenation=2)


@case(
    "dicom-concatenation-bad-inconcatenationnumber",
    "Part 1 says that it is part 0",
    error=r"is 0, parts are counted from 1",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    edit(folder / PARTS[0], InConcatenationNumber=0)
    return written


@case(
    "dicom-concatenation-bad-inconcatenationnumber-2",
    "Part 2 says that it is part 65535",
    error=r"part 2 of 2 is missing",
    opened=PARTS[1],
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    edit(folder / PARTS[1], InConcatenationNumber=65535)
    return written


@case(
    "dicom-concatenation-bad-inconcatenationtotalnumber",
    "Part 1 says that there are three parts, part 2 that there are two",
    error=r"part 3 of 3 is missing",
    opened=PARTS[1],
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    edit(folder / PARTS[0], InConcatenationTotalNumber=3)
    return written


@case("dicom-concatenation-duplicate-file", "Two copies of part 2", refused=False)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    shutil.copy(folder / PARTS[1], folder / "copy.dcm")
    return written


@case(
    "dicom-concatenation-duplicate-inconcatenationnumber",
    "Both parts say that they are part 1",
    error=r"are both part 1",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    edit(folder / PARTS[1], InConcatenationNumber=1)
    return written


@case(
    "dicom-concatenation-inconsistent-concatenationuid",
    "The parts have different Concatenation UIDs",
    error=r"part \d of 2 is missing",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    edit(folder / PARTS[1], ConcatenationUID="1.2.3")
    return written


@case(
    "dicom-concatenation-inconsistent-patientid",
    "The parts have different Patient IDs",
    refused=False,
    opened=PARTS[1],
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    edit(folder / PARTS[1], PatientID="SOMEONE ELSE")
    return written


@case(
    "dicom-concatenation-inconsistent-tile-size",
    "The parts have frames of different sizes",
    error=r"Columns is 24 in image \S+, but 12 in image",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    edit(folder / PARTS[1], Columns=12)
    return written


@case(
    "dicom-concatenation-missing-file",
    "Part 1 is missing",
    error=r"part 1 of 2 is missing",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    (folder / PARTS[0]).unlink()
    return written


@case(
    "dicom-concatenation-no-concatenationuid",
    "Part 2 has no Concatenation UID",
    error=r"part 2 of 2 is missing",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    edit(folder / PARTS[1], ConcatenationUID=None)
    return written


@case(
    "dicom-concatenation-single-file",
    "Part 2, the last one, is missing",
    error=r"part 2 of 2 is missing",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, concatenation=2)
    (folder / PARTS[1]).unlink()
    return written


# Files that are DICOM and TIFF at once


def add_tiff(path: Path, compression: int) -> None:
    """Have a file be a BigTIFF of one tile as well, whose header is in the preamble."""
    tags = {256: 24, 257: 16, 258: 8, 259: compression, 262: 2, 277: 3}
    tags |= {322: 32, 323: 16, 324: 132, 325: 100}
    data = bytearray(path.read_bytes())
    data[:16] = struct.pack("<2sHHHQ", b"II", 43, 8, 0, len(data))
    data += struct.pack("<Q", len(tags))
    for tag, value in tags.items():
        data += struct.pack("<HHQQ", tag, 4, 1, value)
    path.write_bytes(data + bytes(8))
    path.rename(path.with_suffix(".tif"))


def build_dual(**options: Any) -> Callable[[Path, Write], SyntheticSlide]:
    def build(folder: Path, write: Write) -> SyntheticSlide:
        written = write(folder, **options)
        add_tiff(folder / LEVEL, 33003 if options["photometric"] == "YBR_RCT" else 33005)
        return written

    return build


for _suffix, _kind, _options, _since in (
    ("", "RGB", {"transfer_syntax": JPEG2000, "photometric": "RGB"}, (4, 0, 1)),
    (".2", "YBR_RCT", {"transfer_syntax": JPEG2000Lossless, "photometric": "YBR_RCT"}, (4, 0, 1)),
    (".3", "YBR_ICT", {"transfer_syntax": JPEG2000, "photometric": "YBR_ICT"}, (4, 0, 1)),
):
    case(
        f"dicom-dual-bigtiff-file-extension{_suffix}",
        f"JPEG 2000 ({_kind}) in a file that is a BigTIFF as well and is called `.tif`",
        why="it is a DICOM file, whatever its name",
        opened="level-1.tif",
        since=_since,
    )(build_dual(**_options))


# Levels


@case(
    "dicom-level-bad-bitsallocated",
    "A level of 8-bit JPEG frames says Bits Allocated 16",
    why="its pixels are 16-bit integers of the same values",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LEVEL, BitsAllocated=16)
    return written


@case(
    "dicom-level-bad-frame",
    "The file of a level ends within a frame",
    error=r"level-1\.dcm: .*truncated",
    opened="level-0.dcm",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    os.truncate(folder / LEVEL, (folder / LEVEL).stat().st_size - 100)
    return written


@case(
    "dicom-level-bad-imagetype",
    "Image Type has two values only",
    error=r"Image Type is \['DERIVED', 'PRIMARY'\]",
    opened="level-0.dcm",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LEVEL, ImageType=["DERIVED", "PRIMARY"])
    return written


@case(
    "dicom-level-no-imagetype",
    "There is no Image Type",
    error=r"Image Type is None",
    opened="level-0.dcm",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LEVEL, ImageType=None)
    return written


_CODESTREAM = "the codestream itself says how its colours were transformed"


def build_lossless_ict(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, transfer_syntax=JPEG2000, photometric="YBR_ICT")
    rename_transfer_syntax(folder / LEVEL, JPEG2000Lossless)
    return written


for _suffix in ("", ".2"):
    case(
        f"dicom-level-bad-jp2k-ict-transfersyntaxuid{_suffix}",
        "Photometric Interpretation YBR_ICT with the transfer syntax of lossless JPEG 2000",
        why=_CODESTREAM,
    )(build_lossless_ict)


@case(
    "dicom-level-bad-jp2k-ybr-full-422-transfersyntaxuid",
    "Photometric Interpretation YBR_FULL_422 with the transfer syntax of lossless JPEG 2000",
    why=f"{_CODESTREAM}, with a warning",
    warns=r"level-1\.dcm: .* is YBR_FULL_422, but the frames hold RGB that is transformed within",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder, transfer_syntax=JPEG2000Lossless, photometric="YBR_RCT")
    edit(folder / LEVEL, PhotometricInterpretation="YBR_FULL_422")
    return written


@case(
    "dicom-level-bad-jpeg",
    "A frame does not start like a JPEG stream",
    error=r"level-1\.dcm: frame 1: .*JPEG",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    data = (folder / LEVEL).read_bytes()
    (folder / LEVEL).write_bytes(data.replace(b"\xff\xd8\xff", b"\xf3\xd8\xff", 1))
    return written


@case(
    "dicom-level-bad-photometricinterpretation",
    "Photometric Interpretation YBR_ICT with JPEG frames",
    why="YBR_ICT and the YCbCr of JPEG are the same colour space",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LEVEL, PhotometricInterpretation="YBR_ICT")
    return written


@case(
    "dicom-level-bad-transfersyntaxuid",
    "A level has the unknown transfer syntax 1.2.3.4.5.6.7.8.9.10.1",
    error=r"level-1\.dcm: transfer syntax '1\.2\.3\.4\.5\.6\.7\.8\.9\.10\.1'",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    rename_transfer_syntax(folder / LEVEL, "1.2.3.4.5.6.7.8.9.10.1")
    return written


@case(
    "dicom-level-conflicting",
    "Two different images of one level",
    error=r"another\.dcm and level-1\.dcm|level-1\.dcm and another\.dcm|both show optical path",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    shutil.copy(folder / LEVEL, folder / "another.dcm")
    edit(folder / "another.dcm", SOPInstanceUID="1.2.3")
    return written


@case("dicom-level-duplicate", "Two copies of a level", refused=False)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    shutil.copy(folder / LEVEL, folder / "copy.dcm")
    return written


@case(
    "dicom-level-duplicate-no-sopinstanceuid",
    "Two copies of a level without SOP Instance UID",
    error=r"\.dcm: there is no SOP Instance UID",
    opened="level-0.dcm",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LEVEL, SOPInstanceUID=None)
    shutil.copy(folder / LEVEL, folder / "copy.dcm")
    return written


@case(
    "dicom-level-no-totalpixelmatrixrows",
    "A level without Total Pixel Matrix Rows",
    error=r"Total Pixel Matrix Rows",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LEVEL, TotalPixelMatrixRows=None)
    return written


@case(
    "dicom-level-unrelated-series",
    "A level is in another series",
    refused=False,
    why="OpenSlide leaves the level out; here it belongs to the slide, as it has the same frame of "
    "reference and container",
    opened="level-0.dcm",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LEVEL, SeriesInstanceUID="1.2.3")
    return written


# The file that is opened first


@case(
    "dicom-primary-bad-metadata",
    "A file ends within its attributes",
    error=r"level-1\.dcm: the header needs \d+ bytes",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    # In the middle of Dimension Organization Sequence, whose header begins at 1200
    os.truncate(folder / LEVEL, 1220)
    return written


@case(
    "dicom-primary-bad-samplesperpixel",
    "Samples per Pixel is 4",
    error=r"Samples per Pixel is 4",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LEVEL, SamplesPerPixel=4)
    return written


@case(
    "dicom-primary-no-seriesinstanceuid",
    "A file has no Series Instance UID",
    why="frame of reference and container tell what belongs together",
)
def _(folder: Path, write: Write) -> SyntheticSlide:
    written = write(folder)
    edit(folder / LEVEL, SeriesInstanceUID=None)
    return written


# Slides of every kind that OpenSlide reads


@case("dicom-tiled-full-jpeg", "JPEG frames, TILED_FULL", refused=False)
def _(folder: Path, write: Write) -> SyntheticSlide:
    return write(folder)


def build_jpeg2000(syntax: str, written_as: str, stated: str) -> Any:
    def build(folder: Path, write: Write) -> SyntheticSlide:
        written = write(folder, transfer_syntax=syntax, photometric=written_as)
        for path in folder.iterdir():
            edit(path, PhotometricInterpretation=stated)
        return written

    return build


for _suffix in ("", ".2"):
    case(
        f"dicom-tiled-full-jp2k-ict{_suffix}",
        "JPEG 2000 frames, irreversible (YBR_ICT)",
        refused=False,
    )(build_jpeg2000(JPEG2000, "YBR_ICT", "YBR_ICT"))
    case(
        f"dicom-tiled-full-jp2k-rct{_suffix}",
        "JPEG 2000 frames, reversible (YBR_RCT)",
        refused=False,
    )(build_jpeg2000(JPEG2000Lossless, "YBR_RCT", "YBR_RCT"))
case("dicom-tiled-full-jp2k-rgb", "JPEG 2000 frames, RGB", refused=False)(
    build_jpeg2000(JPEG2000, "RGB", "RGB")
)


def build_ycbcr(stated: str) -> Any:
    """JPEG 2000 frames of luminance and chrominance that no codec is to transform."""

    def encode(frame: bytes) -> bytes:
        pixels = Image.fromarray(imagecodecs.jpeg2k_decode(frame)).convert("YCbCr")
        return imagecodecs.jpeg2k_encode(np.asarray(pixels), codecformat="J2K", mct=False)

    def build(folder: Path, write: Write) -> SyntheticSlide:
        written = write(folder, transfer_syntax=JPEG2000, photometric="RGB")
        for path in folder.iterdir():
            dataset = pydicom.dcmread(path)
            frames = generate_frames(dataset.PixelData, number_of_frames=dataset.NumberOfFrames)
            edit(
                path,
                PixelData=encapsulate([encode(frame) for frame in frames]),
                PhotometricInterpretation=stated,
            )
        return written

    return build


case(
    "dicom-tiled-full-jp2k-ycbcr",
    "JPEG 2000 frames that hold YCbCr, with Photometric Interpretation YBR_ICT",
    refused=False,
    why="in true colours, as the codestream says that its components are not transformed",
)(build_ycbcr("YBR_ICT"))
case(
    "dicom-tiled-full-jp2k-ybr-full-422",
    "JPEG 2000 frames that hold YCbCr, with Photometric Interpretation YBR_FULL_422",
    refused=False,
    since=(4, 0, 2),
)(build_ycbcr("YBR_FULL_422"))


@case("dicom-tiled-sparse-jpeg", "JPEG frames, TILED_SPARSE", refused=False)
def _(folder: Path, write: Write) -> SyntheticSlide:
    return write(folder, organization="TILED_SPARSE", sparse="shuffled")


@case("dicom-tiled-sparse-missing-frames", "TILED_SPARSE with frames left out", refused=False)
def _(folder: Path, write: Write) -> SyntheticSlide:
    return write(folder, organization="TILED_SPARSE", sparse="gaps")


# What is checked


@pytest.fixture
def write(make_slide) -> Write:
    def write_into(folder: Path, **options: Any) -> SyntheticSlide:
        written = make_slide(**{**SLIDE, **options})
        for path in written.paths:
            shutil.copy(path, folder)
        return written

    return write_into


def read_everything(slide: Slide) -> list[np.ndarray]:
    images = [*slide.label_images, *slide.overview_images]
    for image in images:
        image.get_total_pixel_matrix()[...]
    return [
        slide.get_image_region((0, 0), level, size)
        for level, size in enumerate(slide.total_pixel_matrix_dimensions)
    ]


def read_with_openslide(path: Path) -> None:
    with openslide.OpenSlide(path) as library:
        for level, size in enumerate(library.level_dimensions):
            library.read_region((0, 0), level, size)
        for name in library.associated_images:
            library.associated_images[name].load()


CASES.sort(key=lambda item: item.name)
VERSION = tuple(map(int, openslide.__library_version__.split(".")))
KNOWN_TO_LIBRARY = [item for item in CASES if item.since <= VERSION]


@pytest.mark.parametrize("item", CASES, ids=lambda item: item.name)
def test_verdict_on_each_case_is_as_stated(item: Case, write: Write, tmp_path: Path) -> None:
    written = item.build(tmp_path, write)
    if item.error is not None:
        with pytest.raises(DicomSlideError, match=item.error):
            read_everything(open_slide(tmp_path, correct_color=False))
        return
    with pytest.warns(UserWarning, match=item.warns) if item.warns else nullcontext():
        levels = read_everything(open_slide(tmp_path, correct_color=False))
    assert len(levels) == len(written.levels)
    for pixels, level in zip(levels, written.levels, strict=True):
        # Encoding loses a little of the tissue, a wrong colour would be far off
        assert np.abs(pixels.astype(int) - level.pixels()).mean() < 3


@pytest.mark.parametrize("item", KNOWN_TO_LIBRARY, ids=lambda item: item.name)
def test_verdict_of_openslide_is_as_stated(item: Case, write: Write, tmp_path: Path) -> None:
    item.build(tmp_path, write)
    if item.refused:
        with pytest.raises(openslide.OpenSlideError):
            read_with_openslide(tmp_path / item.opened)
    else:
        read_with_openslide(tmp_path / item.opened)


@pytest.mark.parametrize(
    "item", [item for item in KNOWN_TO_LIBRARY if not item.refused], ids=lambda item: item.name
)
def test_a_path_has_the_levels_and_names_of_openslide(
    item: Case, write: Write, tmp_path: Path
) -> None:
    item.build(tmp_path, write)
    path = tmp_path / item.opened
    with openslide.OpenSlide(path) as library, OpenSlide(path) as ours:
        assert ours.level_dimensions == library.level_dimensions
        assert ours.level_downsamples == library.level_downsamples
        assert set(ours.associated_images) == set(library.associated_images)
        # Parts of a concatenation have attributes of their own, which are those of one file there
        for name in library.properties:
            if name.startswith("openslide."):
                assert ours.properties.get(name) == library.properties[name], name


def test_a_verdict_that_differs_has_a_reason() -> None:
    for item in CASES:
        assert item.why or item.refused == (item.error is not None), item.name


def rows() -> Iterator[str]:
    yield "| Case of OpenSlide | What is odd | OpenSlide | dicomslide |"
    yield "| --- | --- | --- | --- |"
    for item in CASES:
        verdicts = ["error" if bad else "opens" for bad in (item.refused, item.error is not None)]
        why = f": {item.why}" if item.why else ""
        name = item.name.removeprefix("dicom-")
        yield f"| {name} | {item.situation} | {verdicts[0]} | {verdicts[1]}{why} |"


def test_the_table_of_the_documentation_is_this_one() -> None:
    (table,) = TABLE.findall(PAGE.read_text(encoding="utf-8"))
    assert table.splitlines() == list(rows()), f"to write it anew run {Path(__file__).name}"


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub("\n".join(rows()) + "\n", text), encoding="utf-8")
