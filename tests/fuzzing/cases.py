"""A case: a slide of some kind, damaged at some place, and what comes of it at each door.

Everything about a case follows from a seed and its number.
"""

import random
import shutil
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from dicomslide import DicomSlideError, open_slide
from tests.fuzzing.answers import damage_answer
from tests.fuzzing.doors import DOORS, Place
from tests.fuzzing.elements import File, read_file
from tests.fuzzing.files import damage_file
from tests.fuzzing.flips import Areas, damage_bytes, find_areas
from tests.fuzzing.kinds import KINDS
from tests.fuzzing.oracle import Original, explain, load, read_windows
from tests.servers.archive import Archive
from tests.servers.dicomweb import DicomwebServer
from tests.servers.ranges import RangeServer

__all__ = ["Case", "Cases"]

PLACES = ("files", "files", "files", "files", "files", "service", "service", "service", "ranges")
# A message tells what is wrong with what
NAMES = (".dcm", "http", "image", "series", "concatenation", "slide")


@dataclass
class Case:
    """What was done and what came of it.

    Parameters
    ----------
    number : int
        Its number
    what : str
        Kind of the slide, its place and its damage
    results : dict
        What came of it at each door
    seconds : float
        Processor time that it took
    memory : int
        Most memory that it took, in bytes
    """

    number: int
    what: str = ""
    results: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    memory: int = 0


@dataclass
class _Kind:
    """A slide as it was written, each part read when it is needed."""

    folder: Path

    @cached_property
    def original(self) -> Original:
        return load(self.folder)

    @cached_property
    def areas(self) -> dict[str, Areas]:
        return {name: find_areas(self.folder / name) for name in self.original.data}

    @cached_property
    def archive(self) -> Archive:
        return Archive(sorted(self.folder.glob("*.dcm")))

    def read(self, name: str) -> File:
        """Read a file into a tree of its own."""
        return read_file(self.original.data[name])


class Cases:
    """The cases of a seed, and the servers that some of them need.

    Parameters
    ----------
    slides : pathlib.Path
        Folder of the slides of all kinds, see `write_kinds`
    folder : pathlib.Path
        Where damaged files are written
    seed : str
        The seed
    doors : int
        How many of the doors a case goes through, beside `open_slide` with all its pixels
    """

    def __init__(self, slides: Path, folder: Path, seed: str, doors: int = len(DOORS)) -> None:
        self._kinds = {kind: _Kind(slides / kind) for kind in KINDS}
        self._folder = folder
        self._seed = seed
        self._doors = doors
        self._service = DicomwebServer(Archive([]))
        self._ranges = RangeServer(folder)
        self._servers = ExitStack()

    def __enter__(self) -> Self:
        self._servers.enter_context(self._service)
        self._servers.enter_context(self._ranges)
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    def warm_up(self) -> None:
        """Send a slide that is right through all doors."""
        kind = self._kinds["associated"]
        paths = sorted(kind.folder.glob("*.dcm"))
        with self._served("associated", -1), _new_folder(self._folder / "right"):
            for door in DOORS.values():
                door(Place(kind.folder, self._service.url, paths, self._folder / "right"))

    def run(self, number: int) -> Case:
        """Run a case."""
        case = Case(number)
        folder = self._folder / f"case-{number}"
        rng = random.Random(f"{self._seed} {number}")
        kind, where = rng.choice(list(KINDS)), rng.choice(PLACES)
        with self._served(kind, number), _new_folder(folder):
            memory, started = _Memory(), time.process_time()
            if where == "service":
                self._at_service(case, kind, folder, rng)
            else:
                self._in_files(case, kind, where, folder, rng)
            case.seconds = time.process_time() - started
            case.memory = memory.growth()
        return case

    @contextmanager
    def _served(self, kind: str, number: int) -> Iterator[None]:
        """Have the service hold a slide under a path of its own."""
        self._service.hold(self._kinds[kind].archive, f"/case-{number}")
        try:
            yield
        finally:
            self._service.behave()
            self._ranges.behave()
        if self._service.errors or self._ranges.errors:
            raise ExceptionGroup("a server failed", self._service.errors + self._ranges.errors)

    def _at_service(self, case: Case, kind: str, folder: Path, rng: random.Random) -> None:
        done = []
        for _ in range(rng.choice((1, 1, 2))):
            fault, what, where = damage_answer(rng, self._service.origin)
            self._service.misbehave(fault, _retrieves(where))
            done.append(what)
        case.what = f"{kind} at service: {'; '.join(done)}"
        place = Place(f"dicomweb+{self._service.url}", self._service.url, [], folder)

        def read() -> str:
            with open_slide(place.source, correct_color=False) as slide:
                read_windows(slide)
            return "read"

        self._through_doors(case, place, read)

    def _in_files(
        self, case: Case, kind: str, where: str, folder: Path, rng: random.Random
    ) -> None:
        known = self._kinds[kind]
        names = list(known.original.data)
        name = rng.choice(names)
        if rng.random() < 0.25:
            damaged = damage_bytes(known.original.data[name], known.areas[name], rng)
        else:
            other = self._kinds[rng.choice(list(KINDS))]
            others = [
                other.read(rng.choice(list(other.original.data))),
                known.read(rng.choice(names)),
            ]
            damaged = damage_file(known.read(name), others, rng)
        slide_folder = folder / "slide"
        slide_folder.mkdir()
        for each, data in known.original.data.items():
            (slide_folder / each).write_bytes(damaged.data if each == name else data)
        case.what = f"{kind} in {where}: {name}: {'; '.join(damaged.what)}"
        paths = [slide_folder / each for each in names]
        source: Any = slide_folder
        if where == "ranges":
            source = [self._ranges.url(path) for path in paths]
        place = Place(source, self._service.url, paths, folder)

        def read() -> str:
            with open_slide(source, correct_color=False) as slide:
                windows, sizes = read_windows(slide), slide.total_pixel_matrix_dimensions
            path = slide_folder / name
            reason = explain(known.original, slide_folder, path, damaged.frames, windows, sizes)
            return reason or "FAULT: wrong pixels"

        self._through_doors(case, place, read)

    def _through_doors(self, case: Case, place: Place, read: Callable[[], str]) -> None:
        case.results["open_slide"] = _outcome(read)
        # Drawn apart from the damage, which is thus the same whatever the number of doors is
        rng = random.Random(case.number)
        for name in rng.sample(list(DOORS), self._doors):
            case.results[name] = _outcome(lambda door=DOORS[name]: door(place) or "used")


def _retrieves(where: str) -> Callable[[Any], bool]:
    return lambda request: where in request.target


def _outcome(use: Callable[[], str]) -> str:
    """Say what came of an attempt; what must not come of it begins with FAULT."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = use()
    except DicomSlideError as error:
        text = str(error)
        named = any(word in text for word in NAMES)
        return type(error).__name__ if named else f"FAULT: error without a name: {text}"
    except Exception:
        return f"FAULT: {traceback.format_exc()}"
    for warning in caught:
        # Such as those of NumPy about numbers that nobody has looked at
        if "/dicomslide/" in warning.filename and not issubclass(warning.category, UserWarning):
            where = f"{warning.filename}:{warning.lineno}"
            return f"FAULT: {where}: {warning.category.__name__}: {warning.message}"
    return result


@contextmanager
def _new_folder(folder: Path) -> Iterator[None]:
    folder.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(folder)


class _Memory:
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
