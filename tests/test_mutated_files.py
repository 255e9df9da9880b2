"""Files with bytes changed, left out or put in: right pixels or one of the package's own errors.

Some hundred mutations of each of several kinds of slides are read in a process of its own, so that
a crash, a loop without end or a lack of memory is a result like others. What comes out has to be

- a `DicomSlideError`, or
- the pixels of the slide as it was, or without the file if that says that it is another one, or
- other pixels for a reason: bytes of frames were touched, or pydicom finds another value than
  before in an attribute that describes the pixels and where they lie. They have the size that the
  attributes state, and unless these differ the shape and the type of before.

The environment variable ``DICOMSLIDE_MUTATIONS`` sets the number of mutations of each kind, and
``DICOMSLIDE_MUTATIONS_SEED`` another sequence of them.
"""

import faulthandler
import json
import logging
import os
import random
import struct
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    ParametricMapStorage,
    RLELossless,
    SegmentationStorage,
    VLWholeSlideMicroscopyImageStorage,
)

from dicomslide import DicomSlideError, Slide, open_slide
from dicomslide.testing import SegmentationOptions, SlideOptions, SyntheticSlide, write_slide

MUTATIONS = int(os.environ.get("DICOMSLIDE_MUTATIONS", "150"))
SEED = os.environ.get("DICOMSLIDE_MUTATIONS_SEED", "1")
MAX_SECONDS = 1.0
MAX_MEMORY = 256 << 20
# No more pixels than these are read of each level
WINDOW = 64

# A grid of 3 x 3 tiles, with partial ones at both edges
BASE = SlideOptions(
    size=(40, 60),
    tile=(16, 24),
    factors=(1,),
    transfer_syntax=ExplicitVRLittleEndian,
    icc_profile=False,
    label=False,
    overview=False,
)
JPEG = {"transfer_syntax": JPEGBaseline8Bit, "quality": 95}
SPARSE = {"organization": "TILED_SPARSE"}
SEGMENTS = {"organization": "TILED_SPARSE", "segments": ("nucleus", "stroma")}
KINDS: dict[str, dict[str, Any]] = {
    "explicit": {"label": True},
    "implicit": {"transfer_syntax": ImplicitVRLittleEndian, "factors": (1, 2)},
    "big endian": {**SPARSE, "transfer_syntax": ExplicitVRBigEndian},
    "deflated": {"transfer_syntax": DeflatedExplicitVRLittleEndian},
    "planes": {"optical_paths": 2, "focal_planes": 2, "samples": 1, "bits": 12},
    "sparse": {**SPARSE, "sparse": "shuffled"},
    "sparse implicit": {
        **SPARSE,
        "sparse": "gaps",
        "transfer_syntax": ImplicitVRLittleEndian,
        "optical_paths": 2,
        "samples": 1,
    },
    "sparse overlapping": {"organization": None, "sparse": "overlapping"},
    "concatenation": {**SPARSE, "concatenation": 2},
    "concatenation of JPEG": {**JPEG, "concatenation": 2},
    "basic table": JPEG,
    "empty table": {**JPEG, "offset_table": "empty"},
    "extended table": {**JPEG, "offset_table": "extended"},
    "fragments": {**JPEG, "fragments_per_frame": 3},
    "fragments without table": {**JPEG, "fragments_per_frame": 3, "offset_table": "empty"},
    "JPEG 2000": {"transfer_syntax": JPEG2000Lossless},
    "JPEG-LS": {"transfer_syntax": JPEGLSLossless},
    "RLE": {"transfer_syntax": RLELossless},
    "binary segments": {"segmentations": (SegmentationOptions("BINARY"),)},
    "fractional segments": {"segmentations": (SegmentationOptions("FRACTIONAL", **SEGMENTS),)},
    "label map": {"segmentations": (SegmentationOptions("LABELMAP"),)},
    "parameters": {"parametric_maps": ("float", "integer")},
}

CLASSES = (
    VLWholeSlideMicroscopyImageStorage,
    SegmentationStorage,
    ParametricMapStorage,
    "1.2.840.10008.5.1.4.1.1.66.7",
)

# What decides which pixels there are: all else must not change them
DESCRIPTION = (
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ContainerIdentifier",
    "ImageType",
    "PyramidUID",
    "SeriesNumber",
    "InstanceNumber",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "TotalPixelMatrixRows",
    "TotalPixelMatrixColumns",
    "TotalPixelMatrixFocalPlanes",
    "TotalPixelMatrixOriginSequence",
    "NumberOfOpticalPaths",
    "OpticalPathSequence",
    "SegmentSequence",
    "SegmentationType",
    "DimensionOrganizationType",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    "ConcatenationUID",
    "InConcatenationNumber",
    "InConcatenationTotalNumber",
    "ConcatenationFrameOffsetNumber",
)


class Mutation(NamedTuple):
    """Changed bytes, and which of the original ones were touched."""

    data: bytes
    touched: list[tuple[int, int]]


INTERESTING = (0, 1, 2, 7, 8, 127, 128, 254, 255)
LARGE = (0, 1, 8, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)


def mutate(data: bytes, structure: list[tuple[int, int]], rng: random.Random) -> Mutation:
    """Change up to three places, or cut off the end; most of them in the structure of the file."""

    def place() -> int:
        start, stop = rng.choice(structure) if rng.random() < 0.8 else (0, len(data))
        return rng.randrange(start, stop)

    changed, touched = bytearray(data), []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        start = place()
        kind = rng.random()
        if kind < 0.4:
            value = bytes([rng.choice(INTERESTING) if kind < 0.2 else rng.randrange(256)])
        elif kind < 0.6:
            value = bytes([data[start] ^ 1 << rng.randrange(8)])
        else:
            start -= start % 2
            value = struct.pack("<I", rng.choice(LARGE))[: rng.choice((2, 4))]
        value = value[: len(data) - start]
        changed[start : start + len(value)] = value
        touched.append((start, start + len(value)))
    kind = rng.random()
    if kind < 0.36 or not touched:
        # All that follows is at another place then
        start, length = place(), rng.choice((1, 2, 8, 100))
        touched.append((start, len(data)))
        if kind < 0.12:
            changed[start:start] = changed[start : start + length] or b"\0"
        else:
            del changed[start : start + length if kind < 0.24 else None]
    return Mutation(bytes(changed), touched)


def find_frames(path: Path) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Find the bytes of a file that are of frames, and those of its structure."""
    with path.open("rb") as file:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        start = file.tell()
    data = path.read_bytes()
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == DeflatedExplicitVRLittleEndian:
        return [(132, len(data))], [(132, len(data))]
    value = start + (8 if syntax == ImplicitVRLittleEndian else 12)
    if not syntax.is_encapsulated:
        return [(value, len(data))], [(128, value)]
    frames, structure, position = [], [(128, value)] * 4, value
    while data[position : position + 4] == b"\xfe\xff\x00\xe0":
        (length,) = struct.unpack_from("<I", data, position + 4)
        structure.append((position, position + 8))
        if position > value:
            frames.append((position + 8, position + 8 + length))
        elif length:
            structure += [(position + 8, position + 8 + length)] * 10
        position += 8 + length
    return frames, structure


def describe(paths: list[Path]) -> list[Any] | None:
    """What pydicom finds in the attributes that describe the pixels; None where it cannot read."""
    try:
        datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
        return [
            [str(dataset.file_meta.get("TransferSyntaxUID"))]
            + [str(dataset.get(keyword)) for keyword in DESCRIPTION]
            for dataset in datasets
        ]
    except Exception:
        return None


def read_windows(slide: Slide) -> list[NDArray]:
    """The top left of each level of each channel and focal plane that has pixels, and of labels."""
    windows = []
    for level, (rows, columns) in enumerate(slide.total_pixel_matrix_dimensions):
        size = min(rows, WINDOW), min(columns, WINDOW)
        for channel in range(min(slide.num_channels, 8)):
            for plane in range(min(slide.num_focal_planes, 8)):
                images = slide.get_volume_images(channel, plane)
                if any(image.size == (rows, columns) for image in images):
                    windows.append(slide.get_image_region((0, 0), level, size, channel, plane))
    labels = (image.get_total_pixel_matrix() for image in slide.label_images)
    return windows + [matrix[:WINDOW, :WINDOW] for matrix in labels]


@dataclass
class Original:
    """A slide as it was written."""

    paths: list[Path]
    data: list[bytes]
    frames: list[list[tuple[int, int]]]
    structure: list[list[tuple[int, int]]]
    description: list[Any]
    windows: list[NDArray]


def load(folder: Path) -> Original:
    paths = sorted(folder.glob("*.dcm"))
    frames, structure = zip(*map(find_frames, paths), strict=True)
    return Original(
        paths=paths,
        data=[path.read_bytes() for path in paths],
        frames=list(frames),
        structure=list(structure),
        description=describe(paths) or [],
        windows=read_windows(open_slide(folder, correct_color=False)),
    )


def judge(original: Original, folder: Path, number: int, mutation: Mutation) -> str:
    """Read the slide with one of its files mutated; say what came of it."""
    try:
        slide = open_slide(folder, correct_color=False)
        windows = read_windows(slide)
        # A tree has a coordinate for each row and column
        if number % 8 == 0 and max(slide.size) < 10**6:
            slide.to_datatree()
    except DicomSlideError as error:
        text = str(error)
        named = any(word in text for word in (".dcm", "image", "series", "concatenation", "slide"))
        return "error" if named else f"error without a name: {text}"
    except Exception:
        return traceback.format_exc()
    if same(windows, original.windows):
        return "right"
    index = number % len(original.paths)
    if is_of_something_else(original.paths[index]):
        return "passed over"
    in_frames = any(
        start < end and begin < stop
        for start, stop in mutation.touched
        for begin, end in original.frames[index]
    )
    shapes = [[(w.shape, w.dtype) for w in each] for each in (windows, original.windows)]
    if in_frames and shapes[0] == shapes[1]:
        return "other frames"
    found = describe(original.paths)
    if found is None or found == original.description:
        return "wrong pixels"
    rows, columns = (
        DESCRIPTION.index(f"TotalPixelMatrix{axis}") + 1 for axis in ("Rows", "Columns")
    )
    stated = {(values[rows], values[columns]) for values in found}
    for size in slide.total_pixel_matrix_dimensions:
        if tuple(map(str, size)) not in stated:
            return f"{size} pixels, stated are {stated}"
    return "other description"


def is_of_something_else(path: Path) -> bool:
    """Whether a file is no DICOM file, or says that it is one of another kind."""
    if path.read_bytes()[128:132] != b"DICM":
        return True
    try:
        uid = pydicom.filereader.read_file_meta_info(path).MediaStorageSOPClassUID
    except Exception:
        return False
    return uid.type == "SOP Class" and uid not in CLASSES


def same(one: list[NDArray], other: list[NDArray]) -> bool:
    return len(one) == len(other) and all(
        a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(one, other, strict=True)
    )


def run(folder: Path, kind: str, count: int, seed: str) -> Iterator[dict[str, Any]]:
    """Try the mutations of a kind of slide."""
    original = load(folder)
    for number in range(count):
        index = number % len(original.paths)
        path, data = original.paths[index], original.data[index]
        rng = random.Random(f"{seed} {kind} {number}")
        mutation = mutate(data, original.structure[index], rng)
        path.write_bytes(mutation.data)
        memory = Memory()
        faulthandler.dump_traceback_later(60, exit=True)
        started = time.process_time()
        result = judge(original, folder, number, mutation)
        seconds = time.process_time() - started
        faulthandler.cancel_dump_traceback_later()
        path.write_bytes(data)
        yield {
            "number": number,
            "result": result,
            "seconds": seconds,
            "memory": memory.growth(),
        }


class Memory:
    """The most memory that was taken at any time since, where the system tells."""

    def __init__(self) -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self.start = self.peak()

    def growth(self) -> int:
        return self.peak() - self.start

    def peak(self) -> int:
        try:
            status = Path("/proc/self/status").read_text()
        except OSError:
            return 0
        return int(status.split("VmHWM:")[1].split()[0]) << 10


def limit_memory() -> None:
    """Have more memory than is allowed be an error and not the end of other processes."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * resource.getpagesize() + 4 * MAX_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def work(folder: Path, count: int, seed: str) -> None:
    """Print the result of each mutation of each kind, preceded by its name."""
    warnings.simplefilter("ignore")
    logging.disable()
    limit_memory()
    for kind in KINDS:
        print(json.dumps({"kind": kind}), flush=True)
        for result in run(folder / kind, kind, count, seed):
            print(json.dumps(result), flush=True)
        print(json.dumps({"done": kind}), flush=True)


# The tests


@pytest.fixture(scope="module")
def slides(tmp_path_factory) -> dict[str, SyntheticSlide]:
    folder = tmp_path_factory.mktemp("mutated")
    return {kind: write_slide(folder / kind, BASE, **options) for kind, options in KINDS.items()}


@pytest.fixture(scope="module")
def results(slides) -> dict[str, list[dict[str, Any]]]:
    """The results of all mutations, by kind; the last one of a kind is missing after a crash."""
    folder = slides["explicit"].folder.parent
    command = [sys.executable, __file__, str(folder), str(MUTATIONS), SEED]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    kind = ""
    for line in process.stdout.splitlines():
        result = json.loads(line)
        kind = result.get("kind", kind)
        if "number" in result:
            found[kind].append(result)
    if process.returncode:
        found[kind].append({"number": len(found[kind]), "result": f"exit {process.returncode}"})
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_slides_are_right_to_begin_with(slides, kind):
    written = slides[kind]
    slide = open_slide(written.folder, correct_color=False)
    lossy = written.options.transfer_syntax == JPEGBaseline8Bit
    for path in range(len(written.optical_paths)):
        for plane in range(written.options.focal_planes):
            found = slide.get_image_region((0, 0), 0, slide.size, path, plane).astype(int)
            difference = np.abs(found - written.levels[0].pixels(path, plane))
            assert difference.mean() < 5 if lossy else not difference.any()


@pytest.mark.parametrize("kind", KINDS)
def test_mutations_end_in_right_pixels_or_an_error(results, kind):
    accepted = ("error", "right", "passed over", "other frames", "other description")
    bad = [result for result in results[kind] if result["result"] not in accepted]
    assert not bad, "\n".join(f"{kind} {b['number']}: {b['result']}" for b in bad[:5])
    assert len(results[kind]) == MUTATIONS


@pytest.mark.parametrize("kind", KINDS)
def test_mutations_take_little_time_and_memory(results, kind):
    for result in results[kind]:
        assert result.get("seconds", 0) < MAX_SECONDS, result
        assert result.get("memory", 0) < MAX_MEMORY, result


def test_mutations_have_results_of_every_sort(results):
    """Otherwise they would be too weak to find anything."""
    sorts = Counter(result["result"] for kind in KINDS for result in results[kind])
    assert min(sorts[sort] for sort in ("error", "right", "other frames")) > MUTATIONS // 2


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
