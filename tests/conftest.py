"""What the tests of all rooms share: small slides on disk, and a count of frames that are read."""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomslide.cli import main
from dicomslide.pixels.cache import _of_process
from dicomslide.sources.base import FrameSource
from dicomslide.sources.files import open_image_file
from dicomslide.stores.files import FileStore
from dicomslide.testing import SlideOptions, SyntheticLevel, SyntheticSlide, write_slide
from tests.servers.orthanc import Orthanc, find_orthanc, run_orthanc
from tests.servers.s3 import Bucket, run_s3

settings.register_profile(
    "default",
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# One level of uncompressed colour, with partial tiles at both edges
SMALL = SlideOptions(
    size=(70, 90),
    tile=(16, 24),
    factors=(1,),
    transfer_syntax=ExplicitVRLittleEndian,
    icc_profile=False,
    label=False,
    overview=False,
    seed=1,
)


def pytest_configure(config: pytest.Config) -> None:
    """Lets the processes that tests start share compiled modules where Python keeps none.

    Without them each process compiles all that it imports, which takes several seconds.
    """
    if sys.dont_write_bytecode:
        folder = TemporaryDirectory(prefix="bytecode-")
        config.add_cleanup(folder.cleanup)
        os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = folder.name
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        sys.dont_write_bytecode = False


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Shows a failure at once, so that it is known even if the run does not end."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.nodeid} ({report.when}): {report.longreprtext}", file=sys.stderr)


def pytest_collection_finish() -> None:
    """Leaves what is there for good, such as the tests, out of later collections of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_decoded_frames() -> None:
    """Drops the decoded frames that other tests left to all slides of the process."""
    _of_process.remake()


@pytest.fixture(scope="session")
def make_slide(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., SyntheticSlide]:
    """Writes a small slide with the given options, only once for the same ones."""

    @cache
    def make(**options: Any) -> SyntheticSlide:
        return write_slide(tmp_path_factory.mktemp("slide"), SMALL, **options)

    return make


@pytest.fixture
def run(capsys):
    """Runs the command in this process: exit code and lines on stdout and stderr."""

    def call(*arguments: object) -> tuple[int, list[str], list[str]]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return call


@pytest.fixture(scope="session")
def take_region() -> Callable[..., NDArray]:
    """Takes a region, which may extend beyond the pixels on any side, from pixels in memory."""

    def take(
        pixels: NDArray, offset: tuple[int, int], size: tuple[int, int], background: int
    ) -> NDArray:
        region = np.full((*size, *pixels.shape[2:]), background, pixels.dtype)
        rows, columns = (np.arange(size[i]) + offset[i] for i in range(2))
        inside_rows, inside_columns = (
            (places >= 0) & (places < pixels.shape[i]) for i, places in enumerate((rows, columns))
        )
        region[np.ix_(inside_rows, inside_columns)] = pixels[
            np.ix_(rows[inside_rows], columns[inside_columns])
        ]
        return region

    return take


@pytest.fixture(scope="session")
def channels_first() -> Callable[[SyntheticLevel, int, int], NDArray]:
    """The pixels that a level of a slide should have, of shape (channel and sample, z, y, x)."""

    def stack(level: SyntheticLevel, channels: int = 1, planes: int = 1) -> NDArray:
        return np.stack(
            [
                np.stack([level.pixels(c, z)[..., sample] for z in range(planes)])
                for c in range(channels)
                for sample in range(level.options.samples)
            ]
        )

    return stack


class CountedFrames(FrameSource):
    """A frame source that keeps a list of the frames that each call asks for."""

    def __init__(self, source: FrameSource, requests: list[list[int]]) -> None:
        self.source = source
        self.requests = requests

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def token(self) -> str:
        return self.source.token

    @property
    def transfer_syntax_uid(self) -> str:
        return self.source.transfer_syntax_uid

    @property
    def remote(self) -> bool:
        return self.source.remote

    @property
    def batch_size(self) -> int:
        return self.source.batch_size

    def read(self, frames: Sequence[int]) -> list[bytes]:
        self.requests.append(list(frames))
        return self.source.read(frames)

    def close(self) -> None:
        self.source.close()


@dataclass(frozen=True)
class CountingStore:
    """Files whose frames are counted: `requests` has the frames of each call, counted from 0."""

    store: FileStore
    requests: list[list[int]] = field(default_factory=list)

    def frame_sources(self, datasets: Sequence[Dataset]) -> list[CountedFrames]:
        return [CountedFrames(s, self.requests) for s in self.store.frame_sources(datasets)]


class Opened(NamedTuple):
    client: CountingStore
    metadata: Dataset


@pytest.fixture(scope="session")
def open_counted() -> Callable[[Path], Opened]:
    """Opens a file: a client that counts the frames that are read, and the metadata."""

    def open_file(path: Path) -> Opened:
        store = CountingStore(FileStore(path))
        return Opened(store, pydicom.dcmread(path, stop_before_pixels=True))

    return open_file


@pytest.fixture(scope="session")
def open_all_counted() -> Callable[[Sequence[Path]], tuple[CountingStore, list[Dataset]]]:
    """Opens the files of a slide: a client that counts the frames read, and their metadata."""

    def open_files(paths: Sequence[Path]) -> tuple[CountingStore, list[Dataset]]:
        datasets = [open_image_file(path)[0] for path in paths]
        return CountingStore(FileStore(list(paths))), datasets

    return open_files


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A real DICOMweb server; slides in it need studies of their own."""
    if find_orthanc() is None:
        pytest.skip("the Debian packages orthanc and orthanc-dicomweb are not installed")
    with run_orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="session")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A bucket of a real S3 server."""
    with run_s3(tmp_path_factory.mktemp("s3")) as found:
        yield found
